import json
from dataclasses import replace

import numpy as np
import pytest

from mien.errors import DataError
from mien.evaluation.corruptions import STRENGTHS, corrupt
from mien.evaluation.robustness import (
    RobustnessResult,
    mean_corruption_error,
    measure_robustness,
    read_robustness,
)

NAMES = ("darkness", "gaussian-noise")


def by_brightness(images):
    """Class 1 for a face with a mean of 100 or more."""
    light = images.mean(axis=(1, 2)) >= 100
    return np.stack([~light, light], axis=1).astype(float)


@pytest.fixture
def squares():
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16)).astype(float)
    images *= np.linspace(0.3, 1.0, 40)[:, None, None]
    return images.astype(np.uint8), (images.mean(axis=(1, 2)) >= 100).astype(np.int64)


@pytest.fixture
def result(squares):
    return measure_robustness(by_brightness, *squares, corruptions=NAMES)


def test_each_cell_is_the_accuracy_on_those_faces(squares, result):
    images, labels = squares
    for row, name in enumerate(NAMES):
        for strength in STRENGTHS:
            right = by_brightness(corrupt(images, name, strength)).argmax(axis=1) == labels
            assert result.accuracy[row, strength - 1] == right.mean()
    assert result.clean_accuracy.value == 1
    assert result.mean_accuracy.value == pytest.approx(result.accuracy.mean())
    assert result.mean_accuracy.low < result.mean_accuracy.value < result.mean_accuracy.high
    assert result.accuracy[0, -1] == (labels == 0).mean(), "in the dark all is dark"


def test_it_survives_the_file(result, tmp_path):
    file = tmp_path / "robustness.json"
    file.write_text(json.dumps({"model": "x", **result.to_dict()}))
    again = read_robustness(file)
    assert again.to_dict() == result.to_dict()
    assert isinstance(again, RobustnessResult)


def test_errors_relative_to_a_baseline(result):
    """By hand: sums of errors over strengths, divided, then averaged over corruptions."""
    baseline = replace(result, accuracy=np.array([[0.5] * 5, [0.9] * 5]))
    half = replace(result, accuracy=np.array([[0.75] * 5, [0.85] * 5]))
    errors = mean_corruption_error(half, baseline)
    assert errors.of == pytest.approx({"darkness": 0.5, "gaussian-noise": 1.5})
    assert errors.mean == pytest.approx(1.0)
    assert mean_corruption_error(baseline, baseline).mean == pytest.approx(1.0)
    assert errors.to_dict()["mean"] == errors.mean


def test_only_what_is_alike_is_compared(result):
    with pytest.raises(DataError, match="other faces"):
        mean_corruption_error(result, replace(result, fingerprint="sha256:x"))
    with pytest.raises(DataError, match="other corruptions"):
        mean_corruption_error(result, replace(result, corruptions=("darkness", "blur")))
    with pytest.raises(DataError, match="no error under darkness"):
        mean_corruption_error(result, replace(result, accuracy=np.ones((2, 5))))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"accuracy": 3}', "PATCH"])
def test_a_foreign_file_is_one_line(content, tmp_path, result):
    file = tmp_path / "r.json"
    wrong = {**result.to_dict(), "accuracy": {"blur": [0.5, 2]}}
    file.write_text(json.dumps(wrong) if content == "PATCH" else content)
    with pytest.raises(DataError, match=r"r\.json is no robustness\.json"):
        read_robustness(file)
    with pytest.raises(DataError, match="does not exist"):
        read_robustness(tmp_path / "none")


@pytest.mark.parametrize("key", ["clean_accuracy", "mean_accuracy"])
@pytest.mark.parametrize("part", ["value", "low", "high"])
@pytest.mark.parametrize("value", [None, float("nan"), 1.2, -0.1, "0.5", True, [0.5]])
def test_a_figure_that_is_no_share_is_one_line(key, part, value, tmp_path, result):
    content = result.to_dict()
    content[key][part] = value
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="accuracy is not a share") as caught:
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
    with pytest.raises(DataError, match=r"r\.json is no robustness\.json"):
        read_robustness(tmp_path / "r.json")


def test_what_does_not_fit_is_one_line(squares):
    images, labels = squares
    with pytest.raises(DataError, match="0 faces"):
        measure_robustness(by_brightness, images[:0], labels[:0])
    with pytest.raises(DataError, match="39 labels"):
        measure_robustness(by_brightness, images, labels[1:])
