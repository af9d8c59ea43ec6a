"""Oracles: each voter taken out by hand; each pair of labels; labels that follow from votes."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.checks.label_noise_ceiling import next_voter_hits, pair_agreement, plurality_hits, predicted_from_votes
from mien.checks.vote_evidence import Votes
from mien.labels import FERPLUS_CLASSES

CLASS_OF_ANSWER = np.array([6, 3, 5, 4, 0, 1, 2, -1, -1, -1])


def votes_of(counts):
    counts = np.array(counts)
    total = counts.sum(axis=1)
    shares = np.full(counts.shape, np.nan)
    np.divide(counts, total[:, np.newaxis], out=shares, where=total[:, np.newaxis] > 0)
    return Votes(FERPLUS_CLASSES, shares, total, CLASS_OF_ANSWER, ())


COUNTS = st.lists(st.lists(st.integers(0, 4), min_size=10, max_size=10), min_size=1, max_size=5)


def top(counts):
    return [answer for answer, count in enumerate(counts) if count == max(counts)]


@given(COUNTS, st.integers(0, 6))
def test_most_voters_against_a_label(counts, label):
    found = plurality_hits(votes_of(counts), np.full(len(counts), label), 7)
    for line, hit in zip(counts, found, strict=True):
        if sum(line) == 0:
            assert np.isnan(hit)
        else:
            first = top(line)
            assert hit == pytest.approx(sum(CLASS_OF_ANSWER[answer] == label for answer in first) / len(first))


@given(COUNTS)
def test_the_others_foretell_each_voter(counts):
    for line, hit in zip(counts, next_voter_hits(votes_of(counts)), strict=True):
        voters = [answer for answer, count in enumerate(line) for _ in range(count)]
        if len(voters) < 2:
            assert np.isnan(hit)
            continue
        wanted = []
        for at, answer in enumerate(voters):
            others = voters[:at] + voters[at + 1 :]
            first = top([others.count(each) for each in range(10)])
            wanted.append((answer in first) / len(first))
        assert hit == pytest.approx(np.mean(wanted))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=20))
def test_agreement_of_every_pair(rows):
    groups, labels = (np.array([row[side] for row in rows], dtype=np.int64) for side in (0, 1))
    wanted = []
    for group in sorted({row[0] for row in rows}):
        pairs = list(itertools.combinations([row[1] for row in rows if row[0] == group], 2))
        if pairs:
            wanted.append(np.mean([one == other for one, other in pairs]))
    assert pair_agreement(groups, labels) == pytest.approx(wanted)


def test_the_true_ceiling_lies_between_the_two():
    """Labels drawn independently with known chances: the best answer is right with the greatest chance."""
    random = np.random.default_rng(0)
    chances = random.dirichlet([3, 1, 0.5], 20_000)
    labels = np.stack([[random.choice(3, p=each), random.choice(3, p=each)] for each in chances])
    agreement = pair_agreement(np.repeat(np.arange(20_000), 2), labels.ravel()).mean()
    assert agreement < chances.max(axis=1).mean() < np.sqrt(agreement)


def test_labels_that_follow_from_votes_are_predicted():
    random = np.random.default_rng(0)
    labels = random.integers(0, 7, 400)
    counts = random.multinomial(10, np.full(10, 0.1), 400)
    counts[np.arange(400), [4, 5, 6, 1, 3, 2, 0] * np.eye(7, dtype=int)[labels] @ np.ones(7, dtype=int)] += 30
    folds = np.arange(400) % 5
    assert predicted_from_votes(votes_of(counts), labels, folds).mean() > 0.99
    assert abs(predicted_from_votes(votes_of(counts), random.permutation(labels), folds).mean() - 1 / 7) < 0.08
