"""Oracles: accuracies counted again, face by face; ratios by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mien.errors import DataError
from mien.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import (
    RobustnessReport,
    RobustnessResult,
    check_baseline,
    fingerprint_of_samples,
    measure_robustness,
    read_robustness,
    relative_to,
    write_robustness,
)
from support import raises

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


def test_the_seed_is_that_of_the_corruptions():
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


def test_what_does_not_fit_is_one_line(squares):
    images, labels = squares
    with raises(DataError, "robustness-input"):
        measure_robustness(by_brightness, images[:0], labels[:0])
    with raises(DataError, "robustness-input"):
        measure_robustness(by_brightness, images, labels[1:])


def test_the_fingerprint_is_of_samples_and_classes_not_of_their_order():
    labels = np.array([0, 1, 1])
    found = fingerprint_of_samples("sha256:d", np.arange(3), labels, ("dark", "light"))
    assert fingerprint_of_samples("sha256:d", np.arange(3), 1 - labels, ("light", "dark")) == found
    others = (
        fingerprint_of_samples("sha256:e", np.arange(3), labels, ("dark", "light")),
        fingerprint_of_samples("sha256:d", np.arange(1, 4), labels, ("dark", "light")),
        fingerprint_of_samples("sha256:d", np.arange(3), labels, ("dark", "bright")),
        fingerprint_of_samples("sha256:d", np.arange(3), 1 - labels, ("dark", "light")),
    )
    assert found not in others


@pytest.fixture
def kept():
    shares = np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.5] * 5])
    found = RobustnessResult(
        ("blur", "jpeg"), shares, Estimate(0.9, 0.8, 1.0), Estimate(0.6, 0.5, 0.7), 40, 0, "sha256:2"
    )
    return RobustnessReport("runs/a", "faces.csv", "validation", found)


def test_a_file_keeps_the_errors_relative_to_a_baseline(kept, tmp_path):
    """By hand: errors of 1.5 and 2.5 over the strengths, against 2.5 and 2.5 of the baseline."""
    worse = replace(kept.result, accuracy=np.array([[0.5] * 5, [0.5] * 5]), clean_accuracy=Estimate(0.7, 0.6, 0.8))
    baseline = RobustnessReport("runs/base", "faces.csv", "validation", worse)
    relative = relative_to(baseline, kept.result, "measured/robustness.json")
    assert relative.errors.of == pytest.approx({"blur": 0.6, "jpeg": 1.0})
    assert relative.errors.mean == pytest.approx(0.8)
    assert (relative.model, relative.clean_accuracy) == ("runs/base", 0.7)
    file = write_robustness(tmp_path, replace(kept, relative=relative))
    assert read_robustness(file).relative == relative
    for measurement in (kept, replace(kept, relative=relative)):
        write_robustness(tmp_path / "out", measurement)
        assert read_robustness(tmp_path / "out").to_dict() == measurement.to_dict()


def test_only_a_baseline_on_the_same_faces_is_compared_with(kept):
    whole = replace(
        kept, result=replace(kept.result, corruptions=tuple(CORRUPTIONS), accuracy=np.full((len(CORRUPTIONS), 5), 0.5))
    )
    check_baseline(whole, "r.json", "sha256:2", 0)
    perfect = replace(whole, result=replace(whole.result, accuracy=np.ones((len(CORRUPTIONS), 5))))
    for code, *given in (
        ("baseline-faces-differ", whole, "r.json", "sha256:3", 0),
        ("baseline-faces-differ", whole, "r.json", "sha256:2", 1),
        ("baseline-corruptions-differ", kept, "r.json", "sha256:2", 0),
        ("baseline-without-errors", perfect, "r.json", "sha256:2", 0),
    ):
        with raises(DataError, code, "r.json"):
            check_baseline(*given)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"accuracy": 3}', {"blur": [0.5, 2]}, {"blur": [0.5] * 4 + [2]}])
def test_a_foreign_file_is_one_line(content, tmp_path, kept):
    file = tmp_path / "r.json"
    file.write_text(content if isinstance(content, str) else json.dumps({**kept.to_dict(), "accuracy": content}))
    with raises(DataError, "robustness-invalid"):
        read_robustness(file)
    with raises(DataError, "robustness-missing"):
        read_robustness(tmp_path / "none")
