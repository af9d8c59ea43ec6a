"""Which detector is chosen, and mien.faces.detect on every kind of image."""

import io

import numpy as np
import pytest
from PIL import Image

import mien
from mien.base.errors import DataError, ModelError
from mien.faces.crop import crop_faces
from mien.faces.face import Box, Face, Margin
from mien.faces.find import VARIABLE, choose, find_detector
from mien.faces.haar import HaarDetector
from mien.faces.yunet import yunet_path
from support import raises


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))


def test_without_any_network_the_cascade_is_used(monkeypatch, tmp_path):
    monkeypatch.setattr("mien.faces.find.network_files", lambda: (tmp_path / "missing.onnx",))
    assert isinstance(find_detector(), HaarDetector)
    assert find_detector() is find_detector()
    assert "make web" in choose().why


def test_what_is_built_here_is_used(monkeypatch, tmp_path):
    """Oracle: the files that `choose` names. A wheel has them; a checkout after `make web`."""
    built = tmp_path / "built.onnx"
    built.write_bytes(b"")
    monkeypatch.setattr("mien.faces.find.network_files", lambda: (built,))
    assert (choose().kind, choose().files) == ("network", (built,))


def test_the_cascade_can_be_asked_for_by_name(monkeypatch):
    yunet_path().parent.mkdir(parents=True)
    yunet_path().write_bytes(b"damaged")
    monkeypatch.setenv(VARIABLE, "haar")
    assert isinstance(find_detector(), HaarDetector)


def test_a_damaged_installed_file_is_one_line_not_another_detector():
    yunet_path().parent.mkdir(parents=True)
    yunet_path().write_bytes(b"damaged")
    with raises(ModelError, "detector-damaged"):
        find_detector()


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "detector-unreadable"), (b"", "detector-format"), (b"no network at all", "detector-format")],
)
def test_a_variable_that_names_no_detector_is_one_line(monkeypatch, tmp_path, content, code, capfd):
    path = tmp_path / "detector.onnx"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(VARIABLE, str(path))
    with raises(ModelError, code) as caught:
        find_detector()
    assert str(path) in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_every_kind_of_image_holds_the_same_face(astronaut, tmp_path):
    image = Image.fromarray(astronaut)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    path = tmp_path / "photo.png"
    path.write_bytes(buffer.getvalue())
    faces = mien.faces.detect(astronaut)
    assert len(faces) == 1
    for given in (path, str(path), buffer.getvalue(), image):
        assert mien.faces.detect(given) == faces
    assert len(mien.faces.detect(np.asarray(image.convert("L")))) == 1


def test_a_photo_of_a_turned_camera_is_put_upright(astronaut, tmp_path):
    """Oracle: the image itself. EXIF 6 says that its columns run from top to bottom."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Image.fromarray(np.rot90(astronaut)).save(path, exif=exif)
    assert mien.faces.detect(path) == mien.faces.detect(astronaut)
    with Image.open(path) as opened:
        assert mien.faces.detect(opened) == mien.faces.detect(astronaut)


def test_something_else_is_no_image():
    with raises(DataError, "image-type"):
        mien.faces.detect({})


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        (Box(10, 20, 30, 40), Box(10, 20, 30, 40)),
        (Box(-5, -6, 200, 30), Box(0, 0, 100, 24)),
        (Box(90, 50, 40, 40), Box(90, 50, 10, 10)),
        (Box(-40, -40, 10, 10), Box(0, 0, 1, 1)),
        (Box(150, 70, 10, 10), Box(99, 59, 1, 1)),
    ],
)
def test_boxes_never_leave_the_image(monkeypatch, box, inside):
    """Oracle: by hand, in 100 x 60 pixels. The crop is of the whole box all the same."""

    class Fixed:
        name, margin, score_range = "fixed", Margin(1.05, 0.0), (0.0, 1.0)

        def detect(self, rgb):
            return [Face(box, 1.0, {})]

    scene = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    monkeypatch.setattr("mien.faces.find.find_detector", Fixed)
    assert [face.box for face in mien.faces.detect(scene)] == [inside]
    (photo,) = mien.load("fast").stream([scene], detector=Fixed())
    assert [face.box for face in photo.faces] == [prediction.box for prediction in photo.predictions] == [inside]
    expected = crop_faces(scene, [box], Fixed.margin, *mien.load("fast").manifest.input.stored_as)
    np.testing.assert_array_equal(photo.predictions[0].crop, expected[0])
