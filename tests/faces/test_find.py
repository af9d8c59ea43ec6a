"""Which detector is chosen, and mien.faces.detect on every kind of image."""

import types

import numpy as np
import pytest
from PIL import Image

import mien
from mien.base.errors import DataError, ModelError
from mien.faces.crop import crop_faces, square_around
from mien.faces.face import Box, Face, Margin
from mien.faces.find import find_detector
from mien.faces.yunet import YuNet
from support import Fixed, encoded, raises


def test_the_network_is_the_default_and_has_a_name():
    assert isinstance(find_detector(), YuNet)
    assert find_detector() is find_detector()
    with raises(ModelError, "detector-type", "str"):
        find_detector("yunet.onnx")


@pytest.mark.parametrize("score_range", [1.0, None, (0.0,), (0.0, 0.5, 1.0), ("low", "high"), "01"])
def test_a_detector_of_ones_own_without_two_scores_is_one_line(score_range):
    own = types.SimpleNamespace(detect=list, name="own", margin=Margin(1.0, 0.0), score_range=score_range)
    with raises(ModelError, "detector-type", "score_range"):
        find_detector(own)
    own.score_range = (0, 1)
    assert find_detector(own).score_range == (0, 1)


def test_every_kind_of_image_holds_the_same_face(astronaut, tmp_path):
    image = Image.fromarray(astronaut)
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(image))
    faces = mien.faces.detect(astronaut)
    assert len(faces) == 1
    for given in (path, str(path), path.read_bytes(), image):
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
    ],
)
def test_boxes_never_leave_the_image(monkeypatch, box, inside):
    """Oracle: by hand, in 100 x 60 pixels. The crop is of the whole box all the same."""
    scene = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    monkeypatch.setattr("mien.faces.find.find_detector", lambda: Fixed(box))
    assert [face.box for face in mien.faces.detect(scene)] == [inside]
    (photo,) = mien.load("fast").stream([scene], detector=Fixed(box))
    assert [prediction.box for prediction in photo.predictions] == [inside]
    expected = crop_faces(
        scene, [square_around(box, Fixed.margin)], *mien.load("fast").manifest.input.size_and_channels
    )
    np.testing.assert_array_equal(photo.predictions[0].crop, expected[0])


@pytest.mark.parametrize(
    "face",
    [
        *(
            Face(box, 0.5, {})
            for box in (Box(-40, -40, 10, 10), Box(150, 70, 10, 10), Box(0, 0, 0, 5), Box(0, 0, 10**9, 9))
        ),
        *(Face(Box(1, 1, 9, 9), score, {}) for score in (1.5, -0.1, float("nan"))),
    ],
)
def test_find_detector_rejects_impossible_faces(face):
    with raises(ModelError, "detector-faces", "fixed"):
        find_detector(Fixed(face)).detect(np.zeros((60, 100, 3), np.uint8))


def test_predict_rejects_an_image_without_pixels():
    with raises(DataError, "image-empty", "0 x 5"):
        mien.load("fast").predict(Image.new("RGB", (0, 5)))
