"""Sections of a report. Oracles: samples and numbers put in, by hand."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from mien import explain
from mien.base.errors import DataError, ModelError
from mien.base.run_folder import find_run
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import RobustnessResult
from mien.explanation.explainer import Explainer
from mien.inference.predictor import load
from mien.page.page import CaptionedChart, Table, Text
from mien.reporting.report_page import calibration_section, confusion_section, curves_section
from mien.reporting.sections import (
    ReportContext,
    build_explainer,
    cell_faces,
    pairs_section,
    robustness_section,
    show_attention,
    worst_section,
)
from support import block_codes, make_predictions, raises

CLASSES = ("angry", "happy", "sad")
SHARES = np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.5] * 5])
RESULT = RobustnessResult(("blur", "jpeg"), SHARES, Estimate(0.9, 0.8, 1.0), Estimate(0.6, 0.5, 0.7), 40, 0)


def context_of(labels, probabilities, classes=CLASSES, faces=None, groups=None, **more):
    """The context of so many samples, with the first images of the faces."""
    labels = np.asarray(labels)
    given = (np.arange(len(labels)), labels, np.asarray(probabilities), classes, "validation", "")
    predictions = Predictions(*given, groups=groups)
    if faces is not None:
        faces = replace(faces.subset(np.arange(len(labels))), classes=classes, labels=labels)
    return ReportContext(predictions, evaluate_predictions(predictions, 10), faces, **more)


@pytest.mark.parametrize(("labels", "drawn"), [([0, 1, 1, 0], True), ([1, 1, 1], False), ([1], False)])
def test_roc_is_left_out_for_one_class(labels, drawn):
    section = curves_section(context_of(labels, np.random.default_rng(0).dirichlet(np.ones(3), len(labels))))
    names = {part.chart.name for part in section.parts(CaptionedChart)}
    assert names == {"precision-recall"} | ({"roc-classes"} if drawn else set())
    assert any(isinstance(part, Text) and "no ROC curves" in part.words for part in section.parts()) != drawn


def test_mistakes_name_the_files_of_the_data(faces):
    """Samples 0 and 1 are right, 2 and 3 are angry faces predicted as sad, 4 is a happy one predicted as angry."""
    labels, probabilities = [0, 1, 0, 0, 1], 0.1 + 0.7 * np.eye(3)[[0, 1, 2, 2, 0]]
    shares = [f"p({name})" for name in CLASSES]
    (table,) = worst_section(context_of(labels, probabilities, faces=faces)).parts(Table)
    assert [column.name for column in table.columns] == ["file", "sample", "label", "prediction", *shares]
    assert {row[1:4] for row in table.rows} == {(2, "angry", "sad"), (3, "angry", "sad"), (4, "happy", "angry")}
    (table,) = worst_section(context_of(labels, probabilities)).parts(Table)
    assert [column.name for column in table.columns] == ["sample", "label", "prediction", *shares]
    _, counts, _ = confusion_section(context_of([0, 1, 0, 1], np.full((4, 2), 0.5), ("true class", "b"))).parts(Table)
    assert [column.name for column in counts.columns][1:] == ["true class", "b"]
    # Twelve angry faces predicted as sad, of which eight are one image: five are different.
    predicted = np.full(14, 2)
    predicted[12:] = 0
    images = np.array(faces.images[:14])
    images[1:8] = images[0]
    context = context_of(np.zeros(14, dtype=np.int64), 0.1 + 0.7 * np.eye(3)[predicted], faces=faces)
    shown = cell_faces(replace(context, faces=replace(context.faces, images=images)))
    assert len({face.image for face in shown[0, 2].faces}) == len(shown[0, 2].faces) == 5
    assert len(shown[0, 0].faces) == 2


def intervals(section):
    """The intervals in a section's tables."""
    cells = [cell for table in section.parts(Table) for row in table.rows for cell in row]
    return [(cell.low, cell.high) for cell in cells if isinstance(cell, Estimate)]


@pytest.mark.parametrize("section", [pairs_section, curves_section, calibration_section])
def test_intervals_of_a_section_resample_whole_groups(section):
    """Oracle: each sample three times, in a group of its own, is known no better than once."""
    labels, thrice = np.arange(60) % 3, np.arange(60).repeat(3)
    probabilities = (2 * np.random.default_rng(0).dirichlet(np.ones(3), 60) + np.eye(3)[labels]) / 3
    alone = intervals(section(context_of(labels, probabilities)))
    found = intervals(section(context_of(labels[thrice], probabilities[thrice], groups=thrice)))
    assert len(found) == len(alone) > 0
    np.testing.assert_allclose(found, alone, atol=1e-9)


def robustness_of(result, groups=None):
    context = context_of(np.arange(40) % 2, np.full((40, 2), 0.5), ("no", "yes"), groups=groups, robustness=result)
    return robustness_section(context)


def words(section):
    return " ".join(block.words for block in section.blocks if isinstance(block, Text))


