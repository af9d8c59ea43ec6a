from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.decode import decode_images
from mien.errors import DataError


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
    decoded = decode_images(items, 4, 48, True, "testing")
    assert decoded.kept.tolist() == [0, 2]
    assert np.array_equal(decoded.images, images[[0, 2]])
    assert [name for name, _ in decoded.skipped] == ["second", "fourth"]
    assert decoded.skipped[0][1].startswith("second is not an image")
    assert decoded.skipped[1][1].startswith("fourth: ")
    with pytest.raises(DataError, match=r"^second is not an image .*, or leave such images out with --skip-bad\.$"):
        decode_images(items, 4, 48, False, "testing")


def test_pictures_of_several_sizes_are_told_in_one_note() -> None:
    def note(*sizes: tuple[int, int]) -> list[str]:
        files = []
        for size in sizes:
            stream = io.BytesIO()
            Image.new("L", size, 7).save(stream, "PNG")
            files.append((f"picture {len(files)}", stream.getvalue()))
        return decode_images(files, len(files), 48, False, "decoding").notes

    assert note((90, 90), (90, 90)) == []
    (words,) = note((90, 60), (20, 30), (90, 60), (640, 480))
    assert (
        words
        == "The pictures have 3 different sizes, from 20 x 30 to 640 x 480 pixels; each becomes a grey square of 48."
    )
