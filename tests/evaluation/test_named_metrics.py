"""Oracle: scikit-learn's metrics on the rows themselves, each as often as it weighs or was drawn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from mien.base.errors import DataError
from mien.evaluation import metrics
from mien.evaluation.ferplus import majority_accuracy
from mien.evaluation.named_metrics import METRICS, VOTE_METRICS, WeightedMetrics, resample
from mien.evaluation.predictions import Predictions, VotePredictions
from support import raises

BY_LABEL = tuple(name for name in METRICS if name not in VOTE_METRICS)
OF_CLASSES = ("recall.fear", "precision.sad", "f1.happy")


def oracle(predictions, rows):
    """Of BY_LABEL and OF_CLASSES, by name. The calibration error's own oracle is in test_metrics.py."""
    labels, probabilities = predictions.labels[rows], predictions.probabilities[rows]
    precision, recall, f1, _ = sk.precision_recall_fscore_support(labels, probabilities.argmax(1))
    return {
        "accuracy": sk.accuracy_score(labels, probabilities.argmax(1)),
        "macro_precision": precision.mean(),
        "macro_recall": recall.mean(),
        "macro_f1": f1.mean(),
        "macro_auc": sk.roc_auc_score(labels, probabilities, multi_class="ovr"),
        "log_loss": sk.log_loss(labels, probabilities),
        "calibration_error": metrics.calibration_error(labels, probabilities),
        "recall.fear": recall[1],
        "precision.sad": precision[3],
        "f1.happy": f1[2],
    }


@pytest.mark.parametrize("most", [1, 4])
def test_figures_under_weights_are_those_of_rows_that_stand_as_often(make_predictions, most):
    predictions, names = make_predictions(1), (*BY_LABEL, *OF_CLASSES)
    weights = np.ones(200) if most == 1 else np.random.default_rng(3).integers(0, most, 200).astype(np.float64)
    assert (most == 1) == weights.all()
    found = dict(zip(names, WeightedMetrics(predictions, names).under(weights), strict=True))
    assert found == pytest.approx(oracle(predictions, np.repeat(np.arange(200), weights.astype(int))), abs=1e-12)


def test_figures_under_many_weights_are_those_under_each(make_predictions):
    figures = WeightedMetrics(make_predictions(1), [*METRICS, "recall.fear", "recall.disgust"])
    weights = np.random.default_rng(3).integers(0, 3, (4, 200)).astype(np.float64)
    found = figures.under(weights)
    np.testing.assert_allclose(found, [figures.under(each) for each in weights], rtol=1e-12)
    assert np.isnan(found[:, -1]).all()


def test_a_figure_of_a_class_without_rows_is_undefined(make_predictions):
    predictions = make_predictions(1)
    rare = predictions.subset(predictions.labels != 0)
    recall, area, disgust = WeightedMetrics(rare, ["recall.angry", "macro_auc", "recall.disgust"]).under(
        np.ones(len(rare))
    )
    assert np.isnan([recall, disgust]).all()
    assert 0.5 < area < 1


def test_resamples_are_the_same_rows_for_all_runs(make_predictions):
    """Oracle: the rows that numpy's generator draws."""
    runs, names = [make_predictions(1), make_predictions(2)], (*BY_LABEL, *OF_CLASSES)
    found = resample(runs, names, resamples=5)
    generator = np.random.default_rng(0)
    drawn = [generator.integers(0, 200, size=200) for _ in range(5)]
    for run, each in zip(runs, found, strict=True):
        assert each.values == pytest.approx(list(oracle(run, np.arange(200)).values()), abs=1e-12)
        np.testing.assert_allclose(each.drawn, [list(oracle(run, rows).values()) for rows in drawn], atol=1e-12)


@pytest.mark.parametrize("name", ["acuracy", "recall", "recall.", "auc.happy"])
def test_a_name_that_is_no_figure_is_refused(make_predictions, name: str):
    with raises(DataError, "metric-unknown"):
        WeightedMetrics(make_predictions(1), [name])


SEEN = ("happy", "sad", "unknown", "fear")


def voted(counts, labels, probabilities, of_votes=None):
    """Predictions of the classes sad and happy, with votes on SEEN."""
    votes = VotePredictions(np.array(counts), SEEN, of_votes, "" if of_votes is None else "perceived")
    arrays = (np.arange(len(labels)), np.array(labels), np.array(probabilities))
    return Predictions(*arrays, ("sad", "happy"), "validation", "", votes=votes)


def test_metrics_of_votes_count_what_the_majority_says():
    """Oracle: counted by hand, with FER+'s rules: single votes are noise, a majority is more than half."""
    sad, happy = [0.9, 0.1], [0.1, 0.9]
    predictions = voted(
        counts=[[9, 1, 0, 0], [9, 1, 0, 0], [0, 10, 0, 0], [0, 0, 10, 0], [5, 5, 0, 0], [0, 0, 0, 10]],
        # The second is no happy face by its label; the last three are not counted, or no class of the label's.
        labels=[1, 0, 0, 0, 1, 0],
        probabilities=[happy, happy, happy, sad, happy, sad],
    )
    measured = WeightedMetrics(predictions, VOTE_METRICS)
    # Counted: 0, 1, 2, 5. Right: 0 and 1. Confirmed labels: 0 and 2, of which 0 is right.
    assert measured.under(np.ones(6)).tolist() == [2 / 4, 1 / 2]
    assert measured.under(np.array([1.0, 0, 3, 7, 7, 0])).tolist() == [1 / 4, 1 / 4]
    assert np.isnan(measured.under(np.array([0.0, 0, 0, 1, 1, 0]))).all()


def test_an_output_that_learned_from_votes_answers_for_the_majority(make_predictions):
    """Oracle: mien.evaluation.ferplus.majority_accuracy, which has its own."""
    generator = np.random.default_rng(5)
    counts, answers = generator.integers(0, 10, (80, 4)) + 1, generator.dirichlet(np.ones(4), 80)
    predictions = voted(counts, generator.integers(0, 2, 80), generator.dirichlet(np.ones(2), 80), answers)
    (found,) = WeightedMetrics(predictions, ["majority_accuracy"]).under(np.ones(80))
    assert found == pytest.approx(majority_accuracy(counts, answers, SEEN))
    assert np.isnan(WeightedMetrics(make_predictions(1), VOTE_METRICS).under(np.ones(200))).all()


def test_an_output_of_merged_classes_has_no_accuracy_by_the_majority():
    votes = VotePredictions(np.array([[9, 1, 0, 0], [0, 9, 1, 0]]), SEEN)
    merged = Predictions(
        np.arange(2), np.array([0, 1]), np.eye(2), ("positive", "negative"), "validation", "", votes=votes
    )
    assert np.isnan(WeightedMetrics(merged, VOTE_METRICS).under(np.ones(2))).all()
