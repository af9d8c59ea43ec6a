"""Oracle: scikit-learn's metrics on the samples themselves, repeated as often as they weigh or were drawn."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from mien.base.errors import DataError
from mien.evaluation import metrics
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.metrics import concordance, majority_accuracy, proportion
from mien.evaluation.named_metrics import METRICS, WeightedSplit, estimates, find_metric, find_metrics, resample
from mien.evaluation.paired_tests import mcnemar_test, paired_differences
from mien.evaluation.predictions import Predictions, RatedValues, VotePredictions
from support import raises

OF_VOTES = ("majority_accuracy", "agreed_accuracy")
BY_LABEL = tuple(name for name in METRICS if name not in OF_VOTES)
OF_CLASSES = ("recall.fear", "precision.sad", "f1.happy")
NAMES = (*BY_LABEL, *OF_CLASSES)


def oracle(predictions, rows):
    """All of NAMES. The calibration error's own oracle is in test_metrics.py."""
    labels, probabilities = predictions.labels[rows], predictions.probabilities[rows]
    predicted = probabilities.argmax(1)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(labels, predicted)
    values = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted), "macro_precision": precision.mean(),
        "macro_recall": recall.mean(), "macro_f1": f1.mean(),
        "macro_auc": sk.roc_auc_score(labels, probabilities, multi_class="ovr"),
        "log_loss": sk.log_loss(labels, probabilities),
        "calibration_error": metrics.calibration_error(labels, probabilities),
        "kappa": sk.cohen_kappa_score(labels, predicted), "mcc": sk.matthews_corrcoef(labels, predicted),
        "top2_accuracy": sk.top_k_accuracy_score(labels, probabilities, k=2), "recall.fear": recall[1],
        "precision.sad": precision[3], "f1.happy": f1[2],
    }  # fmt: skip
    return [values[name] for name in NAMES]


def under(predictions, weights, *names):
    return [find_metric(name).of(WeightedSplit(predictions, weights)) for name in names]


@pytest.mark.parametrize("most", [1, 4])
def test_weights_equal_repeated_samples(make_predictions, most):
    predictions = make_predictions(1)
    weights = np.ones(200) if most == 1 else np.random.default_rng(3).integers(0, most, 200).astype(np.float64)
    assert (most == 1) == weights.all()
    expected = oracle(predictions, np.repeat(np.arange(200), weights.astype(int)))
    assert under(predictions, weights, *NAMES) == pytest.approx(expected, abs=1e-12)


def test_many_weights_equal_single_ones(make_predictions):
    weights = np.random.default_rng(3).integers(0, 3, (4, 200)).astype(np.float64)
    found = np.stack(under(make_predictions(1), weights, *NAMES, "recall.disgust"), axis=-1)
    each = [under(make_predictions(1), row, *NAMES, "recall.disgust") for row in weights]
    np.testing.assert_allclose(found, each, rtol=1e-12)
    assert np.isnan(found[:, -1]).all()
    # Oracle: the samples that numpy's generator draws.
    runs = [make_predictions(1), make_predictions(2)]
    found, generator = resample(runs, NAMES, resamples=5), np.random.default_rng(0)
    drawn = [generator.integers(0, 200, size=200) for _ in range(5)]
    for run, each in zip(runs, found, strict=True):
        assert each.values == pytest.approx(oracle(run, np.arange(200)), abs=1e-12)
        np.testing.assert_allclose(each.drawn, [oracle(run, rows) for rows in drawn], atol=1e-12)


def test_a_metric_of_an_absent_class_is_undefined(make_predictions):
    predictions = make_predictions(1)
    rare = predictions.subset(predictions.labels != 0)
    recall, area, disgust = under(rare, np.ones(len(rare)), "recall.angry", "macro_auc", "recall.disgust")
    assert np.isnan([recall, disgust]).all()
    assert 0.5 < area < 1
    one = Predictions(np.arange(3), np.zeros(3, int), np.eye(2)[[0, 0, 0]], ("a", "b"), "test", "")
    assert np.isnan(under(one, np.ones(3), "kappa", "mcc")).all()


@pytest.mark.parametrize("name", ["acuracy", "recall", "recall.", "auc.happy", "_ccc", "parts.txt:f"])
def test_an_unknown_metric_is_refused(name):
    with raises(DataError, "metric-unknown", f"'{name}'", "Or your own: file.py:function"):
        find_metric(name)


