"""Oracle: three samples of one person tell as much as one of them; no fold splits a person or a copy."""

from dataclasses import replace

import numpy as np
import pytest

from mien.auditing.dataset_estimates import ceiling_estimates, shortcut_tests, split_tests
from mien.auditing.findings import AuditFindings
from mien.auditing.run import Copies, audit_faces, find_copies, kept_together
from mien.auditing.sections.labels import ranking_table
from mien.checks import distribution_shift, label_noise_ceiling
from mien.checks.vote_evidence import read_votes
from mien.data.dataset import Dataset
from mien.evaluation.predictions import Predictions
from mien.near_copies.finder import NearCopies

COUNT = 120
CLASSES = ("angry", "happy", "sad")


def people(times):
    """Each of 120 people with one sample, or with three equal ones; half are of train."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (COUNT, 48, 48)).astype(np.uint8)
    votes = generator.multinomial(10, [0.2] * 5 + [0] * 5, COUNT)
    columns = {"ferplus_votes": votes.repeat(times, axis=0), "person": np.arange(COUNT).repeat(times)}
    return Dataset(
        images=images.repeat(times, axis=0),
        labels=generator.integers(0, 3, COUNT).repeat(times),
        classes=CLASSES,
        split=np.array(["train", "validation"]).repeat(COUNT * times // 2),
        source=np.array([f"face {at}" for at in range(COUNT * times)]),
        rows=np.arange(COUNT * times),
        columns=columns,
        group_column="person",
    )


def no_copies(count):
    nothing = np.zeros(0, dtype=np.int64)
    return NearCopies(nothing, nothing, np.zeros(0, dtype=np.float32), np.arange(count), 0, 0)


def ends(results, of):
    return [(each.name, of(each).low, of(each).high) for each in results]


def the_same(found, expected):
    assert [name for name, *_ in found] == [name for name, *_ in expected]
    assert len(found) > 0
    for one, other in zip(found, expected, strict=True):
        assert one[1:] == pytest.approx(other[1:], abs=1e-9), one[0]


@pytest.fixture
def by_a_feature(monkeypatch):
    """Predictions of the trees and of the linear model that do not depend on how often a sample is there."""

    def probabilities(features, target, groups):
        score = features[:, :1] / 300
        return np.concatenate([1 - score, score, score / 2], axis=1)[:, : target.max() + 1]

    monkeypatch.setattr(distribution_shift, "predict_out_of_fold", probabilities)
    monkeypatch.setattr(label_noise_ceiling, "predicted_from_votes", lambda votes, labels, folds: labels == 1)


def test_intervals_of_tests_draw_whole_groups(by_a_feature):
    for test in (split_tests, shortcut_tests):
        found = []
        for times in (1, 3):
            faces = people(times)
            light = {"brightness": np.asarray(faces.images)[:, 0, 0].astype(float)}
            found.append(ends(test(faces, faces.images, light, faces.groups, 50), lambda each: each.auc))
        the_same(found[1], found[0])


def test_intervals_of_ceilings_draw_whole_groups(by_a_feature):
    found = []
    for times in (1, 3):
        faces = people(times)
        # Two images in turn are copies of each other: two people are one unit then.
        copies = 10 * (np.arange(COUNT) // 2).repeat(times) + np.tile(np.arange(times), COUNT)
        found.append(
            ends(ceiling_estimates(faces, read_votes(faces), copies, faces.groups, 50), lambda each: each.accuracy)
        )
    assert len(found[0]) == 8
    the_same(found[1], found[0])


def test_shares_of_classes_and_metrics_count_whole_groups():
    alone, thrice = (
        AuditFindings(**dict.fromkeys(AuditFindings.__dataclass_fields__) | {"faces": people(times)}).class_balance()
        for times in (1, 3)
    )
    for split, shares in alone.items():
        assert sum(each.value for each in shares.values()) == pytest.approx(1)
        for name, each in shares.items():
            found = thrice[split][name]
            assert (found.value, found.low, found.high) == pytest.approx((each.value, each.low, each.high))


def test_what_a_random_ranking_finds_counts_whole_groups():
    """Votes contradict every label of a person, or none: three samples of a person tell as much as one."""
    tables = []
    for times in (1, 3):
        faces = people(times)
        copies = Copies(np.arange(len(faces)), no_copies(len(faces)), np.asarray(faces.images).std(axis=(1, 2)))
        chances = np.random.default_rng(1).dirichlet(np.ones(3), COUNT).repeat(times, axis=0)
        votes = np.zeros((COUNT, 10), dtype=np.int64)
        votes[np.arange(COUNT), np.where(np.arange(COUNT) % 4 == 0, 9, 4)] = 10
        faces = replace(faces, columns={**faces.columns, "ferplus_votes": votes.repeat(times, axis=0)})
        scores = Predictions(faces.rows, faces.labels, chances, CLASSES, "out-of-fold", "")
        found = audit_faces(faces, copies, scores, resamples=5)
        tables.append([ranking_table("", each) for each in (found.outlier_ranking, found.label_review.ranking)])
    for alone, thrice in zip(*tables, strict=True):
        (name, count, one), (_, many, three) = alone.rows[-1], thrice.rows[-1]
        assert name == "all (random ranking)"
        assert many == 3 * count
        assert 0 < one.value < 1
        assert (three.value, three.low, three.high) == pytest.approx((one.value, one.low, one.high))


def test_no_fold_splits_a_person_or_a_copy(monkeypatch):
    """Groups of a fold as they reach the trees: each person, and each pair of copies, has one number."""
    faces = replace(people(1), columns={"person": np.arange(COUNT) // 3})
    images = np.asarray(faces.images).copy()
    images[4] = images[70]
    faces, seen = replace(faces, images=images), []
    monkeypatch.setattr(
        distribution_shift,
        "predict_out_of_fold",
        lambda features, target, groups: seen.append(groups) or np.full((len(target), target.max() + 1), 0.5),
    )
    copies = find_copies(faces)
    generator = np.random.default_rng(1)
    chances = generator.dirichlet(np.ones(3), COUNT)
    scores = Predictions(faces.rows, faces.labels, chances, CLASSES, "out-of-fold", "")
    found = audit_faces(faces, copies, scores, resamples=20)
    assert len(seen) == 3
    for groups in seen:
        assert all(len(set(groups[faces.groups == each])) == 1 for each in range(COUNT // 3))
        assert groups[4] == groups[70]
        assert len(set(groups)) == COUNT // 3 - 1
    np.testing.assert_array_equal(found.label_review.predictions.groups, faces.groups)


def test_without_groups_copies_alone_stay_together():
    near = NearCopies(*[None] * len(NearCopies.__dataclass_fields__))
    near = replace(near, groups=np.array([5, 2, 5, 9]))
    found = kept_together(people(1).subset(np.arange(4)), Copies(np.arange(4), near, np.zeros(4)))
    assert len(set(found.tolist())) == 3
    ungrouped = replace(people(1).subset(np.arange(4)), group_column="")
    assert kept_together(ungrouped, Copies(np.arange(4), near, np.zeros(4))).tolist() == [1, 0, 1, 2]
