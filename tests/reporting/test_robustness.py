"""Oracle: numbers put in."""

from dataclasses import replace

import numpy as np
import pytest

from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import RobustnessReport, RobustnessResult
from mien.reporting.context import ReportContext
from mien.reporting.robustness import robustness_section, show_robustness
from support import block_codes


@pytest.fixture
def measurement():
    shares = np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.5] * 5])
    result = RobustnessResult(("blur", "jpeg"), shares, Estimate(0.9, 0.8, 1.0), Estimate(0.6, 0.5, 0.7), 40, 0)
    return RobustnessReport("runs/a", "faces.csv", "validation", result)


def words(section):
    return " ".join(block.words for block in section.blocks if block.kind == "text")


def test_the_page_has_each_accuracy(measurement):
    section = show_robustness(measurement)
    assert "90.0%" in words(section)
    assert {chart.name for chart in section.charts()} == {"robustness", "robustness-curves"}
    (table,) = section.tables()
    assert [row[-1] for row in table.rows] == pytest.approx([0.7, 0.5])
    assert block_codes(section) == []


def test_a_measurement_without_the_groups_of_the_data_says_so(measurement):
    assert block_codes(show_robustness(measurement, grouped=True)) == ["groups-not-drawn"]
    assert "group" not in words(show_robustness(measurement))
    drawn = replace(measurement, result=replace(measurement.result, groups=1200))
    section = show_robustness(drawn, grouped=True)
    assert "groups: 1,200." in words(section)
    assert block_codes(section) == []


def test_the_section_knows_the_groups_of_the_report(measurement):
    labels = np.arange(40) % 2
    alone = Predictions(np.arange(40), labels, np.full((40, 2), 0.5), ("no", "yes"), "validation", "")
    for groups, expected in ((None, []), (np.arange(40) // 4, ["groups-not-drawn"])):
        predictions = replace(alone, groups=groups)
        context = ReportContext(predictions, evaluate_predictions(predictions, 2), robustness=measurement)
        assert block_codes(robustness_section(context)) == expected