def test_a_fraction_has_wilsons_interval_and_mcnemars_test(make_predictions):
    perfect, other = make_predictions(1, right=1.0), make_predictions(2)
    found = estimates(perfect, ["top2_accuracy", "kappa", "calibration_error"], 50)
    assert found["top2_accuracy"] == proportion(200, 200), "the bootstrap alone has no interval"
    assert found["kappa"].value == 1
    assert math.isnan(found["kappa"].low)
    assert math.isnan(estimates(other, ["calibration_error"], 50)["calibration_error"].low)
    hits = [METRICS["top2_accuracy"].hits(each)[0] for each in (perfect, other)]
    expected = mcnemar_test(hits[0] & ~hits[1], hits[1] & ~hits[0]).p_value
    assert paired_differences(perfect, other, ["top2_accuracy"], 50)["top2_accuracy"].p_value == expected


OWN = """
import numpy as np

def errors(labels, probabilities):
    '''Number of wrong predictions per hundred.'''
    return 100 * np.mean(probabilities.argmax(1) != labels)
errors.lower_is_better = True

def fails(labels, probabilities):
    raise ValueError("needs scores\\nand more")

def returns_text(labels, probabilities):
    return "0.5"
def returns_array(labels, probabilities):
    return probabilities.mean(axis=0)
def of_five_classes(labels, probabilities):
    assert len(set(labels.tolist())) == 5
    return 1.0
constant = 3
"""


@pytest.fixture
def parts(tmp_path):
    (tmp_path / "parts.py").write_text(OWN)
    return tmp_path


def test_an_own_metric_is_measured_like_all_others(make_predictions, parts):
    """Oracle: mien's accuracy, of which it is 100 times the complement."""
    first, second = make_predictions(1), make_predictions(2)
    errors = find_metric("parts.py:errors", parts)
    assert (errors.key, errors.meaning) == ("errors", "Number of wrong predictions per hundred")
    assert (errors.lower_is_better, errors.percent) == (True, False)
    evaluation = evaluate_predictions(first, 50, [errors, "kappa", "accuracy"])
    assert list(evaluation.headline)[-2:] == ["errors", "kappa"], "accuracy is there already"
    found, accuracy = evaluation.headline["errors"], evaluation.accuracy
    expected = [100 * (1 - each) for each in (accuracy.value, accuracy.high, accuracy.low)]
    assert [found.value, found.low, found.high] == pytest.approx(expected)
    compared = paired_differences(first, second, [errors, "accuracy"], 50)
    assert compared["errors"].difference.low == pytest.approx(-100 * compared["accuracy"].difference.high)
    assert 0 < compared["errors"].p_value <= 1
    found = estimates(make_predictions(1), [sk_accuracy], 20)["sk_accuracy"]
    assert found == pytest.approx(estimates(make_predictions(1), ["accuracy"], 20)["accuracy"])
    once = replace(make_predictions(1).subset(np.arange(9)), labels=np.array([0, 1, 2, 3, 4, 1, 1, 1, 1]))
    (found,) = resample([once], [find_metric("parts.py:of_five_classes", parts)], 50)
    assert found.values == [1.0]
    assert np.isnan(found.drawn).any()


def sk_accuracy(labels, probabilities):
    return sk.accuracy_score(labels, probabilities.argmax(1))


@pytest.mark.parametrize(("name", "code", "value"), [
    ("parts.py:fails", "own-part", "'fails' raised ValueError: needs scores"),
    ("parts.py:returns_text", "own-part", "str"),
    ("parts.py:returns_array", "own-part", "ndarray"),
    ("parts.py:error", "own-part", "Did you mean 'errors'?"),
    ("parts.py:constant", "own-part", "constant"),
    ("none.py:errors", "own-part", "none.py"),
    ("broken.py:errors", "own-part", "SyntaxError"),
])  # fmt: skip
def test_an_own_metric_that_cannot_be_used_is_refused(make_predictions, parts, name, code, value):
    (parts / "broken.py").write_text("def errors(:\n")
    with raises(DataError, code, value) as caught:
        estimates(make_predictions(1), [find_metric(name, parts)], 5)
    assert "\n" not in str(caught.value)


def test_two_metrics_of_one_name_are_refused(parts):
    with raises(DataError, "options", "errors"):
        find_metrics(["parts.py:errors"] * 2, parts)

    def accuracy(labels, probabilities):
        return 1.0

    with raises(DataError, "options", "accuracy"):
        find_metric(accuracy)


SEEN = ("happy", "sad", "unknown", "fear")


def voted(counts, labels, probabilities, of_votes=None):
    """Predictions of the classes sad and happy, with votes on SEEN."""
    votes = VotePredictions(np.array(counts), SEEN, of_votes, "" if of_votes is None else "perceived")
    arrays = (np.arange(len(labels)), np.array(labels), np.array(probabilities))
    return Predictions(*arrays, ("sad", "happy"), "validation", "", votes=votes)


