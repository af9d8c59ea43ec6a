"""Oracles: labels that the test turned; a search through all rows for neighbours; cleanlab for what is flagged."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mien.base.errors import DataError
from mien.checks.label_errors import NEIGHBOURS, contradicted_labels, neighbour_labels, rank_label_issues
from support import raises

CLASSES = 4


def judged(count=800, turned=0.1, seed=0):
    random = np.random.default_rng(seed)
    truth, logits = random.integers(0, CLASSES, count), random.normal(size=(count, CLASSES))
    logits[np.arange(count), truth] += 3
    probabilities, wrong = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), random.random(count) < turned
    labels = np.where(wrong, (truth + 1 + random.integers(0, CLASSES - 1, count)) % CLASSES, truth)
    return labels, truth, probabilities, labels != truth


def test_rank_label_issues_flags_changed_labels_and_cleanlabs():
    labels, truth, probabilities, wrong = judged()
    found = rank_label_issues(labels, probabilities, np.arange(len(labels)))
    assert roc_auc_score(wrong, found.suspicion) > 0.95
    assert wrong[found.flagged].mean() > 0.6
    assert wrong[found.sure].mean() > 0.9
    assert (found.suggested[found.sure & wrong] == truth[found.sure & wrong]).mean() > 0.9
    assert not (found.sure & ~found.flagged).any()
    assert (found.suggested[found.sure] != labels[found.sure]).all()
    with raises(DataError, "not-auditable"):
        rank_label_issues(np.array([0, 1]), np.full((2, 3), 1 / 3), np.arange(2))
    with raises(DataError, "not-auditable"):
        rank_label_issues(np.array([0, 1, 0]), np.full((3, 2), 0.5), np.arange(3), np.array([True, False, True]))
    # Oracle: cleanlab 2.9.0, ``find_label_issues(labels, probabilities, filter_by="prune_by_noise_rate")``.
    for seed, flagged in FLAGGED.items():
        labels, _, probabilities, _ = judged(150, 0.2 + 0.05 * seed, seed)
        assert np.packbits(contradicted_labels(labels, probabilities)).tobytes().hex() == flagged
    assert not contradicted_labels(np.array([0, 1, 1]), np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])).any()


def test_neighbour_labels_equal_a_full_search():
    labels, _, probabilities, _ = judged(120)
    groups = np.arange(120) // 2  # every row has one copy
    evidence = np.random.default_rng(3).random(120) < 0.8
    found = neighbour_labels(labels, probabilities, groups, evidence)
    logarithms = np.log(np.maximum(probabilities, 1e-4))
    coordinates = logarithms - logarithms.mean(axis=1, keepdims=True)
    for at in range(120):
        order = np.argsort(((coordinates - coordinates[at]) ** 2).sum(axis=1), kind="stable")
        nearest = [each for each in order if evidence[each]][: NEIGHBOURS + 1]
        others = [each for each in nearest if groups[each] != groups[at]][:NEIGHBOURS]
        assert found[at] == pytest.approx(np.bincount(labels[others], minlength=CLASSES) / len(others))


def test_rank_label_issues_ignores_validation_labels_for_train():
    labels, _, probabilities, _ = judged()
    of_train = np.random.default_rng(5).random(len(labels)) < 0.7
    other, groups = np.where(of_train, labels, (labels + 1) % CLASSES), np.arange(len(labels))
    one, another = (rank_label_issues(each, probabilities, groups, of_train) for each in (labels, other))
    alone = rank_label_issues(labels[of_train], probabilities[of_train], groups[of_train])
    assert alone.sure.any()
    for name in ("confidence", "agreement", "suspicion", "flagged", "suggested", "sure"):
        mine = getattr(one, name)[of_train]
        assert np.array_equal(mine, getattr(another, name)[of_train]), name
        assert np.array_equal(mine, getattr(alone, name)), name
    labels, _, probabilities, wrong = judged()
    of_train = np.arange(len(labels)) % 2 == 0
    found = rank_label_issues(labels, probabilities, np.arange(len(labels)), of_train)
    assert roc_auc_score(wrong[~of_train], found.suspicion[~of_train]) > 0.95
    assert not (found.sure | found.flagged)[~of_train].any()
    assert np.array_equal(found.evidence, of_train)
    nobody = rank_label_issues(labels, probabilities, np.arange(len(labels)), np.zeros(len(labels), dtype=bool))
    assert nobody.evidence.all()
    assert np.array_equal(nobody.sure, rank_label_issues(labels, probabilities, np.arange(len(labels))).sure)
    assert nobody.sure.any()


FLAGGED = {
    0: "0002800840010cc1021223a004012120010340",
    1: "02204e10c03214490140406020640844499480",
    2: "81b1743720e009899a080116640204b04400ec",
}
"""Which of 150 labels, a bit each, by the seed."""
