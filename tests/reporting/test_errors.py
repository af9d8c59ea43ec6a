"""Oracles: pages of a few samples, by hand."""

from dataclasses import replace

import numpy as np

from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.reporting.context import ReportContext
from mien.reporting.errors import cell_faces, worst_section

CLASSES = ("angry", "happy", "sad")


def context_of(faces):
    """Rows 0 and 1 are read rightly, 2 and 3 are angry faces read as sad, 4 is a happy one read as angry."""
    labels, read = np.array([0, 1, 0, 0, 1]), np.array([0, 1, 2, 2, 0])
    predictions = Predictions(np.arange(5), labels, 0.1 + 0.7 * np.eye(3)[read], CLASSES, "validation", "")
    chosen = replace(faces.subset(np.arange(5)), classes=CLASSES, labels=labels)
    return ReportContext(predictions, evaluate_predictions(predictions, 10), chosen)


def test_without_votes_what_they_say_is_left_out(faces):
    context = context_of(faces)
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
