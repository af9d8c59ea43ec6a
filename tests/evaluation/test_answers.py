"""Oracles: scikit-learn's balanced accuracy, counts by hand, and what the model's own predictions say of each face."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from mien.base.errors import DataError
from mien.data.synthetic import render_faces
from mien.evaluation.estimates import evaluate_answers
from mien.evaluation.intervals import proportion
from mien.evaluation.predictions import Answers, VotePredictions, read_predictions, write_predictions
from mien.inference.predictor import load
from mien.pipeline.split_predictions import answers_of
from support import raises


@pytest.fixture
def predictions(make_predictions):
    return make_predictions(0)


def test_without_answers_the_most_probable_class_is_measured_by_the_label(predictions):
    found = evaluate_answers(predictions, 20)
    top = predictions.probabilities.argmax(axis=1)
    counts = np.bincount(predictions.labels, minlength=len(predictions.classes))
    assert (found.output, found.truth, found.samples) == ("", "label", len(predictions))
    assert found.right.value == pytest.approx((top == predictions.labels).mean())
    assert found.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(predictions.labels, top))
    assert found.largest_class == predictions.classes[counts.argmax()]
    assert found.largest_share == counts.max() / counts.sum()
    assert found.unsure == proportion(0, len(predictions)), "none here: another sample may be"
    assert found.right.low <= found.right.value <= found.right.high


@pytest.mark.parametrize("right", [1, 41, 99])
def test_an_answer_without_errors_has_wilsons_interval(predictions, right):
    """The rest is unsure: 1 minus both shares would be a rounding error."""
    said = np.array(predictions.classes)[predictions.labels[:100]].astype("<U10")
    said[right:] = "unsure"
    answers = Answers(said, np.full(100, 0.5), "answer")
    found = evaluate_answers(replace(predictions.subset(np.arange(len(predictions)) < 100), answers=answers), 20)
    assert found.wrong == proportion(0, 100)


def with_answers(predictions):
    """Four samples: right by the majority, unsure, not a face, and one without a majority."""
    votes = VotePredictions(np.array([[9, 0], [9, 1], [0, 10], [5, 5]]), predictions.classes[:2])
    said = np.array([predictions.classes[0], "unsure", "not-a-face", predictions.classes[1]])
    answers = Answers(said, np.array([0.7, 0.2, 0.9, 0.8]), "answer")
    return replace(predictions.subset(np.arange(4)), votes=votes, answers=answers)


def test_answers_of_votes_are_measured_by_the_majority(predictions):
    found = evaluate_answers(with_answers(predictions), 20)
    assert (found.output, found.truth, found.samples) == ("answer", "majority", 3)
    assert [each.value for each in (found.right, found.wrong, found.unsure)] == pytest.approx([1 / 3] * 3)
    assert found.balanced_accuracy.value == pytest.approx((1 / 2 + 0) / 2)
    # Two answers in two bins: 0.7 was right, 0.9 was wrong.
    assert found.calibration_error.value == pytest.approx((abs(1 - 0.7) + abs(0 - 0.9)) / 2)
    assert [(each.name, each.samples, each.unsure) for each in found.per_class] == [
        (predictions.classes[0], 2, 0.5),
        (predictions.classes[1], 1, 0.0),
    ]


def test_a_predictions_file_keeps_the_answers(predictions, tmp_path):
    write_predictions(tmp_path / "p.npz", with_answers(predictions))
    found = read_predictions(tmp_path / "p.npz").answers
    assert found is not None
    assert (found.said.tolist()[1:3], found.output) == (["unsure", "not-a-face"], "answer")
    assert found.confidence.tolist() == [0.7, 0.2, 0.9, 0.8]
    with raises(DataError, "answers-type"):
        replace(predictions, answers=found)
    with raises(DataError, "answers-range"):
        Answers(np.array(["happy"]), np.array([1.5]), "")
    for shape in ((), (2, 2)):
        with raises(DataError, "answers-type"):
            Answers(np.full(shape, "happy"), np.full(shape, 0.5), "")


def test_answers_equal_those_of_predict():
    model = load("fast")
    images = render_faces(np.arange(40) % 7, seed=1)
    noise = np.random.default_rng(0).integers(0, 256, (10, *images.shape[1:]), dtype=np.uint8)
    images = np.concatenate([images, noise, np.zeros_like(noise[:2])])
    shown = model.predict_crops(list(images))
    found = answers_of(model.output, model.probabilities(images))
    assert found.said.tolist() == [each.answer for each in shown]
    assert found.confidence == pytest.approx([each.confidence for each in shown])
    assert {"unsure", "not-a-face"} & set(found.said.tolist()), "or the test shows little"