def test_robustness_section_has_every_accuracy():
    section = robustness_of(RESULT)
    assert "90.0%" in words(section)
    assert [part.chart.name for part in section.parts(CaptionedChart)] == ["robustness-curves"]
    (table,) = section.parts(Table)
    assert ([row[-1] for row in table.rows], block_codes(section)) == (pytest.approx([0.7, 0.5]), [])
    groups = np.arange(40) // 4
    assert block_codes(robustness_of(RESULT, groups)) == ["groups-not-drawn"]
    assert "group" not in words(robustness_of(RESULT))
    section = robustness_of(replace(RESULT, groups=1200), groups)
    assert "1,200 whole groups" in words(section)
    assert block_codes(section) == []


def spot(images):
    """Class 0 by the brightness of the 12 x 12 spot at (18, 18), and by nothing else."""
    share = images[:, 18:30, 18:30].mean(axis=(1, 2)) / 255
    return np.stack([share, 1 - share], axis=1)


def checks(faces, count, explainer):
    """The table of the checks of the section on so many faces, by column."""
    chosen, labels = faces.subset(np.arange(count)), np.arange(count) % 2
    predictions = Predictions(chosen.rows, labels, spot(chosen.images), ("dark", "light"), "validation", "")
    section = show_attention(ReportContext(predictions, evaluate_predictions(predictions, 10), chosen), explainer)
    (table,) = section.parts(Table)
    return table.records()[0]


def test_occlusion_passes_for_a_model_of_one_spot(faces):
    found = checks(faces, 40, Explainer(spot, 48))
    assert (found["method"], found["verdict"]) == ("occlusion", "passes")
    assert found["deletion gain"]["low"] > 0
    assert checks(faces, 19, Explainer(spot, 48))["verdict"] == "undecided"


@pytest.mark.parametrize(("high", "verdict"), [(0.49, "passes"), (0.51, "fails")])
def test_method_fails_if_its_maps_ignore_the_weights(faces, high, verdict):
    asked = []

    class Tested(Explainer):
        def check(self, images, method):
            asked.append(len(images))
            return replace(super().check(images, method), rank_correlation=Estimate(0.3, 0.2, high))

    assert (checks(faces, 40, Tested(spot, 48))["verdict"], asked) == (verdict, [24])


@pytest.fixture
def context(faces):
    part = faces.of_split("validation")
    predictions = make_predictions(part.labels, faces.classes, part.rows)
    return ReportContext(predictions, evaluate_predictions(predictions, 10), part)


def test_explainer_has_occlusion_alone_without_torch_or_run(tiny_run, context, monkeypatch):
    model = load(tiny_run.path)
    explainer, reason = build_explainer(model, None)
    assert (list(explainer.methods), reason.code) == (["occlusion"], "attention-skipped")
    # Imported anew, whichever modules earlier tests imported.
    monkeypatch.delitem(sys.modules, "mien.explanation.gradient", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    explainer, reason = build_explainer(model, tiny_run)
    assert explainer.network is None
    assert reason.code == "attention-skipped"
    assert "pip install 'mien[train]'" in reason


def test_explainer_rejects_other_weights(tiny_run, own_run, context):
    """Oracle: each tensor turned round, as if the run had gone on after its export; or no checkpoint at all."""
    from mien.training import checkpoint

    model = load(tiny_run.path)
    assert build_explainer(model, tiny_run)[1] is None
    tensors, facts = checkpoint.load(own_run.best)
    turned = {name: each.flatten().flip(0).reshape(each.shape).clone() for name, each in tensors.items()}
    checkpoint.save(own_run.best, turned, facts)
    explainer, reason = build_explainer(model, own_run)
    assert explainer.network is None
    assert reason.code == "attention-skipped"
    with raises(ModelError, "gradients-other-weights"):
        explain(own_run.path, context.faces.images[0], "gradient", crops=True)
    own_run.best.write_bytes(b"no checkpoint")
    explainer, reason = build_explainer(model, own_run)
    assert explainer.network is None
    assert reason.code == "attention-skipped"


@pytest.mark.parametrize("name", ["default", "fast-int8"])
def test_explainer_accepts_the_weights_of_a_quantized_model(name, faces):
    explainer, reason = build_explainer(load(name).for_labels(), find_run("fast" if "fast" in name else name))
    assert (list(explainer.methods), reason) == (["gradient", "gradcam", "occlusion"], None)


def test_explainer_names_an_unsupported_method(tiny_run, context, monkeypatch):
    """As for a network without maps: Grad-CAM refuses."""
    from mien.explanation import gradient
    from mien.reporting.sections import show_attention

    def refuse(model):
        raise DataError("Grad-CAM needs a network with convolutional maps; this one has none. Take another method.")

    monkeypatch.setattr(gradient, "last_maps", refuse)
    few = context.faces.subset(np.arange(3))
    predictions = Predictions(few.rows, few.labels, context.predictions.probabilities[:3], few.classes, "x", "")
    explainer, reason = build_explainer(load(tiny_run.path), tiny_run)
    assert "gradcam" not in explainer.methods
    assert (explainer.methods, reason.code) == (["gradient", "occlusion"], "attention-skipped")
    assert "gradcam" in reason
    section = show_attention(ReportContext(predictions, evaluate_predictions(predictions, 10), few), explainer, reason)
    assert block_codes(section) == ["attention-skipped"]
