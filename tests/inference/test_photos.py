"""Faces found and read in whole images."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError, MienWarning
from mien.faces.face import Box, Face, crop_faces, square_around
from mien.inference.drawing import draw_predictions
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import load
from support import FIELDS, Fixed, raises


@pytest.fixture
def use(monkeypatch):
    def choose(*boxes):
        monkeypatch.setattr("mien.inference.face_reader.find_detector", lambda wanted: Fixed(*boxes))

    return choose


SCENE = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
BOXES = (Box(20, 10, 80, 80), Box(120, 60, 40, 50))


LAZY = [iter, lambda images: (each for each in images), lambda images: dict(enumerate(images)).values()]


@pytest.mark.parametrize("wrap", [list, tuple, "series", *LAZY])
def test_whatever_holds_images_is_several(classifier, wrap, tmp_path):
    """Oracle: the list. Paths as tables and globs hand them out, too."""
    wrap = pytest.importorskip("pandas").Series if wrap == "series" else wrap
    Image.fromarray(SCENE).save(tmp_path / "a.png")
    detector = Fixed(*BOXES)
    for images in ([SCENE, SCENE], [tmp_path / "a.png"], [str(tmp_path / "a.png")]):
        expected = [[len(each) for each in classifier.predict(images, detector=detector)]]
        expected.append([each.answer for each in classifier.predict_crops(images)])
        found = [[len(each) for each in classifier.predict(wrap(images), detector=detector)]]
        found.append([each.answer for each in classifier.predict_crops(wrap(images))])
        assert (found, len(list(classifier.stream(wrap(images), detector=detector)))) == (expected, len(images))


def test_faces_outside_the_limits_are_left_out_and_crops_get_a_hint(classifier):
    given = {"detector": Fixed(*BOXES)}
    assert [prediction.box for prediction in classifier.predict(SCENE, min_size=60, **given)] == [BOXES[0]]
    assert [prediction.box for prediction in classifier.predict(SCENE, max_faces=1, **given)] == [BOXES[0]]
    assert len(classifier.predict([SCENE, SCENE], min_score=1, **given)[1]) == 2
    with raises(DataError, "min-score-range"):
        classifier.predict(SCENE, min_score=1.5, **given)
    with pytest.warns(MienWarning, match="predict_crops") as caught:
        assert classifier.predict([SCENE, SCENE[:55, :36]], detector=Fixed()) == [[], []]
    assert [each.message.code for each in caught] == ["crops-as-photos"]


def test_arrays_of_opencv_are_in_another_order(classifier):
    """Oracle: the same image in RGB; the crop of a red face is darker in blue."""
    red = np.zeros((120, 200, 3), dtype=np.uint8)
    red[..., 0] = 200
    given = {"detector": Fixed(BOXES[0])}
    given_images = ((red, False), (red[..., ::-1], True), (red[..., ::-1], False))
    (rgb,), (bgr,), (wrong,) = (classifier.predict(image, bgr=bgr, **given) for image, bgr in given_images)
    assert rgb == bgr
    assert np.array_equal(rgb.crop, bgr.crop)
    assert wrong.crop.mean() < rgb.crop.mean()


def test_predictions_compare_are_keys_and_hold_box_and_landmarks(classifier):
    first, second = classifier.predict(SCENE, detector=Fixed(*BOXES))
    again, _ = classifier.predict(SCENE, detector=Fixed(*BOXES))
    assert first == again
    assert first is not again
    assert len({first, again, second}) == 2
    assert first != second
    assert first != replace(first, detection_score=0.5)
    assert first != "happy"
    points, fixed = {"right_eye": (30.26, 40.0), "nose": (50.0, 60.0)}, Fixed(BOXES[0])
    fixed.faces = [Face(BOXES[0], 1.0, points)]
    (prediction,) = classifier.predict(SCENE, detector=fixed)
    assert prediction.landmarks == points
    answer = prediction.to_dict()
    assert list(answer) == ["source", "box", "detection_score", "landmarks", *FIELDS, "probabilities"]
    assert answer["box"] == {"left": 20, "top": 10, "width": 80, "height": 80}
    assert answer["landmarks"] == {"right_eye": [30.3, 40.0], "nose": [50.0, 60.0]}
    assert "box" not in classifier.predict_crops(SCENE)[0].to_dict()


def test_a_photo_is_drawn_as_its_annotated_copy_is(classifier, use, tmp_path):
    """Oracle: draw_predictions."""
    (photo,) = classifier.stream([SCENE], detector=Fixed(*BOXES))
    assert np.array_equal(np.asarray(photo.draw()), np.asarray(draw_predictions(SCENE, photo.predictions)))
    assert np.array_equal(photo.rgb, SCENE)
    (crop_of_face,) = classifier.stream([SCENE], crops=True)
    with raises(DataError, "image-missing"):
        crop_of_face.draw()
    use(BOXES[0])
    for name in ("b.png", "a.png"):
        Image.fromarray(SCENE).save(tmp_path / name)
    assert [type(prediction).__name__ for prediction in classifier.predict(tmp_path / "a.png")] == ["Prediction"]
    assert [len(predictions) for predictions in classifier.predict([SCENE, SCENE])] == [1, 1]
    with raises(DataError, "image-format"):
        classifier.predict(tmp_path)


def test_photos_tell_size_and_detector_and_leave_bad_ones_out(classifier):
    told = {}
    both = classifier.predict([SCENE, b"no"], detector=Fixed(BOXES[0]), on_error=told.__setitem__)
    assert ([len(each) for each in both], told.pop("image 2").code) == ([1, 0], "image-format")
    photos = list(classifier.stream([SCENE, b"no", SCENE], detector=Fixed(*BOXES), on_error=told.__setitem__))
    facts = [(photo.source, photo.width, photo.height, photo.detector) for photo in photos]
    assert facts == [(f"image {number}", 200, 120, "fixed") for number in (1, 3)]
    assert ([each.box for each in photos[0].predictions], {photos[0]: 1}[photos[0]]) == (list(BOXES), 1)
    assert list(told) == ["image 2"]
    assert str(told["image 2"]).startswith("image 2 ")


def test_a_prediction_shows_its_face_and_a_bar_for_each_class(classifier, use):
    use(BOXES[0])
    (prediction,) = classifier.predict(SCENE)
    shown = prediction.show()
    assert prediction._repr_png_().startswith(b"\x89PNG")
    assert replace(prediction, crop=None)._repr_png_() is None
    assert shown.mode == "RGB"
    face = np.asarray(shown.crop((0, 0, 288, 288)).resize((48, 48), Image.Resampling.BOX).convert("L"), dtype=float)
    assert np.corrcoef(face.ravel(), prediction.crop.astype(float).ravel())[0, 1] > 0.9
    with raises(DataError, "image-missing"):
        replace(prediction, crop=None).show()


RGB = np.random.default_rng(1).integers(0, 256, (120, 200, 3), dtype=np.uint8)
POINTS = {"right_eye": (45, 30), "left_eye": (70, 30), "right_mouth_corner": (48, 70), "left_mouth_corner": (66, 70)}
FACES = [Face(Box(20, 10, 80, 80), 0.9, POINTS), Face(Box(120, 60, 40, 50), 0.7, {})]


def test_the_light_of_a_photo_changes_no_answer(astronaut):
    """Oracle: the photo as it is. In a tenth of its light the crop is read as it is in full light."""
    faces, reader = [Face(Box(180, 72, 90, 118), 0.9, {})], FaceReader(load("fast"), Fixed(*FACES))
    (full,), (dark,) = (reader.read(photo, faces) for photo in (astronaut, (astronaut * 0.1).astype(np.uint8)))
    assert dark.answer == full.answer == "happy"
    assert dark.probability_vector == pytest.approx(full.probability_vector, abs=0.1)


def test_an_image_is_read_by_its_steps(classifier):
    """Oracle: detector, crops and model, each called by hand."""
    reader = FaceReader(classifier, Fixed(*FACES))
    crops = crop_faces(RGB, [square_around(face.box, Fixed.margin, face.landmarks) for face in FACES], 48)
    assert np.array_equal(reader.crop(RGB, reader.detect(RGB)), crops)
    assert (crops[0] != crop_faces(RGB, [square_around(FACES[0].box, Fixed.margin)], 48)[0]).any()
    assert np.array_equal(reader.classify(crops), classifier.probabilities(crops))
    for prediction, face, crop in zip(reader.read(RGB, source="photo.png"), FACES, crops, strict=True):
        assert (prediction.source, prediction.classes) == ("photo.png", classifier.classes)
        assert (prediction.box, prediction.detection_score) == (face.box, face.score)
        assert np.array_equal(prediction.crop, crop)
    (binary, _) = FaceReader(classifier, Fixed(*FACES), classes="binary").read(RGB)
    assert binary.classes == ("negative", "positive")


def test_known_faces_are_not_detected_again(classifier, monkeypatch):
    class Blind(Fixed):
        def detect(self, rgb):
            raise AssertionError

    (prediction,) = FaceReader(classifier, Blind()).read(RGB, FACES[1:])
    assert (prediction.box, FaceReader(classifier, Blind()).read(RGB, [])) == (FACES[1].box, [])
    monkeypatch.setattr("mien.inference.face_reader.find_detector", lambda wanted: 1 / 0)
    assert FaceReader(classifier).classify(np.zeros((1, 48, 48), np.uint8)).shape == (1, 7)


@pytest.mark.parametrize("flip", [True, False])
def test_read_averages_mirrored_views_only_if_training_saw_them(classifier, flip):
    """Oracle: the probabilities of crops and mirrored crops, averaged by hand."""
    recipe = classifier.manifest.recipe | {"augment": {"flip": flip}}
    model = classifier.with_manifest(classifier.manifest.model_copy(update={"recipe": recipe}))
    reader = FaceReader(model, Fixed(*FACES))
    crops = reader.crop(RGB, FACES)
    plain, mirrored = (classifier.probabilities(np.ascontiguousarray(view)) for view in (crops, crops[:, :, ::-1]))
    expected = (plain + mirrored) / 2 if flip else plain
    np.testing.assert_allclose([each.probability_vector for each in reader.read(RGB)], expected, atol=1e-6)