def test_metrics_of_votes_count_the_majority():
    """Oracle: counted by hand, with FER+'s rules: single votes are noise, a majority is more than half."""
    sad, happy = [0.9, 0.1], [0.1, 0.9]
    predictions = voted(
        counts=[[9, 1, 0, 0], [9, 1, 0, 0], [0, 10, 0, 0], [0, 0, 10, 0], [5, 5, 0, 0], [0, 0, 0, 10]],
        # The second is no happy face by its label; the last three are not counted, or no class of the label's.
        labels=[1, 0, 0, 0, 1, 0],
        probabilities=[happy, happy, happy, sad, happy, sad],
    )
    # Counted: 0, 1, 2, 5. Right: 0 and 1. Confirmed labels: 0 and 2, of which 0 is right.
    assert under(predictions, np.ones(6), *OF_VOTES) == [2 / 4, 1 / 2]
    assert under(predictions, np.array([1.0, 0, 3, 7, 7, 0]), *OF_VOTES) == [1 / 4, 1 / 4]
    assert np.isnan(under(predictions, np.array([0.0, 0, 0, 1, 1, 0]), *OF_VOTES)).all()
    votes = VotePredictions(np.array([[9, 1, 0, 0], [0, 9, 1, 0]]), SEEN)
    merged = Predictions(np.arange(2), np.arange(2), np.eye(2), ("positive", "negative"), "test", "", votes=votes)
    assert np.isnan(under(merged, np.ones(2), *OF_VOTES)).all()


def test_an_output_trained_on_votes_is_measured_by_the_majority(make_predictions):
    """Oracle: mien.evaluation.metrics.majority_accuracy, which has its own."""
    generator = np.random.default_rng(5)
    counts, answers = generator.integers(0, 10, (80, 4)) + 1, generator.dirichlet(np.ones(4), 80)
    predictions = voted(counts, generator.integers(0, 2, 80), generator.dirichlet(np.ones(2), 80), answers)
    (found,) = under(predictions, np.ones(80), "majority_accuracy")
    assert found == pytest.approx(majority_accuracy(counts, answers, SEEN))
    assert np.isnan(under(make_predictions(1), np.ones(200), *OF_VOTES)).all()
    assert math.isnan(estimates(make_predictions(1), OF_VOTES, 5)["majority_accuracy"].low)


def rated(values, ratings=None):
    values = np.asarray(values)[:, np.newaxis]
    return RatedValues(("valence",), values, values if ratings is None else np.asarray(ratings)[:, np.newaxis])


def measure_ratings(values, resamples=100):
    """The metrics of values beside classes, as in an evaluation."""
    count = len(values.values)
    arrays = (np.arange(count), np.zeros(count, int), np.tile([1.0, 0.0], (count, 1)))
    evaluation = evaluate_predictions(Predictions(*arrays, ("a", "b"), "x", "", rated=values), resamples)
    return {name: each for name, each in evaluation.headline.items() if name.startswith("valence")}


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_ratings_in_half_precision_equal_double_precision(dtype):
    """Oracle: the same numbers as float64."""
    y = np.linspace(-1, 1, 500).astype(dtype)
    x = (y + dtype(0.01) * np.resize([1, -2], 500).astype(dtype)).astype(dtype)
    short, whole = measure_ratings(rated(x, y)), measure_ratings(rated(x.astype(float), y.astype(float)))
    assert short == whole
    assert short["valence_rmse"].low <= short["valence_rmse"].value <= short["valence_rmse"].high
    assert short["valence_ccc"].value == pytest.approx(concordance(x.astype(float), y.astype(float)))


@pytest.mark.parametrize("value", [0.1, 0.3, -0.7])
@pytest.mark.parametrize("count", [3, 10])
def test_equal_ratings_have_no_concordance(value, count):
    found = measure_ratings(rated(np.full(count, value)), resamples=20)
    assert math.isnan(found["valence_ccc"].value)
    assert found["valence_rmse"].value == 0


def test_ratings_may_be_nan_but_values_may_not():
    found = measure_ratings(rated([0.5, 0.1, 0.4, 0.9], [np.nan, 0.2, 0.5, 0.7]))
    by_hand = measure_ratings(rated([0.1, 0.4, 0.9], [0.2, 0.5, 0.7]))
    assert [each.value for each in found.values()] == pytest.approx([each.value for each in by_hand.values()])
    assert not measure_ratings(rated([0.5, 0.5], [np.nan, 0.5])), "one rating has no concordance"
    with raises(DataError, "predictions"):
        rated([np.nan, 0.5], [0.5, 0.5])
