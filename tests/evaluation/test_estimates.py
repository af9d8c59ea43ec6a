"""Oracles: scikit-learn on the very rows each resample drew; the binomial distribution; closed forms."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.metrics import balanced_accuracy_score

from mien.base.errors import DataError
from mien.data.synthetic import render_faces
from mien.evaluation.estimates import break_down, evaluate_answers, evaluate_predictions, evaluate_subsets, group_values
from mien.evaluation.metrics import proportion, resampled_weights, share_difference
from mien.evaluation.named_metrics import HEADLINES, resample
from mien.evaluation.predictions import Answers, Predictions, VotePredictions, read_predictions, write_predictions
from mien.inference.predictor import load
from mien.pipeline.split_predictions import answers_of
from support import make_predictions, raises


def made_predictions(rows: int = 300, classes: int = 4, labels=None) -> Predictions:
    labels = np.random.default_rng(1).integers(0, classes, rows) if labels is None else labels
    return make_predictions(labels, [f"class {index}" for index in range(classes)], split="test", skill=1)


def test_the_table_of_classes_matches_scikit_learn():
    predictions = made_predictions()
    evaluation = evaluate_predictions(predictions, resamples=5)
    labels, probabilities = predictions.labels, predictions.probabilities
    predicted = probabilities.argmax(axis=1)
    report = sk.classification_report(labels, predicted, output_dict=True)
    lines = {str(index): figures for index, figures in enumerate(evaluation.per_class)}
    lines |= {"macro avg": evaluation.macro, "weighted avg": evaluation.weighted}
    for name, figures in lines.items():
        assert figures.precision == pytest.approx(report[name]["precision"], abs=1e-9)
        assert figures.recall == pytest.approx(report[name]["recall"], abs=1e-9)
        assert figures.f1 == pytest.approx(report[name]["f1-score"], abs=1e-9)
        assert figures.support == report[name]["support"]
    weighted_auc = sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="weighted")
    assert evaluation.weighted.auc == pytest.approx(weighted_auc, abs=1e-9)
    np.testing.assert_array_equal(evaluation.confusion, sk.confusion_matrix(labels, predicted))
    assert evaluation.confusion.dtype == np.int64


def test_intervals_are_percentiles_of_the_resamples():
    """Oracle: the resamples themselves, which test_named_metrics.py holds to scikit-learn's."""
    predictions = made_predictions(rows=80, classes=3)
    evaluation = evaluate_predictions(predictions, resamples=40)
    (own,) = resample([predictions], HEADLINES, 40)
    *found, calibration = evaluation.headline.values()
    expected = np.quantile(own.drawn[:, :-1], [0.025, 0.975], axis=0).T
    np.testing.assert_allclose([(each.low, each.high) for each in found], expected, rtol=1e-9)
    assert [each.value for each in (*found, calibration)] == own.values.tolist()
    assert math.isnan(calibration.low)


@pytest.mark.parametrize(
    "labels",
    [[0], [1, 1, 1, 1], [0, 0, 2], [0, 1, 2, 2, 2, 2]],
    ids=["one row", "one class", "an absent class", "rare classes"],
)
def test_small_splits_are_evaluated_without_warnings(labels):
    evaluation = evaluate_predictions(made_predictions(len(labels), 3, labels=labels), resamples=100)
    for name in ("accuracy", "macro_f1", "log_loss"):
        estimate = evaluation.headline[name]
        assert math.isfinite(estimate.value)
        assert 0 <= estimate.low <= estimate.high or (len(set(labels)) == 1 and name != "accuracy")
    assert math.isnan(evaluation.macro_auc.value) == (len(set(labels)) == 1)
    assert 0 <= evaluation.calibration_error.value <= 1
    json.dumps(evaluation.to_dict(), allow_nan=False)


