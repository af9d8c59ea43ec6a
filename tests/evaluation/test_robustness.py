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


def test_a_cell_is_the_accuracy_under_one_corruption(squares, result):
    images, labels = squares
    for row, name in enumerate(NAMES):
        for strength in STRENGTHS:
            right = by_brightness(corrupt(images, name, strength)).argmax(axis=1) == labels
            assert result.accuracy[row, strength - 1] == right.mean()
    assert (result.clean_accuracy.value, result.clean_accuracy.low) == (1, wilson_interval(40, 40)[0])
    assert result.mean_accuracy.value == pytest.approx(result.accuracy.mean())
    assert result.mean_accuracy.low < result.mean_accuracy.value < result.mean_accuracy.high
    assert result.accuracy[0, -1] == (labels == 0).mean(), "in the dark all is dark"


def test_the_seed_determines_the_corruptions():
    """Oracle: a loop by hand. The model goes by one pixel, which noise turns often."""
    images = np.random.default_rng(1).integers(90, 111, (60, 4, 4)).astype(np.uint8)
    labels = (images[:, 1, 2] >= 100).astype(np.int64)

    def by_a_pixel(faces):
        light = faces[:, 1, 2] >= 100
        return np.stack([~light, light], axis=1).astype(float)

    accuracies = []
    for seed in (0, 7):
        found = measure_robustness(by_a_pixel, images, labels, corruptions=NAMES, seed=seed)
        for row, name in enumerate(NAMES):
            corrupted = [corrupt(images, name, strength, seed=seed)[:, 1, 2] >= 100 for strength in STRENGTHS]
            assert found.accuracy[row].tolist() == [(light == labels).mean() for light in corrupted]
        assert found.seed == seed
        accuracies.append(found.accuracy)
    assert np.array_equal(accuracies[0][0], accuracies[1][0]), "darkness draws nothing"
    assert not np.array_equal(accuracies[0][1], accuracies[1][1])


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
