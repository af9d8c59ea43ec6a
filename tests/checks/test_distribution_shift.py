"""Oracles: splits that are, and are not, drawn alike; sums over pixels."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mien.checks.distribution_shift import borders, predict_out_of_fold, some_rows, thumbnails, two_splits


def test_only_what_differs_is_told_apart():
    random = np.random.default_rng(0)
    target = np.repeat([0, 1], 400)
    alike = random.normal(size=(800, 5))
    shifted = alike + target[:, np.newaxis]
    groups = np.arange(800)
    assert roc_auc_score(target, predict_out_of_fold(shifted, target, groups)[:, 1]) > 0.85
    assert abs(roc_auc_score(target, predict_out_of_fold(alike, target, groups)[:, 1]) - 0.5) < 0.1


def test_copies_share_a_fold():
    """Nothing but being a copy tells the target here: who learns one copy knows the other."""
    random = np.random.default_rng(0)
    features = np.repeat(random.normal(size=(300, 4)), 2, axis=0)
    target = np.repeat(random.integers(0, 2, 300), 2)
    apart = predict_out_of_fold(features, target, np.arange(600))[:, 1]
    together = predict_out_of_fold(features, target, np.repeat(np.arange(300), 2))[:, 1]
    assert roc_auc_score(target, apart) > 0.8
    assert abs(roc_auc_score(target, together) - 0.5) < 0.1


def test_every_row_has_probabilities_of_every_class():
    random = np.random.default_rng(0)
    target = np.concatenate([random.integers(0, 3, 200), [3]])
    found = predict_out_of_fold(random.normal(size=(201, 3)), target, np.arange(201))
    assert found.shape == (201, 4)
    assert found.sum(axis=1) == pytest.approx(np.ones(201))


def test_as_many_of_each_split():
    split = np.array(["train"] * 50 + ["test"] * 9)
    chosen = two_splits(split, "train", "test")
    assert (split[chosen] == "train").sum() == (split[chosen] == "test").sum() == 9
    assert len(set(chosen.tolist())) == 18
    assert some_rows(7).tolist() == list(range(7))


def test_thumbnails_and_borders(drawn):
    faces = drawn[:4]
    assert thumbnails(faces) == pytest.approx(faces.reshape(4, 8, 6, 8, 6).mean(axis=(2, 4)).reshape(4, 64))
    found = borders(faces)
    assert found.shape == (4, 32)
    top_left = faces[:, :2, :12].reshape(4, -1).astype(float)
    assert found[:, 0] == pytest.approx(top_left.mean(axis=1), rel=1e-5)
    assert found[:, 1] == pytest.approx(top_left.std(axis=1), rel=1e-4)
    assert borders(faces.transpose(0, 2, 1))[:, 16:24] == pytest.approx(found[:, :8], rel=1e-5)
