from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from mien.data.decode import decode_images
from mien.data.face_table import ReadOptions
from mien.errors import DataError
from support import raises


def test_bad_images_leave_no_gap_and_keep_their_reason(tmp_path: Path, noise) -> None:
    images = noise(4)
    encoded = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        encoded.append(stream.getvalue())
    file = tmp_path / "third.png"
    file.write_bytes(encoded[2])
    items = [("first", encoded[0]), ("second", b"no image"), ("third.png", file), ("fourth", tmp_path / "gone.png")]
    decoded = decode_images(items, 4, ReadOptions(skip_bad=True), "testing")
    assert decoded.kept.tolist() == [0, 2]
    assert np.array_equal(decoded.images[0], images[[0, 2]])
    assert [name for name, _ in decoded.skipped] == ["second", "fourth"]
    assert "PNG" in decoded.skipped[0][1], "the formats that are read"
    assert decoded.skipped[1][1].startswith("fourth: ")
    with raises(DataError, "image-unreadable", "second", "skip_bad=True"):
        decode_images(items, 4, ReadOptions(), "testing")


def test_sizes_and_colours_of_the_files_are_told() -> None:
    """Oracle: the files, made by the test. They are told whichever way the images are read."""
    red = Image.new("RGB", (96, 64), (200, 10, 10))

    def told(*images: Image.Image, channels: int = 1) -> str:
        files = []
        for image in images:
            stream = io.BytesIO()
            image.save(stream, "PNG")
            files.append(("x", stream.getvalue()))
        return decode_images(files, len(files), ReadOptions(8, channels), "testing").files

    assert told(red) == told(red, channels=3) == "96 x 64 px, in colour"
    assert told(red.quantize()) == "96 x 64 px, in colour"
    assert told(Image.new("L", (20, 20), 7)) == "20 x 20 px, grey"
    assert told(Image.new("L", (20, 20), 7).convert("RGB")) == "20 x 20 px, grey stored as RGB"
    assert told(red, Image.new("L", (20, 20), 7)) == "20 x 20 to 96 x 64 px, grey and in colour"
    assert told(red, Image.new("RGB", (20, 20), "white")) == "20 x 20 to 96 x 64 px, in colour"
    assert told(red, red.transpose(Image.Transpose.ROTATE_90)) == "64 x 96 to 96 x 64 px, in colour"
    assert told() == ""
