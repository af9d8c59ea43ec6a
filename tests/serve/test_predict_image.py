"""Files of every kind, within the limits of one image."""

import struct
import zlib

import pytest
from PIL import Image

from mien.faces.face import Box
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import load
from mien.serve import prediction_service
from mien.serve.limits import Limits
from mien.serve.schemas import ApiError
from support import Fixed, encoded, raises


def everywhere(count):
    return Fixed(*(Box(index, 0, 20, 20) for index in range(count)))


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
def predict(classifier):
    """Faces in a file; without a detector the file is a face crop."""

    def predict(data, detector=None, limits=Limits(), max_faces=None):  # noqa: B008
        reader = FaceReader(classifier, detector)
        return prediction_service.predict_image(data, reader, limits, crops=detector is None, max_faces=max_faces)

    return predict


@pytest.fixture
def refusal(predict):
    """The code with which a file is refused."""

    def refusal(*arguments, **named):
        with pytest.raises(ApiError) as refused:
            predict(*arguments, **named)
        return refused.value.code

    return refusal


DRAWINGS = [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n"]


@pytest.mark.parametrize("data", [b"hello", *DRAWINGS, b"PK\x03\x04", bytes(5000)])
def test_predict_image_rejects_other_files(refusal, data):
    assert refusal(data) == "image-format"


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "PPM"])
def test_predict_image_rejects_formats_that_are_not_served(refusal, kind):
    assert refusal(encoded(Image.new("L", (9, 9)), kind)) == "image-format"


@pytest.mark.parametrize("size", [(5001, 5000), (10_000, 10_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_predict_image_rejects_bombs_before_decoding(refusal, size, monkeypatch):
    monkeypatch.setattr(prediction_service, "open_image", None)
    assert refusal(png_of_size(*size)) == "image-pixels"


def test_pixel_limit_is_exact(predict, refusal):
    limits = Limits(max_pixels=600)
    assert predict(encoded(Image.new("L", (30, 20))), limits=limits).width == 30
    assert refusal(encoded(Image.new("L", (30, 21))), limits=limits) == "image-pixels"


def test_predict_image_limits_the_number_of_faces(predict, refusal):
    data = encoded(Image.new("L", (200, 50)))
    assert refusal(data, everywhere(101)) == "too-many-faces"
    assert refusal(data, everywhere(101), max_faces=101) == "too-many-faces"
    assert len(predict(data, everywhere(100)).predictions) == 100
    seen = predict(data, everywhere(101), max_faces=3)
    assert [each.box.left for each in seen.predictions] == [0, 1, 2]
    assert seen.found == 101


def test_predict_image_rejects_a_jpeg_with_many_scans(predict):
    """Each repeats a few bytes and costs a pass over all pixels."""
    plain = encoded(Image.new("L", (640, 480), 99), "JPEG", progressive=True)
    assert predict(plain).width == 640
    scan = plain.rindex(b"\xff\xda")
    end = plain.index(b"\xff\xd9", scan)
    with raises(ApiError, "too-much-work", "100"):
        predict(plain[:end] + 200 * plain[scan:end] + plain[end:])


def test_scan_count_includes_markers_after_fill_bytes(refusal):
    """ITU-T T.81, B.1.1.2: any marker may have any number of them before it."""
    plain = encoded(Image.new("L", (64, 48), 99), "JPEG")
    assert refusal(plain[:-2] + 150 * b"\xff\xff\xff\xda\0\x02" + plain[-2:]) == "too-much-work"
