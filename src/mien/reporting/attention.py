"""Attention maps of several methods, and checks of the methods."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, MienError, MissingExtraError, Notice, needs_extra
from mien.base.progress import track
from mien.base.run_folder import RunFolder
from mien.explanation.faithfulness import (
    LARGEST_CORRELATION,
    LEAST_FACES,
    RandomizationTest,
    judge,
    measure_faithfulness,
)
from mien.explanation.methods import METHODS, explain, needs_torch
from mien.explanation.overlay import overlay
from mien.inference.predictor import Predictor
from mien.page.blocks import Column, FaceRow, FaceTile, Row, Section, Table, Text
from mien.page.rendering import data_address
from mien.page.wording import percent
from mien.reporting.context import ReportContext

JUDGED_FACES = 24
"""Number of faces for the checks: they give a verdict in half a minute."""

Maps = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MapExplainer:
    """Everything needed to compute saliency maps of a model.

    Attributes:
        predict: function that maps faces uint8 (n, S, S[, 3]) to probabilities (n, C).
        crop_px: side of the central crop that the model sees.
        network: a :class:`mien.explanation.gradient.torch_model.TorchModel`; None allows only occlusion.
        randomize: function of (method, faces, their maps) that tests against randomised weights; or None.
        methods: names of the usable methods.
    """

    predict: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]
    crop_px: int
    network: Any = None
    randomize: Callable[..., RandomizationTest] | None = None
    methods: Sequence[str] = tuple(name for name in METHODS if not needs_torch(name))

    def maps(self, name: str, images: npt.NDArray[np.uint8]) -> Maps:
        """Compute maps of the predicted classes for images uint8 (N, S, S[, 3]): float32 (N, S, S)."""
        return explain(name, images, predict=self.predict, model=self.network, crop_px=self.crop_px)


def attention_section(context: ReportContext) -> Section | Notice:
    """Build an explainer for the model and show its maps. Needs faces and a model."""
    if reason := context.no_new_predictions:
        return reason
    if not context.explain:
        return Notice("Attention maps skipped, as requested.", code="attention-not-wanted")
    assert context.model is not None
    assert context.faces is not None
    explainer, notice = build_explainer(context.model, context.run, np.asarray(context.faces.images))
    return show_attention(context, explainer, notice)


def show_attention(context: ReportContext, explainer: MapExplainer, notice: Notice | None = None) -> Section:
    """Build the section that shows which methods are faithful, and faces with their maps. Needs faces.

    ``notice`` says why some methods are missing.
    """
    assert context.faces is not None
    images = np.asarray(context.faces.images)
    chosen = np.random.default_rng(0).choice(len(images), min(JUDGED_FACES, len(images)), replace=False)
    judged = images[np.sort(chosen)]
    blocks = (
        Text(
            "The maps show which pixels support the predicted class. A map can mislead: the table shows which methods "
            "pass the checks on this model. Each map has its own scale: its brightest place supports the class most."
        ),
        *(() if notice is None else (Text(notice),)),
        _checks(judged, explainer),
        Text(
            f"Deletion: the most important pixels are blurred first. Insertion: they are restored first. The gain is "
            f"measured against the same maps at a random position. Rank correlation: with maps of the network after "
            f"its weights are shuffled; a method whose maps do not change shows edges, not what the network learned. "
            f"A method passes if the interval of its deletion gain is above 0, the interval of its insertion gain is "
            f"not below 0, and the interval of its rank correlation is below {LARGEST_CORRELATION:g}. With fewer than "
            f"{LEAST_FACES} faces it is undecided. Checked on {len(judged)} faces.",
            soft=True,
        ),
        _gallery(context, images, explainer),
    )
    return Section("attention", "Attention maps", blocks)


def _checks(judged: npt.NDArray[np.uint8], explainer: MapExplainer) -> Table:
    rows = []
    for name in track(explainer.methods, total=len(explainer.methods), what="checking maps", unit="methods"):
        maps = explainer.maps(name, judged)
        faithful = measure_faithfulness(explainer.predict, judged, maps, crop_px=explainer.crop_px)
        randomized = None if explainer.randomize is None else explainer.randomize(name, images=judged, maps=maps)
        correlation = None if randomized is None else randomized.spearman
        rows.append((name, judge(faithful, randomized), faithful.deletion_gain, faithful.insertion_gain, correlation))
    columns = (
        Column("method", "text"), Column("verdict", "text"), Column("deletion gain", "signed"),
        Column("insertion gain", "signed"), Column("rank correlation", "signed"),
    )  # fmt: skip
    return Table("explanation-checks", columns, rows)


def _gallery(context: ReportContext, images: npt.NDArray[np.uint8], explainer: MapExplainer) -> Row:
    """Return the most confident correct and most confident wrong face of each class, with all maps."""
    chosen = []
    for index in range(len(context.classes)):
        for is_correct in (True, False):
            mine = np.flatnonzero((context.predictions.labels == index) & (context.correct == is_correct))
            if len(mine):
                chosen.append(int(mine[np.argmax(context.confidence[mine])]))
    faces = images[chosen]
    methods = track(explainer.methods, total=len(explainer.methods), what="mapping faces", unit="methods")
    maps = {name: explainer.maps(name, faces) for name in methods}
    rows = []
    for index, at in enumerate(chosen):
        true, predicted = context.classes[context.predictions.labels[at]], context.classes[context.predicted[at]]
        sure = percent(float(context.confidence[at]), 0)
        title = f"{true}, correct, {sure}" if true == predicted else f"{true}, predicted {predicted}, {sure}"
        tiles = [FaceTile(data_address(faces[index]), "the face")]
        for name, each in maps.items():
            # In some maps no pixel favours the class.
            caption = name if each[index].max() > 0 else f"{name}: no pixel favours it"
            tiles.append(FaceTile(data_address(overlay(faces[index], each[index], 2)), caption))
        rows.append(FaceRow(title, tuple(tiles), large=True))
    return Row(tuple(rows))


def build_explainer(
    model: Predictor, run: RunFolder | None, images: npt.NDArray[np.uint8]
) -> tuple[MapExplainer, Notice | None]:
    """Build a model's explainer for faces, not from the test split, with a notice if some methods cannot be used."""
    crop_px = model.manifest.input.crop_px
    occlusion = MapExplainer(model.probabilities, crop_px)

    skipped = "Methods that need gradients are skipped"
    if run is None:
        return occlusion, Notice(f"{skipped}: the model is not in a run folder.", code="gradients-without-run")
    if not run.best.is_file():
        return occlusion, Notice(f"{skipped}: the run folder has no {run.best.name}.", code="gradients-without-weights")
    try:
        with needs_extra("train", "Explaining a model by gradients"):
            # Import by name, because training writes a report too, and pages must not need torch.
            randomization = import_module("mien.explanation.gradient.randomization")
            torch_model = import_module("mien.explanation.gradient.torch_model")
        network = torch_model.matching_torch_model(run, model.manifest, model.probabilities)
    except MissingExtraError as error:
        return occlusion, Notice(f"{skipped}. {error}", code="gradients-without-extra")
    except MienError as error:
        return occlusion, Notice(f"{skipped}: the weights of the run cannot be used. {error}", code=error.code)

    randomize = partial(randomization.check_randomization, model=network)
    methods, reasons = [], []
    for name in METHODS:
        try:
            if needs_torch(name):
                explain(name, np.asarray(images[:1]), model=network)
            methods.append(name)
        except DataError as error:
            reasons.append(f"The method {name} is skipped. {error}")
    notice = Notice(" ".join(reasons), code="methods-unsupported") if reasons else None
    return MapExplainer(model.probabilities, crop_px, network, randomize, methods), notice