def test_absent_classes_are_null_and_left_out_of_averages():
    evaluation = evaluate_predictions(made_predictions(200, 3, labels=[0, 2] * 100), resamples=10)
    absent = evaluation.to_dict()["per_class"][1]
    assert absent["support"] == 0
    assert absent["recall"] is absent["f1"] is absent["auc"] is None
    first, _, last = evaluation.per_class
    assert evaluation.macro.f1 == evaluation.macro_f1.value == pytest.approx((first.f1 + last.f1) / 2, abs=1e-12)
    assert evaluation.macro_auc.value == pytest.approx((first.auc + last.auc) / 2, abs=1e-12)
    (none,) = evaluate_subsets(made_predictions(12), {"none": np.zeros(12, bool)}, 5)
    assert (none.value, none.count, math.isnan(none.accuracy.value)) == ("none", 0, True)
    evaluation = evaluate_predictions(made_predictions(), resamples=10)
    found = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert list(found) == [
        "version", "split", "samples", "classes", "data_fingerprint", "headline", "per_class", "macro", "weighted",
        "intervals", "confusion_matrix",
    ]  # fmt: skip
    names = ["accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "log_loss", "calibration_error"]
    assert (list(found["headline"]), found["headline"]["accuracy"]["low"]) == (names, evaluation.accuracy.low)
    assert (found["intervals"]["resamples"], found["intervals"]["seed"]) == (10, 0)
    assert np.array_equal(found["confusion_matrix"], evaluation.confusion)


def test_break_down_is_an_evaluation_of_each_part():
    predictions, values = made_predictions(rows=300), np.array(["b", "a", "a"] * 100)
    parts = break_down("x", predictions, values).parts
    assert [(part.value, part.count) for part in parts] == [("a", 200), ("b", 100)]
    for part in parts:
        inside = values == part.value
        arrays = (predictions.sample_ids, predictions.labels, predictions.probabilities)
        alone = evaluate_predictions(Predictions(*(each[inside] for each in arrays), predictions.classes, "x", ""))
        assert (part.accuracy, part.macro_f1) == (alone.accuracy, alone.macro_f1)
    json.dumps([part.to_dict() for part in parts], allow_nan=False)


@pytest.mark.parametrize(("values", "expected"), [
    (np.array([10, 9, 10]), [("9", 1), ("10", 2)]),
    (np.array([True, False, True]), [("False", 1), ("True", 2)]),
    (np.array([20, np.nan, 3]), [("3", 1), ("20", 1)]),  # a whole number with gaps is read as a fraction
    (np.array([False, None, "x"], dtype=object), [("False", 1), ("x", 1)]),
    (np.array(["b", "", "nan"]), [("b", 1)]),
    (np.array(["NA", "b", "n/a"]), [("b", 1)]),
    (np.array(["None", "<NA>", "F"]), [("F", 1)]),
])  # fmt: skip
def test_break_down_leaves_out_missing_values(values, expected):
    parts = break_down("x", made_predictions(rows=3), values, resamples=10).parts
    assert [(part.value, part.count) for part in parts] == expected


def test_gaps_compare_each_value_with_all_others():
    labels, values = np.arange(300) % 3, np.array(["a", "b", "c"]).repeat(100)
    answers = np.where((values == "b") & (labels == 2), 0, labels)
    predictions = Predictions(np.arange(300), labels, np.eye(3)[answers], ("x", "y", "z"), "s", "")
    gaps = break_down("x", predictions, values, 5).gaps
    worst = min(gaps, key=lambda gap: gap.p_value)
    assert (len(gaps), worst.value, worst.metric, worst.count) == (12, "b", "recall of z", 33)
    assert (worst.rate.value, worst.difference.value) == (0, -1)
    hits = answers == labels
    assert worst.p_value == pytest.approx(12 * share_difference(hits[labels == 2], values[labels == 2] == "b")[1])
    assert not break_down("x", made_predictions(60), np.arange(60) == 7, 5).gaps, "one sample is not compared"


def test_numbers_with_few_samples_each_are_cut_into_quarters_at_once():
    ages = np.arange(200) % 50 + 20
    parts = break_down("x", made_predictions(rows=200), ages, resamples=5).parts
    assert [(part.value, part.count) for part in parts] == [
        ("20 to 32", 52), ("33 to 44", 48), ("45 to 57", 52), ("58 to 69", 48),
    ]  # fmt: skip
    often = break_down("x", made_predictions(rows=240), np.arange(240) % 12, resamples=5).parts
    assert len(often) == 12, "each has enough samples"
    distinct, group_of = group_values(np.r_[np.arange(900) % 90, np.full(199_100, 30)])
    assert len(distinct) <= 4
    assert np.bincount(group_of).sum() == 200_000
    predictions = made_predictions(rows=300)
    with raises(DataError, "group", 300):
        break_down("x", predictions, np.arange(300))
    with raises(DataError, "group"):
        break_down("x", predictions, np.full(300, np.nan))


@pytest.mark.parametrize(("values", "expected"), [
    (np.arange(164) % 41 - 20, ["-20 to -10", "-9 to 0", "1 to 10", "11 to 20"]),
    (np.arange(200) % 50 / 4, ["0 to 3", "3.25 to 6", "6.25 to 9.25", "9.5 to 12.25"]),
    (np.array([f"{at % 6}_{at % 5}" for at in range(90)]), sorted({f"{at % 6}_{at % 5}" for at in range(90)})),
    (np.r_[np.arange(400) % 10, 11, 12], [*range(10), 11, 12]),
], ids=["negative", "decimal", "names", "two rare"])  # fmt: skip
def test_groups_of_numbers_are_in_order(values, expected):
    assert group_values(values)[0].tolist() == expected


def test_macro_intervals_leave_out_resamples_that_lack_a_class():
    """Oracle: scikit-learn's on the same resamples, those without the one sample of a class left out."""
    predictions = made_predictions(40, 3, labels=[*np.arange(39) % 2, 2])
    said, drawn = predictions.probabilities.argmax(axis=1), []
    for weights in next(resampled_weights(40, 300)):
        if weights[39]:
            rows = np.repeat(np.arange(40), weights.astype(int))
            drawn.append(sk.f1_score(predictions.labels[rows], said[rows], labels=[0, 1, 2], average="macro"))
    assert 100 < len(drawn) < 250
    found = evaluate_predictions(predictions, resamples=300).macro_f1
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    labels = np.arange(30) % 3
    predictions = Predictions(np.arange(30), labels, np.eye(3)[labels], ("a", "b", "c"), "test", "")
    *intervals, calibration = evaluate_predictions(predictions, resamples=20).headline.values()
    assert intervals[0] == proportion(30, 30), "all resamples are alike, but another sample may be wrong"
    assert [each.value for each in (*intervals[1:], calibration)] == [1, 1, 1, 0, 0]
    assert all(math.isnan(each.low) for each in (*intervals[1:], calibration)), "resamples that are alike say nothing"


@pytest.fixture
def predictions(make_predictions):
    return make_predictions(0)


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


def test_answers_are_measured_by_the_majority_or_the_label(predictions):
    found = evaluate_answers(with_answers(predictions), 20)
    assert (found.output, found.truth, found.samples) == ("answer", "majority", 3)
    assert [each.value for each in (found.right, found.wrong, found.unsure)] == pytest.approx([1 / 3] * 3)
    assert found.balanced_accuracy.value == pytest.approx((1 / 2 + 0) / 2)
    # Two answers in two bins: 0.7 was right, 0.9 was wrong.
    assert found.calibration_error.value == pytest.approx((abs(1 - 0.7) + abs(0 - 0.9)) / 2)
    first, second = predictions.classes[:2]
    assert [(each.name, each.samples, each.unsure) for each in found.per_class] == [(first, 2, 0.5), (second, 1, 0.0)]
    found, top = evaluate_answers(predictions, 20), predictions.probabilities.argmax(axis=1)
    counts = np.bincount(predictions.labels, minlength=len(predictions.classes))
    assert (found.output, found.truth, found.samples) == ("", "label", len(predictions))
    assert found.right.value == pytest.approx((top == predictions.labels).mean())
    assert found.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(predictions.labels, top))
    assert found.largest_class == predictions.classes[counts.argmax()]
    assert found.largest_share == counts.max() / counts.sum()
    assert found.unsure == proportion(0, len(predictions)), "none here: another sample may be"
    assert found.right.low <= found.right.value <= found.right.high


