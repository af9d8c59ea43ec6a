"""Files of every kind, before the network sees anything."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from mien.faces.face import Box, Face, Margin
from mien.preprocess import grey_square
from mien.serve import looking
from mien.serve.limits import Limits
from mien.serve.looking import look
from mien.serve.refusals import RefusedError


class Everywhere:
    """Finds so many faces in any picture."""

    name, margin = "everywhere", Margin(size=1.0, down=0.0)

    def __init__(self, faces):
        self.faces = faces

    def detect(self, rgb):
        return [Face(Box(index, 0, 20, 20), 1.0, {}) for index in range(self.faces)]


def encoded(image, kind="PNG", **named):
    stream = io.BytesIO()
    image.save(stream, kind, **named)
    return stream.getvalue()


def png_of_size(width, height):
    """The head of a PNG that claims to be so large, without its pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"")


def refusal(data, detector=None, limits=Limits(), max_faces=None):  # noqa: B008
    with pytest.raises(RefusedError) as refused:
        look(data, detector, 48, limits, max_faces)
    return refused.value.code


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"PK\x03\x04",
        bytes(5000),
    ],
)
def test_what_is_no_image_is_said_to_be_none(data):
    assert refusal(data) == "not_an_image"


def test_tiff_is_refused_by_name():
    with pytest.raises(RefusedError, match="TIFF, which the service does not read") as refused:
        look(encoded(Image.new("L", (9, 9)), "TIFF"), None, 48, Limits(), None)
    assert (refused.value.code, refused.value.status) == ("not_an_image", 415)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_images_that_are_cut_off_are_refused_in_words(kind, share, faces):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    assert look(data, None, 48, Limits(), None).found == 1
    assert refusal(data[: int(len(data) * share)]) in {"damaged_image", "not_an_image"}


@pytest.mark.parametrize("size", [(5001, 5000), (10_000, 10_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_before_they_are_decoded(size, monkeypatch):
    monkeypatch.setattr(looking, "open_image", None)
    assert refusal(png_of_size(*size)) == "too_many_pixels"


def test_a_real_bomb_too():
    """100 kB that unpack to 900 million pixels."""
    data = encoded(Image.new("1", (30_000, 30_000)))
    assert len(data) < 200_000
    assert refusal(data) == "too_many_pixels"


def test_the_limit_of_pixels_is_exact():
    limits = Limits(max_pixels=600)
    assert look(encoded(Image.new("L", (30, 20))), None, 48, limits, None).width == 30
    assert refusal(encoded(Image.new("L", (30, 21))), limits=limits) == "too_many_pixels"


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (48, 48), (3000, 20)])
def test_pictures_of_any_kind_and_size_are_seen(mode, size):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    image = Image.new("L", size, 77).convert(mode)
    data = encoded(image, kind)
    image = Image.open(io.BytesIO(data))
    crop = look(data, None, 48, Limits(), None)
    assert (crop.width, crop.height) == size
    assert crop.boxes == (None,)
    np.testing.assert_array_equal(crop.squares[0], grey_square(image, 48))
    photo = look(data, Everywhere(2), 48, Limits(), None)
    assert photo.squares.shape == (2, 48, 48)


def test_filters_of_warnings_are_not_swapped_while_a_picture_is_open(monkeypatch):
    """They belong to the process, and pictures are opened in several threads."""
    data, opened = encoded(Image.new("L", (9, 9))), Image.open
    look(data, None, 48, Limits(), None)
    before, seen = warnings.filters, []
    monkeypatch.setattr(
        Image, "open", lambda *args, **named: (seen.append(warnings.filters), opened(*args, **named))[1]
    )
    look(data, None, 48, Limits(), None)
    assert len(seen) == 2
    assert all(filters is before for filters in seen)


def test_an_animation_is_its_first_picture():
    frames = [Image.new("L", (50, 50), value) for value in (10, 200)]
    seen = look(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), None, 48, Limits(), None)
    assert np.unique(seen.squares).tolist() == [10]


def test_a_crowd_is_refused_or_its_largest_faces_are_read():
    data = encoded(Image.new("L", (200, 50)))
    assert refusal(data, Everywhere(101)) == "too_many_faces"
    assert refusal(data, Everywhere(101), max_faces=101) == "too_many_faces"
    assert len(look(data, Everywhere(100), 48, Limits(), None).boxes) == 100
    seen = look(data, Everywhere(101), 48, Limits(), 3)
    assert [box.left for box in seen.boxes] == [0, 1, 2]
    assert seen.found == 101


def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded():
    """Each repeats a few bytes and costs a pass over all pixels."""
    stream = io.BytesIO()
    Image.new("L", (640, 480), 99).save(stream, "JPEG", progressive=True)
    plain = stream.getvalue()
    assert look(plain, None, 48, Limits(), None).width == 640
    scan = plain.rindex(b"\xff\xda")
    end = plain.index(b"\xff\xd9", scan)
    with pytest.raises(RefusedError, match="over 100 scans") as refused:
        look(plain[:end] + 200 * plain[scan:end] + plain[end:], None, 48, Limits(), None)
    assert refused.value.code == "too_much_work"


def test_fill_bytes_before_a_marker_hide_no_scan():
    """ITU-T T.81, B.1.1.2: any marker may have any number of them before it."""
    stream = io.BytesIO()
    Image.new("L", (64, 48), 99).save(stream, "JPEG")
    plain = stream.getvalue()
    assert refusal(plain[:-2] + 150 * b"\xff\xff\xff\xda\0\x02" + plain[-2:]) == "too_much_work"


def run_length_bmp(side):
    """A grey BMP packed by RLE8, each row one pixel and the end of the line: few bytes, unpacked in Python."""
    pixels = b"\x01\x07\x00\x00" * side + b"\x00\x01"
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256))
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(pixels), 0, 0, 256, 256)
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + head + palette + pixels


@pytest.mark.parametrize("kind", ["bmp", "ppm"])
def test_what_is_unpacked_in_python_is_refused_where_it_is_large(kind, monkeypatch):
    def packed(side):
        return run_length_bmp(side) if kind == "bmp" else b"P5 %d %d 254\n" % (side, side) + bytes(side * side)

    assert look(packed(50), None, 48, Limits(), None).width == 50
    monkeypatch.setattr(looking, "open_image", None)
    assert refusal(packed(1001)) == "too_much_work"


@pytest.mark.parametrize("where", ["after its end", "in a segment"])
def test_what_only_looks_like_scans_is_none(where):
    """A phone's moving picture lies behind the still one; a segment may hold anything."""
    stream = io.BytesIO()
    Image.new("L", (64, 48), 99).save(stream, "JPEG", quality=90)
    plain, likeness = stream.getvalue(), 400 * b"\xff\xda\0\x08"
    segment = b"\xff\xef" + (len(likeness) + 2).to_bytes(2, "big") + likeness
    data = plain + bytes(4) + likeness if where == "after its end" else plain[:2] + segment + plain[2:]
    assert look(data, None, 48, Limits(), None).width == 64
