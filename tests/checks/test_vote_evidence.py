"""Oracle: votes counted by hand."""

from dataclasses import replace

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.base.labels import FERPLUS_CLASSES
from mien.checks.vote_evidence import read_votes
from support import raises


def with_votes(faces, votes):
    return replace(faces.subset(np.arange(len(votes))), columns={"ferplus_votes": np.array(votes)})


HAPPY = [0, 10, 0, 0, 0, 0, 0, 0, 0, 0]
SPLIT = [3, 0, 0, 6, 0, 0, 0, 0, 0, 0]
NO_FACE = [0, 0, 0, 0, 0, 0, 0, 0, 1, 9]
NOBODY = [0] * 10


def test_shares_of_each_row(faces):
    votes = read_votes(with_votes(faces, [HAPPY, SPLIT, NO_FACE, NOBODY]))
    assert votes.shares[1].tolist() == pytest.approx(np.array(SPLIT) / 9)
    assert votes.known.tolist() == [True, True, True, False]
    assert votes.not_a_face[:3].tolist() == [0, 0, 0.9]
    assert np.isnan(votes.not_a_face[3])
    labels = np.array([faces.classes.index("happy"), faces.classes.index("neutral"), 0, 0])
    assert votes.for_label(labels, 7)[:3].tolist() == pytest.approx([1, 1 / 3, 0])
    assert votes.class_of_answer.tolist() == [6, 3, 5, 4, 0, 1, 2, -1, -1, -1]
    assert votes.of(np.array([2, 0])).counts.tolist() == [10, 10]


def test_odd_and_missing_votes_are_told(faces):
    notes = read_votes(with_votes(faces, [HAPPY, SPLIT, NOBODY, NOBODY])).notes
    assert [each.code for each in notes] == ["vote-sums", "votes-missing"]
    assert "9, not 10" in notes[0]
    assert ": 2." in notes[1]
    assert read_votes(with_votes(faces, [HAPPY, HAPPY])).notes == ()


def test_a_class_that_no_answer_names_is_unknown(faces):
    renamed = replace(with_votes(faces, [HAPPY, HAPPY]), classes=("smile", *faces.classes[1:]))
    votes = read_votes(renamed)
    assert np.isnan(votes.for_label(np.array([0, 0]), 7)).all()
    assert votes.class_of_answer[FERPLUS_CLASSES.index("angry")] == -1


@pytest.mark.parametrize("bad", [[-1, *HAPPY[1:]], [float("nan"), *HAPPY[1:]]])
def test_impossible_votes_are_one_line(bad, faces):
    with raises(DataError, "votes-negative", f"row {faces.rows[1]} ({faces.source[1]})", "3 of 5"):
        read_votes(with_votes(faces, [HAPPY, bad, HAPPY, bad, bad]))


def test_without_usable_votes_there_are_none(faces):
    assert read_votes(faces) is None
    assert read_votes(with_votes(faces, [HAPPY[:8]])) is None
    assert read_votes(replace(faces, columns={"ferplus_votes": np.full(len(faces), "happy")})) is None
