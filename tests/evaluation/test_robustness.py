"""Oracles: accuracies counted again, face by face; ratios by hand."""

from dataclasses import replace

import numpy as np
import pytest

from mien.errors import DataError
from mien.evaluation.corruptions import STRENGTHS, corrupt
from mien.evaluation.robustness import fingerprint_of_samples, mean_corruption_error, measure_robustness
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
    with raises(DataError, "baseline-faces-differ"):
        mean_corruption_error(result, replace(result, fingerprint="sha256:x"))
    with raises(DataError, "baseline-corruptions-differ"):
        mean_corruption_error(result, replace(result, corruptions=("darkness", "blur")))
    with raises(DataError, "baseline-without-errors"):
        mean_corruption_error(result, replace(result, accuracy=np.ones((2, 5))))


def test_what_does_not_fit_is_one_line(squares):
    images, labels = squares
    with raises(DataError, "robustness-input"):
        measure_robustness(by_brightness, images[:0], labels[:0])
    with raises(DataError, "robustness-input"):
        measure_robustness(by_brightness, images, labels[1:])


def test_the_same_faces_at_another_size_are_the_same_faces(squares):
    """Two models that see 16 and 32 px: other pixels, the same rows of the same data."""
    images, labels = squares

    def measured(enlarge, first=0, data="sha256:d", classes=("dark", "light"), of=labels):
        samples_fingerprint = fingerprint_of_samples(data, np.arange(first, first + 40), of, classes)
        pixels = images.repeat(enlarge, axis=1).repeat(enlarge, axis=2)
        return measure_robustness(
            by_brightness, pixels, labels, corruptions=NAMES, samples_fingerprint=samples_fingerprint
        )

    small, large = measured(1), measured(2)
    assert small.fingerprint != large.fingerprint
    noisy = replace(small, accuracy=small.accuracy * 0.9)
    assert mean_corruption_error(large, noisy).mean > 0
    turned = measured(2, classes=("light", "dark"), of=1 - labels)
    assert turned.samples_fingerprint == small.samples_fingerprint, "another order of the same classes"
    for other in (
        measured(2, first=1),
        measured(2, data="sha256:e"),
        measured(2, classes=("dark", "bright")),
        measured(2, of=1 - labels),
        replace(large, samples_fingerprint=""),
    ):
        with raises(DataError, "baseline-faces-differ"):
            mean_corruption_error(other, noisy)
    with raises(DataError, "baseline-faces-differ"):
        mean_corruption_error(replace(large, samples_fingerprint=""), replace(noisy, samples_fingerprint=""))
