"""Oracle: which curves there can be, by hand."""

import numpy as np
import pytest

from mien.evaluation.evaluate import evaluate_scores
from mien.evaluation.scores import Scores
from mien.report.material import Material
from mien.report.sections.quality import classes_section, curves_section


@pytest.mark.parametrize(("labels", "drawn"), [([0, 1, 1, 0], True), ([1, 1, 1], False), ([1], False)])
def test_without_a_rest_there_is_no_empty_figure(labels, drawn):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), len(labels))
    scores = Scores(np.arange(len(labels)), np.array(labels), probabilities, ("a", "b", "c"), "validation", "")
    section = curves_section(Material(scores, evaluate_scores(scores, 10), resamples=10))
    names = {drawing.name for drawing in section.drawings()}
    assert names == {"roc-averages", "precision-recall"} | ({"roc-classes"} if drawn else set())
    said = any(block.kind == "text" and "no ROC curve" in block.words for block in section.blocks)
    assert said != drawn


def test_a_class_may_be_called_as_a_column_is():
    scores = Scores(np.arange(4), np.arange(4) % 2, np.full((4, 2), 0.5), ("true class", "b"), "validation", "")
    tables = list(classes_section(Material(scores, evaluate_scores(scores, 10), resamples=10)).tables())
    counts = next(table for table in tables if table.name == "confusion-counts")
    assert [column.name for column in counts.columns][1:] == ["true class", "b"]
