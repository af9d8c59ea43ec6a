"""Oracle: which curves there can be, by hand."""

import numpy as np
import pytest

from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.reporting.context import ReportContext
from mien.reporting.probabilities import curves_section
from mien.reporting.report_page import confusion_section


@pytest.mark.parametrize(("labels", "drawn"), [([0, 1, 1, 0], True), ([1, 1, 1], False), ([1], False)])
def test_without_a_rest_there_is_no_empty_figure(labels, drawn):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), len(labels))
    predictions = Predictions(
        np.arange(len(labels)), np.array(labels), probabilities, ("a", "b", "c"), "validation", ""
    )
    section = curves_section(ReportContext(predictions, evaluate_predictions(predictions, 10)))
    assert {chart.name for chart in section.charts()} == {"precision-recall"} | ({"roc-classes"} if drawn else set())
    assert any(part.kind == "text" and "no ROC curves" in part.words for part in section.parts()) != drawn


def test_a_class_may_be_called_as_a_column_is():
    predictions = Predictions(
        np.arange(4), np.arange(4) % 2, np.full((4, 2), 0.5), ("true class", "b"), "validation", ""
    )
    tables = confusion_section(ReportContext(predictions, evaluate_predictions(predictions, 10))).tables()
    counts = next(table for table in tables if table.name == "confusion-counts")
    assert [column.name for column in counts.columns][1:] == ["true class", "b"]
