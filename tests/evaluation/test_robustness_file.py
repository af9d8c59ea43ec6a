"""Oracles: what was put in; ratios by hand; damage done by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mien.errors import DataError
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import (
    RobustnessReport,
    RobustnessResult,
    read_robustness,
    relative_to,
    write_robustness,
)
from support import raises


@pytest.fixture
def result():
    shares = np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.5] * 5])
    return RobustnessResult(
        ("blur", "jpeg"), shares, Estimate(0.9, 0.8, 1.0), Estimate(0.6, 0.5, 0.7), 40, 0, "sha256:1", "sha256:2"
    )


def test_it_survives_the_file_alone_and_in_its_folder(result, tmp_path):
    measurement = RobustnessReport("runs/a", "faces.csv", "validation", result)
    file = write_robustness(tmp_path / "out", measurement)
    for place in (file, tmp_path / "out"):
        assert read_robustness(place).to_dict() == measurement.to_dict()
        assert read_robustness(place).relative is None


def test_the_baseline_survives_too(result, tmp_path):
    """Errors of 1.5 and 2.5 over the strengths, against 2.5 and 2.5 of the baseline."""
    worse = replace(result, accuracy=np.array([[0.5] * 5, [0.5] * 5]), clean_accuracy=Estimate(0.7, 0.6, 0.8))
    baseline = RobustnessReport("runs/base", "faces.csv", "validation", worse)
    relative = relative_to(baseline, result, "measured/robustness.json")
    assert relative.errors.of == pytest.approx({"blur": 0.6, "jpeg": 1.0})
    assert (relative.model, relative.clean_accuracy) == ("runs/base", 0.7)
    file = write_robustness(tmp_path, RobustnessReport("runs/a", "faces.csv", "validation", result, relative))
    assert read_robustness(file).relative == relative
    with raises(DataError, "baseline-faces-differ") as caught:
        relative_to(replace(baseline, result=replace(worse, seed=1)), result, "other.json")
    assert str(caught.value).startswith("other.json: ")


def test_files_of_before_are_read(result, tmp_path):
    """Without the fingerprint of rows, and without what is known of the baseline's model."""
    content = RobustnessReport("runs/a", "faces.csv", "validation", result).to_dict()
    del content["samples_fingerprint"]
    content["relative_to"] = {"baseline": "base.json", "mean": 0.8, "of": {"blur": 0.6, "jpeg": 1.0}}
    (tmp_path / "r.json").write_text(json.dumps(content))
    found = read_robustness(tmp_path / "r.json")
    assert found.result.samples_fingerprint == ""
    content["rows_fingerprint"] = "sha256:7"  # its former name
    (tmp_path / "former.json").write_text(json.dumps(content))
    assert read_robustness(tmp_path / "former.json").result.samples_fingerprint == "sha256:7"
    assert (found.relative.baseline, found.relative.model) == ("base.json", "")
    assert math.isnan(found.relative.clean_accuracy)


@pytest.mark.parametrize(
    "relative",
    [
        3,
        {},
        {"baseline": "b", "mean": 1.0, "of": {"blur": 1.0}},
        {"baseline": "b", "mean": 1.0, "of": {"blur": 1.0, "jpeg": -1}},
        {"baseline": "b", "mean": float("nan"), "of": {"blur": 1.0, "jpeg": 1}},
        {"baseline": "b", "mean": 1.0, "of": {"blur": 1.0, "jpeg": "x"}},
    ],
)
def test_a_relation_that_is_none_is_one_line(relative, result, tmp_path):
    content = {**RobustnessReport("m", "d", "validation", result).to_dict(), "relative_to": relative}
    (tmp_path / "r.json").write_text(json.dumps(content))
    with raises(DataError, "robustness-invalid"):
        read_robustness(tmp_path / "r.json")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"accuracy": 3}', "PATCH"])
def test_a_foreign_file_is_one_line(content, tmp_path, result):
    file = tmp_path / "r.json"
    wrong = {**result.to_dict(), "accuracy": {"blur": [0.5, 2]}}
    file.write_text(json.dumps(wrong) if content == "PATCH" else content)
    with raises(DataError, "robustness-invalid"):
        read_robustness(file)
    with raises(DataError, "robustness-missing"):
        read_robustness(tmp_path / "none")


@pytest.mark.parametrize("key", ["clean_accuracy", "mean_accuracy"])
@pytest.mark.parametrize("part", ["value", "low", "high"])
@pytest.mark.parametrize("value", [None, float("nan"), 1.2, -0.1, "0.5", True, [0.5]])
def test_a_figure_that_is_no_share_is_one_line(key, part, value, tmp_path, result):
    content = result.to_dict()
    content[key][part] = value
    (tmp_path / "r.json").write_text(json.dumps(content))
    with raises(DataError, "robustness-invalid") as caught:
        read_robustness(tmp_path / "r.json")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"accuracy": {"blur": [0.5, 0.5, 0.5, 0.5, None]}},
        {"accuracy": {"blur": [0.5, 0.5, 0.5, 0.5, float("nan")]}},
        {"accuracy": {}},
        {"faces": None},
        {"faces": 0},
        {"faces": float("inf")},
        {"seed": float("nan")},
        {"seed": -1},
        {"clean_accuracy": None},
        {"clean_accuracy": {"value": 0.5, "low": 0.6, "high": 0.4}},
    ],
)
def test_any_other_value_that_cannot_be_is_one_line(wrong, tmp_path, result):
    (tmp_path / "r.json").write_text(json.dumps({**result.to_dict(), **wrong}))
    with raises(DataError, "robustness-invalid"):
        read_robustness(tmp_path / "r.json")
