from __future__ import annotations

import io

from PIL import Image

from mien.data.decode import decode_images
from mien.data.face_table import ReadOptions


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
