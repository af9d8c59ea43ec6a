"""What photos and detector files may do to a reader: very many pixels, very many faces, no detector at all."""

import resource
import zlib

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError
from mien.base.images import MAXIMUM_PIXELS, open_image
from mien.faces.find import YuNet
from support import raises, refused


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.fixture
def large_photo(tmp_path):
    """A PNG of 200 million pixels, 20,000 x 10,000, in a few kB: each row is empty."""

    def chunk(name, content):
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    packer, rows = zlib.compressobj(9), b"\x00" * 20_001 * 100
    pixels = b"".join(packer.compress(rows) for _ in range(100)) + packer.flush()
    header = (20_000).to_bytes(4, "big") + (10_000).to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    path = tmp_path / "large.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return path


def test_200_megapixels_are_refused_before_they_are_decoded(mien, large_photo, tmp_path):
    """Oracle: the process's memory; decoded, it would take 200 MB in grey and 600 MB in colour."""
    before = peak_mb()
    with raises(DataError, "image-pixels"):
        open_image(large_photo)
    refused(mien("predict", large_photo), "image-pixels", "large.png", f"{MAXIMUM_PIXELS:,}")
    refused(mien("explain", large_photo, "--out", tmp_path / "maps"), "image-pixels", "large.png")
    assert peak_mb() - before < 150


def test_most_of_500_faces_are_found(astronaut):
    """Oracle: where the faces were pasted, in cells of 50 x 60 px; all are found, where it was tried."""
    face = Image.fromarray(astronaut).crop((155, 40, 295, 210)).resize((50, 60), Image.Resampling.BILINEAR)
    crowd = Image.new("RGB", (25 * 50, 20 * 60))
    for number in range(500):
        crowd.paste(face, (number % 25 * 50, number // 25 * 60))
    found = [each.box for each in YuNet().detect(np.asarray(crowd))]
    cells = {((2 * box.left + box.width) // 100, (2 * box.top + box.height) // 120) for box in found}
    assert len(found) == len(cells), "one box a face"
    assert len(cells) > 490