def test_a_predictions_file_keeps_the_answers(predictions, tmp_path):
    write_predictions(tmp_path / "p.npz", with_answers(predictions))
    found = read_predictions(tmp_path / "p.npz").answers
    assert found is not None
    assert (found.said.tolist()[1:3], found.output) == (["unsure", "not-a-face"], "answer")
    assert found.confidence.tolist() == [0.7, 0.2, 0.9, 0.8]
    with raises(DataError, "predictions"):
        replace(predictions, answers=found)
    with raises(DataError, "predictions", "'answer_confidence'"):
        Answers(np.array(["happy"]), np.array([1.5]), "")
    for shape in ((), (2, 2)):
        with raises(DataError, "predictions", "'answers'"):
            Answers(np.full(shape, "happy"), np.full(shape, 0.5), "")


def test_answers_equal_those_of_predict():
    model, images = load("fast"), render_faces(np.arange(40) % 7, seed=1)
    noise = np.random.default_rng(0).integers(0, 256, (10, *images.shape[1:]), dtype=np.uint8)
    images = np.concatenate([images, noise, np.zeros_like(noise[:2])])
    shown, found = model.predict_crops(list(images)), answers_of(model.output, model.probabilities(images))
    assert found.said.tolist() == [each.answer for each in shown]
    assert found.confidence == pytest.approx([each.confidence for each in shown])
    assert {"unsure", "not-a-face"} & set(found.said.tolist()), "or the test shows little"
