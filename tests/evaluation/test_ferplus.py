"""FER+'s protocol on hand-made votes and on PublicTest; cross-entropy against scipy."""

import numpy as np
import pytest

from mien.base.labels import FERPLUS_CLASSES
from mien.evaluation.metrics import majority, majority_accuracy, majority_predictions


def row(**votes: int) -> list[int]:
    named = {name.replace("_", "-"): count for name, count in votes.items()}
    return [named.get(name, 0) for name in FERPLUS_CLASSES]


CASES = [
    (row(happy=10), "happy"),
    (row(happy=6, neutral=4), "happy"),
    (row(happy=5, neutral=5), None),  # half is not more than half
    (row(happy=5, neutral=4, sad=1), "happy"),  # the single vote is dropped: 5 of 9
    (row(happy=4, neutral=3, sad=3), None),
    (row(contempt=8, neutral=2), "contempt"),
    (row(unknown=6, neutral=4), None),
    (row(not_a_face=10), None),
    (row(happy=1, neutral=1, sad=1, fear=1), None),  # nothing is left
]


def test_majority_by_hand():
    found = majority(np.array([votes for votes, _ in CASES]), FERPLUS_CLASSES)
    assert found.tolist() == [-1 if name is None else FERPLUS_CLASSES.index(name) for _, name in CASES]


def test_shares_are_not_treated_as_single_votes():
    """By hand: of shares, 1 is everybody, and a lone vote is too. The same shares as counts of ten, the same majority.

    A row's majority is its own: whether other rows hold shares does not change it.
    """
    shares = np.array([[1.0, 0.0, 0.0], [0.6, 0.4, 0.0], [0.4, 0.3, 0.3]])
    assert majority(shares, ("happy", "sad", "fear")).tolist() == [0, 0, -1]
    assert majority(np.rint(shares * 10), ("happy", "sad", "fear")).tolist() == [0, 0, -1]
    assert majority(shares[:1], ("happy", "sad", "fear")).tolist() == [0]
    assert majority(np.array([[1, 4, 5], [1.5, 1, 1], [0, 1, 0]]), ("happy", "sad", "fear")).tolist() == [2, -1, 1]


def test_accuracy_counts_images_with_a_majority_alone():
    """By hand: of four images one has no majority; "unknown" is no prediction, so the next best counts."""
    votes = np.array([row(happy=10), row(sad=10), row(unknown=10), row(fear=10)])
    probabilities = np.zeros((4, 10))
    happy, sad, unknown = (FERPLUS_CLASSES.index(name) for name in ("happy", "sad", "unknown"))
    probabilities[0, [unknown, happy]] = 0.6, 0.4
    probabilities[1, sad] = probabilities[2, happy] = probabilities[3, sad] = 1
    assert majority_predictions(probabilities, FERPLUS_CLASSES).tolist() == [happy, sad, happy, sad]
    assert majority_accuracy(votes, probabilities, FERPLUS_CLASSES) == pytest.approx(2 / 3)
    assert np.isnan(majority_accuracy(votes[2:3], probabilities[2:3], FERPLUS_CLASSES))


def test_public_test_leaves_3199_images(fer2013_dev):
    """The number that work on FER+ reports for its validation split."""
    table = pytest.importorskip("pyarrow.parquet").read_table(fer2013_dev, columns=["usage", "ferplus_votes"])
    votes = np.array(table.column("ferplus_votes").to_pylist())
    public = np.array(table.column("usage").to_pylist()) == "PublicTest"
    assert (majority(votes[public], FERPLUS_CLASSES) >= 0).sum() == 3199
