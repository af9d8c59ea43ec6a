"""Oracles: accuracies counted again, face by face; ratios by hand."""

import json

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.evaluation.corruptions import STRENGTHS
from mien.evaluation.intervals import wilson_interval
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import RobustnessResult, measure_robustness, read_robustness, write_robustness
from support import corrupt, raises

NAMES = ("darkness", "gaussian-noise")


def by_a_pixel(images):
    """Class 1 for a face with a light pixel in one place, which noise turns often."""
    light = images[:, 1, 2] >= 100
    return np.stack([~light, light], axis=1).astype(float)


@pytest.fixture
def squares():
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16)).astype(float)
    images = (images * np.linspace(0.3, 1.0, 40)[:, None, None]).astype(np.uint8)
    return images, by_a_pixel(images).argmax(axis=1)


def test_a_cell_is_the_accuracy_under_one_corruption_of_one_seed(squares):
    images, labels = squares
    result, other = (measure_robustness(by_a_pixel, *squares, corruptions=NAMES, seed=seed) for seed in (0, 7))
    for found in (result, other):
        for row, name in enumerate(NAMES):
            for strength in STRENGTHS:
                right = by_a_pixel(corrupt(images, name, strength, found.seed)).argmax(axis=1) == labels
                assert found.accuracy[row, strength - 1] == right.mean()
    assert np.array_equal(result.accuracy[0], other.accuracy[0]), "darkness draws nothing"
    assert not np.array_equal(result.accuracy[1], other.accuracy[1])
    assert (result.clean_accuracy.value, result.clean_accuracy.low) == (1, wilson_interval(40, 40)[0])
    assert result.mean_accuracy.value == pytest.approx(result.accuracy.mean())
    assert result.mean_accuracy.low < result.mean_accuracy.value < result.mean_accuracy.high
    assert result.accuracy[0, -1] == (labels == 0).mean(), "in the dark all is dark"


@pytest.fixture
def kept():
    shares = np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.5] * 5])
    intervals = Estimate(0.9, 0.8, 1.0), Estimate(0.6, 0.5, 0.7)
    return RobustnessResult(("blur", "jpeg"), shares, *intervals, 40, 0, None, "runs/a", "faces.csv", "validation")


def test_a_file_keeps_the_measurement(kept, tmp_path):
    file = write_robustness(tmp_path / "out", kept)
    for place in (file, tmp_path / "out"):
        assert read_robustness(place).to_dict() == kept.to_dict()


@pytest.mark.parametrize(
    "content", ["", "[" * 100_000, "[]", "{}", '{"accuracy": 3}', {"blur": [0.5, 2]}, {"blur": [0.5] * 4 + [2]}]
)
def test_a_foreign_robustness_file_is_refused(content, tmp_path, kept):
    file = tmp_path / "r.json"
    file.write_text(content if isinstance(content, str) else json.dumps({**kept.to_dict(), "accuracy": content}))
    with raises(DataError, "robustness-invalid"):
        read_robustness(file)
    with raises(DataError, "robustness-missing"):
        read_robustness(tmp_path / "none")
