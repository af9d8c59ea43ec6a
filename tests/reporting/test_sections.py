"""Sections of a report. Oracles: samples and numbers put in, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import RobustnessResult
from mien.reporting.context import ReportContext
from mien.reporting.errors import cell_faces, robustness_section, worst_section
from mien.reporting.report_page import confusion_section, curves_section
from support import block_codes

CLASSES = ("angry", "happy", "sad")
SHARES = np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.5] * 5])
RESULT = RobustnessResult(("blur", "jpeg"), SHARES, Estimate(0.9, 0.8, 1.0), Estimate(0.6, 0.5, 0.7), 40, 0)


def context_of(labels, probabilities, classes=CLASSES, faces=None, groups=None, **more):
    """The context of so many samples, with the first images of the faces."""
    labels = np.asarray(labels)
    predictions = Predictions(
        np.arange(len(labels)), labels, np.asarray(probabilities), classes, "validation", "", groups=groups
    )
    if faces is not None:
        faces = replace(faces.subset(np.arange(len(labels))), classes=classes, labels=labels)
    return ReportContext(predictions, evaluate_predictions(predictions, 10), faces, **more)


@pytest.mark.parametrize(("labels", "drawn"), [([0, 1, 1, 0], True), ([1, 1, 1], False), ([1], False)])
def test_roc_is_left_out_for_one_class(labels, drawn):
    section = curves_section(context_of(labels, np.random.default_rng(0).dirichlet(np.ones(3), len(labels))))
    assert {chart.name for chart in section.charts()} == {"precision-recall"} | ({"roc-classes"} if drawn else set())
    assert any(part.kind == "text" and "no ROC curves" in part.words for part in section.parts()) != drawn


def test_confusion_tables_allow_a_class_named_as_a_column():
    _, counts, _ = confusion_section(context_of([0, 1, 0, 1], np.full((4, 2), 0.5), ("true class", "b"))).tables()
    assert [column.name for column in counts.columns][1:] == ["true class", "b"]


def test_mistakes_name_the_files_of_the_data(faces):
    """Samples 0 and 1 are right, 2 and 3 are angry faces predicted as sad, 4 is a happy one predicted as angry."""
    labels, probabilities = [0, 1, 0, 0, 1], 0.1 + 0.7 * np.eye(3)[[0, 1, 2, 2, 0]]
    shares = [f"p({name})" for name in CLASSES]
    (table,) = worst_section(context_of(labels, probabilities, faces=faces)).tables()
    assert [column.name for column in table.columns] == ["file", "sample", "label", "prediction", *shares]
    assert {row[1:4] for row in table.rows} == {(2, "angry", "sad"), (3, "angry", "sad"), (4, "happy", "angry")}
    (table,) = worst_section(context_of(labels, probabilities)).tables()
    assert [column.name for column in table.columns] == ["sample", "label", "prediction", *shares]


def test_cell_faces_show_identical_images_once(faces):
    """Twelve angry faces predicted as sad, of which eight are one image: five are different."""
    predicted = np.full(14, 2)
    predicted[12:] = 0
    images = np.array(faces.images[:14])
    images[1:8] = images[0]
    context = context_of(np.zeros(14, dtype=np.int64), 0.1 + 0.7 * np.eye(3)[predicted], faces=faces)
    shown = cell_faces(replace(context, faces=replace(context.faces, images=images)))
    assert len({face.image for face in shown[0, 2].faces}) == len(shown[0, 2].faces) == 5
    assert len(shown[0, 0].faces) == 2


def robustness_of(result, groups=None):
    context = context_of(np.arange(40) % 2, np.full((40, 2), 0.5), ("no", "yes"), groups=groups, robustness=result)
    return robustness_section(context)


def words(section):
    return " ".join(block.words for block in section.blocks if block.kind == "text")


def test_robustness_section_has_every_accuracy():
    section = robustness_of(RESULT)
    assert "90.0%" in words(section)
    assert [chart.name for chart in section.charts()] == ["robustness-curves"]
    (table,) = section.tables()
    assert [row[-1] for row in table.rows] == pytest.approx([0.7, 0.5])
    assert block_codes(section) == []


def test_robustness_without_the_groups_of_the_data_has_a_notice():
    groups = np.arange(40) // 4
    assert block_codes(robustness_of(RESULT, groups)) == ["groups-not-drawn"]
    assert "group" not in words(robustness_of(RESULT))
    section = robustness_of(replace(RESULT, groups=1200), groups)
    assert "1,200 whole groups" in words(section)
    assert block_codes(section) == []
