"""Oracle: a model that goes by one spot alone; what the check of randomisation says, given."""

from dataclasses import replace

import numpy as np
import pytest

from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate
from mien.explanation.explainer import Explainer
from mien.reporting.attention import show_attention
from mien.reporting.context import ReportContext


def spot(images):
    """Class 0 by the brightness of the 12 x 12 spot at (18, 18), and by nothing else."""
    share = images[:, 18:30, 18:30].mean(axis=(1, 2)) / 255
    return np.stack([share, 1 - share], axis=1)


def checks(faces, count, explainer):
    """The table of the checks of the section on so many faces, by column."""
    chosen, labels = faces.subset(np.arange(count)), np.arange(count) % 2
    predictions = Predictions(chosen.rows, labels, spot(chosen.images), ("dark", "light"), "validation", "")
    section = show_attention(ReportContext(predictions, evaluate_predictions(predictions, 10), chosen), explainer)
    (table,) = section.tables()
    return table.records()[0]


def test_occlusion_passes_for_a_model_of_one_spot(faces):
    found = checks(faces, 40, Explainer(spot, 48))
    assert found["method"] == "occlusion"
    assert found["verdict"] == "passes"
    assert found["deletion gain"]["low"] > 0


@pytest.mark.parametrize(("high", "verdict"), [(0.49, "passes"), (0.51, "fails")])
def test_method_fails_if_its_maps_ignore_the_weights(faces, high, verdict):
    asked = []

    class Tested(Explainer):
        def check(self, images, method):
            asked.append(len(images))
            return replace(super().check(images, method), rank_correlation=Estimate(0.3, 0.2, high))

    assert checks(faces, 40, Tested(spot, 48))["verdict"] == verdict
    assert asked == [24]


def test_method_is_undecided_below_20_faces(faces):
    assert checks(faces, 19, Explainer(spot, 48))["verdict"] == "undecided"
