"""Oracles: numbers put in; what the page says of its baseline."""

from dataclasses import replace

import numpy as np
import pytest

from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import CorruptionErrors, RelativeRobustness, RobustnessReport, RobustnessResult
from mien.reporting.conditions import robustness_section, show_robustness
from mien.reporting.context import ReportContext
from support import block_codes


@pytest.fixture
def measurement():
    shares = np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.5] * 5])
    result = RobustnessResult(("blur", "jpeg"), shares, Estimate(0.9, 0.8, 1.0), Estimate(0.6, 0.5, 0.7), 40, 0)
    relative = RelativeRobustness(
        "b/robustness.json", "runs/base", 0.75, CorruptionErrors({"blur": 0.6, "jpeg": 1.1}, 0.85)
    )
    return RobustnessReport("runs/a", "faces.csv", "validation", result, relative)


def words(section):
    return " ".join(block.words for block in section.blocks if block.kind == "text")


def test_the_page_says_what_errors_are_relative_to(measurement):
    section = show_robustness(measurement)
    said = words(section)
    for value in ("0.850, fewer", "runs/base (b/robustness.json)", "75.0%; this model: 90.0%"):
        assert value in said
    assert block_codes(section) == []
    assert "corruption-errors" in {chart.name for chart in section.charts()}
    (table,) = section.tables()
    assert table.columns[-1].name == "error / baseline"
    assert [row[-1] for row in table.rows] == [0.6, 1.1]
    assert [row[-2] for row in table.rows] == pytest.approx([0.7, 0.5])


def test_without_a_baseline_it_says_how_to_have_one(measurement):
    section = show_robustness(replace(measurement, relative=None))
    assert block_codes(section) == ["baseline-not-given"]
    assert {chart.name for chart in section.charts()} == {"robustness", "robustness-curves"}
    (table,) = section.tables()
    assert table.columns[-1].name == "mean"


def test_a_baseline_of_before_is_named_by_its_file(measurement):
    bare = replace(measurement.relative, model="", clean_accuracy=float("nan"))
    said = words(show_robustness(replace(measurement, relative=bare)))
    assert "b/robustness.json" in said
    for other in ("(b/robustness.json)", "runs/base", "75.0%", "this model"):
        assert other not in said


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
        scores = replace(alone, groups=groups)
        context = ReportContext(scores, evaluate_predictions(scores, 2), robustness=measurement)
        assert block_codes(robustness_section(context)) == expected
