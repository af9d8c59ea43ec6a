"""Oracle: numbers put in."""

from dataclasses import replace

import numpy as np
import pytest

from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import RobustnessResult
from mien.reporting.context import ReportContext
from mien.reporting.errors import robustness_section
from support import block_codes

SHARES = np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.5] * 5])
RESULT = RobustnessResult(("blur", "jpeg"), SHARES, Estimate(0.9, 0.8, 1.0), Estimate(0.6, 0.5, 0.7), 40, 0)


def section_of(result, groups=None):
    labels = np.arange(40) % 2
    predictions = Predictions(
        np.arange(40), labels, np.full((40, 2), 0.5), ("no", "yes"), "validation", "", groups=groups
    )
    return robustness_section(ReportContext(predictions, evaluate_predictions(predictions, 2), robustness=result))


def words(section):
    return " ".join(block.words for block in section.blocks if block.kind == "text")


def test_the_page_has_each_accuracy():
    section = section_of(RESULT)
    assert "90.0%" in words(section)
    assert [chart.name for chart in section.charts()] == ["robustness-curves"]
    (table,) = section.tables()
    assert [row[-1] for row in table.rows] == pytest.approx([0.7, 0.5])
    assert block_codes(section) == []


def test_a_measurement_without_the_groups_of_the_data_says_so():
    groups = np.arange(40) // 4
    assert block_codes(section_of(RESULT, groups)) == ["groups-not-drawn"]
    assert "group" not in words(section_of(RESULT))
    section = section_of(replace(RESULT, groups=1200), groups)
    assert "1,200 whole groups" in words(section)
    assert block_codes(section) == []
