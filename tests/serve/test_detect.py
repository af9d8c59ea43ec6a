"""Files of every kind, up to their face crops."""

import io
import struct
import zlib

import pytest
from PIL import Image

from mien.faces.face import Box, Face, Margin
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import load
from mien.serve import detect
from mien.serve.api_errors import ApiError
from mien.serve.limits import Limits
from support import raises


class Everywhere:
    """Finds this many faces in any image."""

    name, margin, score_range = "everywhere", Margin(size=1.0, down=0.0), (0.0, 1.0)

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


@pytest.fixture(scope="module")
def classifier():
    return load(threads=1)


@pytest.fixture
def detect_faces(classifier):
    """Faces in a file; without a detector the file is a face crop."""

    def detect_faces(data, detector=None, limits=Limits(), max_faces=None):  # noqa: B008
        reader = FaceReader(classifier, detector)
        return detect.detect_faces(data, reader, limits, crops=detector is None, max_faces=max_faces)

    return detect_faces


@pytest.fixture
def refusal(detect_faces):
    """The code with which a file is refused."""

    def refusal(*arguments, **named):
        with pytest.raises(ApiError) as refused:
            detect_faces(*arguments, **named)
        return refused.value.code

    return refusal


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
def test_files_that_are_not_images_are_refused(refusal, data):
    assert refusal(data) == "image-format"


def test_tiff_is_refused_by_name(detect_faces):
    with raises(ApiError, "image-format") as refused:
        detect_faces(encoded(Image.new("L", (9, 9)), "TIFF"))
    assert refused.value.status == 415
    assert "TIFF" in str(refused.value)


@pytest.mark.parametrize("size", [(5001, 5000), (10_000, 10_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_before_they_are_decoded(refusal, size, monkeypatch):
    monkeypatch.setattr(detect, "open_image", None)
    assert refusal(png_of_size(*size)) == "image-pixels"


def test_the_limit_of_pixels_is_exact(detect_faces, refusal):
    limits = Limits(max_pixels=600)
    assert detect_faces(encoded(Image.new("L", (30, 20))), limits=limits).width == 30
    assert refusal(encoded(Image.new("L", (30, 21))), limits=limits) == "image-pixels"


def test_a_crowd_is_refused_or_its_largest_faces_are_kept(detect_faces, refusal):
    data = encoded(Image.new("L", (200, 50)))
    assert refusal(data, Everywhere(101)) == "too-many-faces"
    assert refusal(data, Everywhere(101), max_faces=101) == "too-many-faces"
    assert len(detect_faces(data, Everywhere(100)).faces) == 100
    seen = detect_faces(data, Everywhere(101), max_faces=3)
    assert [face.box.left for face in seen.faces] == [0, 1, 2]
    assert seen.found == 101


def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded(detect_faces):
    """Each repeats a few bytes and costs a pass over all pixels."""
    plain = encoded(Image.new("L", (640, 480), 99), "JPEG", progressive=True)
    assert detect_faces(plain).width == 640
    scan = plain.rindex(b"\xff\xda")
    end = plain.index(b"\xff\xd9", scan)
    with raises(ApiError, "too-much-work") as refused:
        detect_faces(plain[:end] + 200 * plain[scan:end] + plain[end:])
    assert "over 100 scans" in str(refused.value)


def test_fill_bytes_before_a_marker_hide_no_scan(refusal):
    """ITU-T T.81, B.1.1.2: any marker may have any number of them before it."""
    plain = encoded(Image.new("L", (64, 48), 99), "JPEG")
    assert refusal(plain[:-2] + 150 * b"\xff\xff\xff\xda\0\x02" + plain[-2:]) == "too-much-work"


def run_length_bmp(side):
    """A grey BMP packed by RLE8, each row one pixel and the end of the line: few bytes, unpacked in Python."""
    pixels = b"\x01\x07\x00\x00" * side + b"\x00\x01"
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256))
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(pixels), 0, 0, 256, 256)
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + head + palette + pixels


@pytest.mark.parametrize("kind", ["bmp", "ppm"])
def test_large_images_that_pillow_decodes_in_python_are_refused(detect_faces, refusal, kind, monkeypatch):
    def packed(side):
        return run_length_bmp(side) if kind == "bmp" else b"P5 %d %d 254\n" % (side, side) + bytes(side * side)

    assert detect_faces(packed(50)).width == 50
    monkeypatch.setattr(detect, "open_image", None)
    assert refusal(packed(1001)) == "too-much-work"
