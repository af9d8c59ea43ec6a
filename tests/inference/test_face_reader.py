"""The path from an RGB image to predictions, its steps one by one."""

import numpy as np
import pytest

from mien.faces.face import Box, Face, crop_faces, square_around
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import load
from support import Fixed

RGB = np.random.default_rng(1).integers(0, 256, (120, 200, 3), dtype=np.uint8)
POINTS = {"right_eye": (45, 30), "left_eye": (70, 30), "right_mouth_corner": (48, 70), "left_mouth_corner": (66, 70)}
FACES = [Face(Box(20, 10, 80, 80), 0.9, POINTS), Face(Box(120, 60, 40, 50), 0.7, {})]


def test_the_light_of_a_photo_changes_no_answer(astronaut):
    """Oracle: the photo as it is. In a tenth of its light the crop is read as it is in full light."""
    faces = [Face(Box(180, 72, 90, 118), 0.9, {})]
    reader = FaceReader(load("fast"), Fixed(*FACES))
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


def test_known_faces_are_not_detected_again(classifier):
    class Blind(Fixed):
        def detect(self, rgb):
            raise AssertionError

    (prediction,) = FaceReader(classifier, Blind()).read(RGB, FACES[1:])
    assert prediction.box == FACES[1].box
    assert FaceReader(classifier, Blind()).read(RGB, []) == []


def test_no_detector_is_loaded_for_face_crops(classifier, monkeypatch):
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
