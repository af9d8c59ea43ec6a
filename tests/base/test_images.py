"""Oracles: Pillow's own turning; the same image without what is wrong with it."""

import base64
import io
import struct
import sys
import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps

from mien.base.errors import DataError
from mien.base.images import open_image, open_image_source
from mien.base.preprocess import grey_square, upright_rgb
from mien.inference.drawing import Annotator
from support import encoded, raises

HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAA"
    "AAAERAAAEAAQAAAAABoQABAAAAAAAAAFkAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/WlwcnAA"
    "AADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkA"
    "AAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAA"
    "AAAoY2xhcAAAADAAAAABAAAAIAAAAAH////wAAAAAv///+AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAAG"
    "FtZGF0AAAAVSgBrwng40ialv/1r//8bnkPGizG75/3r7d5Ft/7y6Q24GQNOKU3evi6ABJByLurDVvL5PBQQyi+8rxP7/fOykUwEreIQOyuJrs9"
    "hhMJdnEA65kHm3A="
)
"""48 x 32 pixels, red on the left and blue on the right, drawn for this test and encoded by libheif 1.23."""


def test_open_image_reads_heic_with_its_package(monkeypatch, tmp_path):
    file = tmp_path / "IMG_1.jpg"  # the content counts, not the name
    file.write_bytes(HEIC)
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with raises(DataError, "image-format", "mien[heic]"):
        open_image(file)
    monkeypatch.undo()
    pytest.importorskip("pi_heif")
    for source in (file, HEIC):
        rgb = np.asarray(open_image(source).convert("RGB")).astype(int)
        assert rgb.shape == (32, 48, 3)
        assert np.abs(rgb[4, 4] - (200, 40, 40)).max() < 12
        assert np.abs(rgb[4, 40] - (40, 40, 200)).max() < 12
    photo = file.rename(tmp_path / "photo.HEIC")
    copy = Annotator(tmp_path / "out", [photo]).write(str(photo), upright_rgb(open_image(photo)), [])
    with Image.open(copy) as image:
        assert (copy.name, image.format, image.size) == ("photo.HEIC.jpg", "JPEG", (48, 32))


def test_open_image_reads_animations_and_avif_but_no_postscript(tmp_path):
    frames = [Image.new("L", (10, 10), shade) for shade in (30, 200)]
    assert (grey_square(open_image(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])), 10) == 30).all()
    file = tmp_path / "x.png"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with raises(DataError, "image-format"):
        open_image(file)
    image, exif = Image.new("RGB", (40, 20), (200, 30, 30)), Image.Exif()
    exif[0x0112] = 6
    opened = open_image(encoded(image, "AVIF", exif=exif))
    assert opened.size == (20, 40)
    assert np.abs(np.asarray(opened).astype(int) - (200, 30, 30)).max() < 12


def odd_exif(tag, kind):
    """EXIF that turns the image and holds one tag as another type than it should have."""
    entries = struct.pack("<HHLL", 0x0112, 3, 1, 6) + struct.pack("<HHL", tag, kind, 1) + b"\0\0\x80\x3f"
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4)


def rational_offset():
    """A TIFF that says where its pixels are as a fraction."""
    content = bytearray(encoded(Image.new("RGB", (16, 12)), "TIFF"))
    (directory,) = struct.unpack("<L", content[4:8])
    strip_offsets, rational = 273, 5
    for entry in range(directory + 2, len(content) - 12, 12):
        if struct.unpack("<H", content[entry : entry + 2])[0] == strip_offsets:
            content[entry + 2 : entry + 12] = struct.pack("<HLL", rational, 1, 8)
            return bytes(content)
    raise AssertionError


ODD = {
    "TypeError": rational_offset(),
    "OSError": encoded(Image.fromarray(np.arange(4800, dtype=np.uint8).reshape(60, 80)), "JPEG")[:700],
}
"""Damaged files by what Pillow raises of them."""


@pytest.mark.parametrize("name", ODD)
def test_open_image_rejects_damaged_files(name):
    with raises(DataError, "image-damaged"):
        open_image(ODD[name])
    with Image.open(io.BytesIO(ODD[name])) as opened, raises(DataError, "image-damaged"):
        open_image_source(opened)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("exif", "is_turned"),
    [(odd_exif(0x0100, 2), True), (odd_exif(0x010F, 11), True), (odd_exif(0x8769, 4), True),
     (b"Exif\0\0garbage garbage", False), (b"Exif\0\0II*\0\xff\xff\xff\x7f", False), (b"Exif\0\0II", False)],
)  # fmt: skip
def test_open_image_ignores_damaged_metadata(face, kind, exif, is_turned):
    """Oracle: the same file without metadata, turned by hand where its orientation can be read."""
    content = encoded(Image.fromarray(face[:, :30]), kind, exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow remarks on them when they are looked at here
        plain = np.asarray(Image.open(io.BytesIO(encoded(Image.fromarray(face[:, :30]), kind))).convert("L"))
    expected = np.rot90(plain, -1) if is_turned else plain
    np.testing.assert_array_equal(np.asarray(open_image(content).convert("L")), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_put_upright(face, orientation, kind):
    """Oracle: Pillow's own."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(face[:, :30]), kind, exif=exif)
    expected, opened = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content)))), open_image(content)
    np.testing.assert_array_equal(np.asarray(opened), expected)
    # Given on as an image, it is not turned again; one that was opened elsewhere is.
    for image in (opened, Image.open(io.BytesIO(content))):
        np.testing.assert_array_equal(np.asarray(open_image_source(image)), expected)


def test_load_passes_memory_errors_on(face, monkeypatch):
    def full(image):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "getexif", full)
    with pytest.raises(MemoryError):
        open_image(encoded(Image.fromarray(face)))


def test_open_image_silences_pillow_alone(face, monkeypatch):
    """While an image is open, as in another thread. Also where a program has put its own filters first since."""
    cut_exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHLL", 1, 0x010E, 2, 400, 9000) + bytes(4)
    content = encoded(Image.fromarray(face), "JPEG", exif=cut_exif)
    with pytest.warns(UserWarning, match="EXIF|Tag data|Truncated"):
        Image.open(io.BytesIO(content)).getexif()
    copy = Image.Image.copy

    def warning(image):
        warnings.warn("the program's own", stacklevel=1)
        return copy(image)

    monkeypatch.setattr(Image.Image, "copy", warning)
    for _ in range(2):
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            open_image(content)
        assert [str(each.message) for each in heard] == ["the program's own"]


def test_open_image_reads_open_files_and_rejects_base64(tmp_path, face):
    file = tmp_path / "face.png"
    Image.fromarray(face).save(file)
    with file.open("rb") as stream:
        np.testing.assert_array_equal(np.asarray(open_image_source(stream)), face)
    for kind in (bytes, bytearray, memoryview):
        np.testing.assert_array_equal(np.asarray(open_image_source(kind(file.read_bytes()))), face)
    with raises(DataError, "image-type"), (tmp_path / "text").open("w+") as stream:
        open_image_source(stream)
    # In these two the read itself fails: a closed file, and a JPEG's first byte, which is no UTF-8.
    with raises(DataError, "image-damaged", "closed file"):
        open_image_source(stream)
    (tmp_path / "text").write_bytes(b"\xff\xd8")
    with raises(DataError, "image-damaged"), (tmp_path / "text").open(encoding="utf-8") as stream:
        open_image_source(stream)
    with raises(DataError, "file-missing") as caught:
        open_image_source("/9j/" + "A" * 5000)
    assert len(str(caught.value)) < 200
