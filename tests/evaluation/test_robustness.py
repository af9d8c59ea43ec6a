"""Oracles: accuracies counted again, face by face; ratios by hand."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from mien.base.errors import DataError
from mien.data.synthetic import draw_labels, render_faces
from mien.evaluation.metrics import wilson_interval
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import (
    CORRUPTIONS,
    STRENGTHS,
    RobustnessResult,
    measure_robustness,
    read_robustness,
    write_robustness,
)
from support import corrupt, raises

NAMES = ("darkness", "gaussian-noise")


def by_a_pixel(images):
    """Class 1 for a face with a light pixel in one place, which noise turns often."""
    light = images[:, 1, 2] >= 100
    return np.stack([~light, light], axis=1).astype(float)


def test_a_cell_is_the_accuracy_under_one_corruption_of_one_seed():
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16)).astype(float)
    images = (images * np.linspace(0.3, 1.0, 40)[:, None, None]).astype(np.uint8)
    labels = by_a_pixel(images).argmax(axis=1)
    result, other = (measure_robustness(by_a_pixel, images, labels, corruptions=NAMES, seed=seed) for seed in (0, 7))
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
    page = (Path(__file__).parents[2] / "docs" / "robustness.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| .+ \|((?: [\d.]+ \|){5})$", page, flags=re.MULTILINE)
    told = [(name, tuple(map(float, numbers.rstrip("|").split("|")))) for name, numbers in rows]
    assert told == [(name, parameters) for name, (_, parameters) in CORRUPTIONS.items()]


@pytest.mark.parametrize(
    "content", ["", "[" * 100_000, "[]", "{}", '{"accuracy": 3}', {"blur": [0.5, 2]}, {"blur": [0.5] * 4 + [2]}]
)
def test_a_foreign_robustness_file_is_refused(content, tmp_path, kept):
    file = tmp_path / "r.json"
    file.write_text(content if isinstance(content, str) else json.dumps({**kept.to_dict(), "accuracy": content}))
    with raises(DataError, "file-unreadable"):
        read_robustness(file)
    with raises(DataError, "file-missing"):
        read_robustness(tmp_path / "none")


@pytest.fixture(scope="module")
def images():
    return render_faces(draw_labels(60, seed=2), seed=2)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_strength_changes_more_than_the_one_before(name, images):
    changes = [np.abs(corrupt(images, name, s).astype(int) - images).mean() for s in STRENGTHS]
    assert changes[0] > 0.3
    assert (np.diff(changes) > 0).all(), changes


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corrupted_face_depends_on_seed_and_index_alone(name, images, monkeypatch):
    whole = corrupt(images, name, 3, seed=4)
    assert (whole.dtype, whole.shape) == (np.uint8, images.shape)
    assert np.array_equal(whole[:7], corrupt(images[:7], name, 3, seed=4))
    monkeypatch.setattr("mien.evaluation.robustness._CHUNK_FACES", 16)
    assert np.array_equal(whole, corrupt(images, name, 3, seed=4)), "chunks change nothing"
    drawn = name in {"gaussian-noise", "rotation", "shift", "scale", "cover-anywhere"}
    assert np.array_equal(whole, corrupt(images, name, 3, seed=5)) != drawn
    assert corrupt(np.repeat(np.repeat(images[:2], 2, axis=1), 2, axis=2), name, 5).shape == (2, 96, 96)


@pytest.mark.parametrize(("strength", "sigma"), [(1, 1.2), (3, 3.0), (5, 6.0)])
def test_blur_is_twice_as_wide_on_a_face_of_twice_the_side(images, strength, sigma):
    """Oracle: scipy's filter with twice the parameter for 48 px."""
    large = images[:4].repeat(2, axis=1).repeat(2, axis=2)
    expected = [ndimage.gaussian_filter(face.astype(float), sigma, mode="nearest", truncate=3.5) for face in large]
    assert np.abs(corrupt(large, "blur", strength) - np.array(expected)).max() <= 0.51


def test_corruptions_are_those_of_their_definition(images):
    face = np.array([[[100, 200], [60, 40]]], np.uint8)
    assert corrupt(face, "darkness", 3).tolist() == [[[40, 80], [24, 16]]]
    assert corrupt(face, "contrast", 2).tolist() == [[[100, 150], [80, 70]]]
    noisy = corrupt(np.full((20, 48, 48), 128, np.uint8), "gaussian-noise", 3).astype(float)
    assert (noisy.std(), noisy.mean()) == (pytest.approx(0.1 * 255, rel=0.02), pytest.approx(128, abs=0.5))
    expected = Image.fromarray(images[0].astype(np.float32)).resize((24, 24), Image.Resampling.BOX)
    expected = np.asarray(expected.resize((48, 48), Image.Resampling.BILINEAR))
    assert np.abs(corrupt(images[:1], "low-resolution", 2)[0] - expected).max() <= 0.51
    lit = np.zeros((1, 48, 48), np.uint8)
    lit[:, :, ::2] = 200
    for name, rows in (("cover-eyes", [11, 24]), ("cover-mouth", [28, 44])):
        assert np.flatnonzero((corrupt(lit, name, 5) != lit).any(axis=(0, 2)))[[0, -1]].tolist() == rows
    assert len(np.unique(corrupt(np.repeat(lit, 30, axis=0), "cover-anywhere", 1) != lit, axis=0)) > 20
    for side, length in ((48, 6), (96, 12)):
        dot = np.zeros((30, side, side), np.uint8)
        dot[:, side // 2, side // 2] = 255
        _, rows, columns = np.nonzero(corrupt(dot, "shift", 3))
        assert np.hypot(rows - side // 2, columns - side // 2) == pytest.approx(length, abs=0.75)
    disc = np.hypot(*(np.indices((48, 48)) - 23.5)) < 10
    sizes = (corrupt(np.repeat(255 * disc[None].astype(np.uint8), 30, axis=0), "scale", 3) > 127).sum(axis=(1, 2))
    assert np.unique(np.round(np.sqrt(sizes / disc.sum()), 2)) == pytest.approx([1 / 1.26, 1.26], abs=0.02)
    # Noise grows in proportion, and a dot goes on in the same direction.
    grey = np.full((2, 48, 48), 128, np.uint8)
    weak, strong = (corrupt(grey, "gaussian-noise", strength).astype(int) - 128 for strength in (1, 2))
    assert np.abs(strong - 2 * weak).max() <= 2
    dot = np.zeros((20, 48, 48), np.uint8)
    dot[:, 24, 24] = 255
    near, far = (np.argwhere(corrupt(dot, "shift", strength))[:, 1:] - 24 for strength in (3, 5))
    assert ((near * far).sum(axis=1) / np.hypot(*near.T) / np.hypot(*far.T) > 0.97).all()
    turned = corrupt(images, "rotation", 3)
    for face, found in zip(images[:12], turned, strict=False):
        face = face.astype(float)
        either = [ndimage.rotate(face, angle, reshape=False, order=1, mode="nearest") for angle in (18, -18)]
        assert min(np.abs(found - each).mean() for each in either) < 0.3
    assert len(np.unique(corrupt(np.repeat(images[:1], 40, axis=0), "rotation", 3), axis=0)) == 2
