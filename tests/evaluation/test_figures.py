"""Oracle: scikit-learn's metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from mien.errors import DataError
from mien.evaluation.figures import FIGURES, Figures
from mien.evaluation.scores import Scores

CLASSES = ("angry", "fear", "happy", "sad", "surprise")


def some_scores(seed: int, rows: int = 200, right: float = 0.7) -> Scores:
    """Labels do not depend on the seed; what is said about them does."""
    labels = np.random.default_rng(99).integers(0, len(CLASSES), rows)
    generator = np.random.default_rng(seed)
    said = np.where(generator.random(rows) < right, labels, generator.integers(0, len(CLASSES), rows))
    probabilities = generator.dirichlet(np.ones(len(CLASSES)), rows) * 0.3 + 0.7 * np.eye(len(CLASSES))[said]
    return Scores(np.arange(rows), labels, probabilities, CLASSES, "validation", "sha256:data")


def test_figures_agree_with_scikit_learn():
    scores = some_scores(1)
    said = scores.probabilities.argmax(1)
    names = [*FIGURES, "recall.fear", "precision.sad", "f1.happy", "recall.disgust"]
    found = dict(zip(names, Figures(scores, names).under(np.ones(len(scores))), strict=True))
    precision, recall, f1, _ = sk.precision_recall_fscore_support(scores.labels, said)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(scores.labels, said), abs=1e-12)
    assert found["macro_precision"] == pytest.approx(precision.mean(), abs=1e-12)
    assert found["macro_recall"] == pytest.approx(recall.mean(), abs=1e-12)
    assert found["macro_f1"] == pytest.approx(f1.mean(), abs=1e-12)
    auc = sk.roc_auc_score(scores.labels, scores.probabilities, multi_class="ovr")
    assert found["macro_auc"] == pytest.approx(auc, abs=1e-12)
    assert found["log_loss"] == pytest.approx(sk.log_loss(scores.labels, scores.probabilities), abs=1e-12)
    assert found["recall.fear"] == pytest.approx(recall[1], abs=1e-12)
    assert found["precision.sad"] == pytest.approx(precision[3], abs=1e-12)
    assert found["f1.happy"] == pytest.approx(f1[2], abs=1e-12)
    assert math.isnan(found["recall.disgust"])


def test_figures_under_many_weights_are_those_under_each():
    """Oracle: one resample at a time."""
    figures = Figures(some_scores(1), [*FIGURES, "recall.fear", "recall.disgust"])
    weights = np.random.default_rng(3).integers(0, 3, (4, 200)).astype(np.float64)
    np.testing.assert_allclose(figures.under(weights), [figures.under(each) for each in weights], rtol=1e-12)


@pytest.mark.parametrize("name", ["acuracy", "recall", "recall.", "auc.happy"])
def test_a_name_that_is_no_figure_is_refused(name: str):
    with pytest.raises(DataError, match="no figure"):
        Figures(some_scores(1), [name])
