"""Oracles: pages of a few samples, by hand."""

import shlex
import tomllib
from dataclasses import replace

import numpy as np
import pytest

from mien.base.labels import FERPLUS_CLASSES, parse_scheme
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.reporting.context import ReportContext
from mien.reporting.errors import cell_faces, merging_section, worst_section
from support import block_codes

CLASSES = ("angry", "happy", "sad")


def context_of(faces, votes):
    """Rows 0 and 1 are read rightly, 2 and 3 are angry faces read as sad, 4 is a happy one read as angry."""
    labels, read = np.array([0, 1, 0, 0, 1]), np.array([0, 1, 2, 2, 0])
    predictions = Predictions(np.arange(5), labels, 0.1 + 0.7 * np.eye(3)[read], CLASSES, "validation", "")
    chosen = replace(faces.subset(np.arange(5)), classes=CLASSES, labels=labels)
    if votes is not None:
        chosen = replace(chosen, votes=np.array(votes), vote_classes=FERPLUS_CLASSES)
    return ReportContext(predictions, evaluate_predictions(predictions, 10), chosen)


def test_without_votes_what_they_say_is_left_out(faces):
    context = context_of(faces, None)
    assert "votes" not in {column.name for table in worst_section(context).tables() for column in table.columns}


def test_copies_of_a_picture_are_shown_once(faces):
    """Twelve angry faces read as sad, of which eight are one image: five are different."""
    labels, read = np.zeros(14, dtype=np.int64), np.full(14, 2)
    read[12:] = 0
    probabilities = 0.1 + 0.7 * np.eye(3)[read]
    images = np.array(faces.images[:14])
    images[1:8] = images[0]
    chosen = replace(faces.subset(np.arange(14)), classes=CLASSES, labels=labels, images=images)
    predictions = Predictions(np.arange(14), labels, probabilities, CLASSES, "validation", "")
    shown = cell_faces(ReportContext(predictions, evaluate_predictions(predictions, 10), chosen))
    assert len({face.image for face in shown[0, 2].faces}) == len(shown[0, 2].faces) == 5
    assert len(shown[0, 0].faces) == 2


def test_where_all_is_right_nothing_is_merged(faces):
    labels = np.array([0, 1, 2, 1])
    predictions = Predictions(np.arange(4), labels, 0.1 + 0.7 * np.eye(3)[labels], CLASSES, "validation", "")
    section = merging_section(ReportContext(predictions, evaluate_predictions(predictions, 10)))
    assert not list(section.charts())
    assert not list(section.tables())
    assert block_codes(section) == ["no-mistakes"]


@pytest.mark.parametrize(
    ("classes", "readable"),
    [
        (("angry", "happy", "sad"), True),
        (("it's", "happy", "sad"), True),
        # Read again, these would be other classes.
        (("a,b", "happy", "sad"), False),
        (("a+b", "happy", "sad"), False),
        (("x=y", "happy", "sad"), False),
    ],
)
def test_the_change_that_trains_with_a_scheme_can_be_given_as_it_stands(classes, readable):
    """Oracle: a shell's words, and what ``parse_scheme`` reads of them."""
    labels, read = np.array([0, 1, 0, 0, 1]), np.array([0, 1, 2, 2, 0])
    predictions = Predictions(np.arange(5), labels, 0.1 + 0.7 * np.eye(3)[read], classes, "validation", "")
    section = merging_section(ReportContext(predictions, evaluate_predictions(predictions, 10)))
    texts = [part.words for part in section.parts() if part.kind == "text"]
    (last,) = [words for words in texts if "slightly optimistic" in words]
    assert ("--set" in last) == readable
    if readable:
        found = last[last.index("--set") : -1]
        scheme = parse_scheme(tomllib.loads(shlex.split(found)[1])["classes"])
        assert set(scheme.groups.values()) == {(classes[1],), (classes[0], classes[2])}
