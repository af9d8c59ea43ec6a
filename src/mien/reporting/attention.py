"""Attention maps of several methods, and checks of the methods."""

import numpy as np
import numpy.typing as npt

from mien.base.errors import MienError, MissingExtraError, Notice
from mien.base.progress import track
from mien.base.run_folder import RunFolder
from mien.explanation.explainer import MAX_CORRELATION, MIN_FACES, Explainer, MapCheck, mean_maps, overlay
from mien.inference.predictor import Predictor
from mien.page.blocks import Block, CaptionedChart, FaceRow, FaceTile, Row, Section, Table, Text, columns_of
from mien.page.chart import shorten
from mien.page.plots import face_sheet
from mien.page.rendering import data_address
from mien.page.wording import percent
from mien.reporting.context import ReportContext

CHECKED_FACES = 24
"""Number of faces for the checks: they give a verdict in half a minute."""


def attention_section(context: ReportContext) -> Section | Notice:
    """Build an explainer for the model and show its maps. Needs faces and a model."""
    if reason := context.no_new_predictions:
        return reason
    if not context.explain:
        return Notice("Attention maps skipped, as requested.", code="attention-not-wanted")
    assert context.model is not None
    assert context.faces is not None
    explainer, notice = build_explainer(context.model, context.run)
    return show_attention(context, explainer, notice)


def show_attention(context: ReportContext, explainer: Explainer, notice: Notice | None = None) -> Section:
    """Build the section that shows which methods are faithful, and faces with their maps. Needs faces.

    ``notice`` says why some methods are missing.
    """
    assert context.faces is not None
    images = np.asarray(context.faces.images)
    chosen = np.sort(np.random.default_rng(0).choice(len(images), min(CHECKED_FACES, len(images)), replace=False))
    methods = track(explainer.methods, total=len(explainer.methods), what="checking maps", unit="methods")
    checks = [explainer.check(images[chosen], method) for method in methods]
    blocks: tuple[Block, ...] = (
        Text(
            "The maps show which pixels support the predicted class. A map can mislead: the table shows which methods "
            "pass the checks on this model. Each map has its own scale: its brightest place supports the class most."
        ),
        *(() if notice is None else (Text(notice),)),
        _checks_table(checks),
        Text(
            f"Deletion: the most important pixels are blurred first. Insertion: they are restored first. The gain is "
            f"measured against the same maps at a random position. Rank correlation: with maps of the network after "
            f"its weights are shuffled; a method whose maps do not change shows edges, not what the network learned. "
            f"A method passes if the interval of its deletion gain is above 0, the interval of its insertion gain is "
            f"not below 0, and the interval of its rank correlation is below {MAX_CORRELATION:g}. With fewer than "
            f"{MIN_FACES} faces it is undecided. Checked on {len(chosen)} faces.",
            soft=True,
        ),
        _mean_maps(context, explainer.predict(images[chosen]).argmax(axis=1), checks),
        _gallery(context, images, explainer),
    )
    return Section("attention", "Attention maps", blocks)


def _checks_table(checks: list[MapCheck]) -> Table:
    rows = [(of.method, of.verdict, of.deletion_gain, of.insertion_gain, of.rank_correlation) for of in checks]
    texts, numbers = ("method", "verdict"), ("deletion gain", "insertion gain", "rank correlation")
    columns = (*columns_of(dict.fromkeys(texts, "text")), *columns_of(dict.fromkeys(numbers, "signed")))
    return Table("explanation-checks", columns, rows, "Checks of the saliency methods.")


def _mean_maps(context: ReportContext, predicted: npt.NDArray[np.int64], checks: list[MapCheck]) -> CaptionedChart:
    """Draw the mean map of each predicted class, one row for each method. No face is in it."""
    images, captions = [], []
    for check in checks:
        for index, mean in mean_maps(check.maps, predicted).items():
            images.append(overlay(np.full(mean.shape, 128, dtype=np.uint8), mean, 2))
            captions.append(shorten(context.classes[index], 12))
    methods = ", ".join(check.method for check in checks)
    chart = face_sheet(images, captions, columns=len(images) // len(checks), name="mean-maps")
    return CaptionedChart(chart, f"Mean map of each predicted class over the checked faces. Rows: {methods}.", True)


def _gallery(context: ReportContext, images: npt.NDArray[np.uint8], explainer: Explainer) -> Row:
    """Return the most confident correct and most confident wrong face of each class, with all maps."""
    chosen = []
    for index in range(len(context.classes)):
        for is_correct in (True, False):
            mine = np.flatnonzero((context.predictions.labels == index) & (context.predictions.right == is_correct))
            if len(mine):
                chosen.append(int(mine[np.argmax(context.predictions.confidence[mine])]))
    faces = images[chosen]
    methods = track(explainer.methods, total=len(explainer.methods), what="mapping faces", unit="methods")
    maps = {method: explainer.attribute(faces, method=method) for method in methods}
    rows = []
    for index, at in enumerate(chosen):
        true, predicted = context.predictions.classes_of(at)
        sure = percent(float(context.predictions.confidence[at]), 0)
        title = f"{true}, correct, {sure}" if true == predicted else f"{true}, predicted {predicted}, {sure}"
        tiles = [FaceTile(data_address(faces[index]), "the face")]
        for name, each in maps.items():
            # In some maps no pixel favours the class.
            caption = name if each[index].max() > 0 else f"{name}: no pixel favours it"
            tiles.append(FaceTile(data_address(overlay(faces[index], each[index], 2)), caption))
        rows.append(FaceRow(title, tuple(tiles), large=True))
    return Row(tuple(rows))


def build_explainer(model: Predictor, run: RunFolder | None) -> tuple[Explainer, Notice | None]:
    """Build a model's explainer, with a notice if some methods cannot be used."""
    occlusion = Explainer(model.probabilities, model.manifest.input.crop_px)
    skipped = "Methods that need gradients are skipped"
    if run is None:
        return occlusion, Notice(f"{skipped}: the model is not in a run folder.", code="gradients-without-run")
    if not run.best.is_file():
        return occlusion, Notice(f"{skipped}: the run folder has no {run.best.name}.", code="gradients-without-weights")
    try:
        explainer = Explainer.with_gradients(run, model.manifest, model.probabilities)
    except MissingExtraError as error:
        return occlusion, Notice(f"{skipped}. {error}", code="gradients-without-extra")
    except MienError as error:
        return occlusion, Notice(f"{skipped}: the weights of the run cannot be used. {error}", code=error.code)
    reasons = [f"The method {method} is skipped. {reason}" for method, reason in explainer.unsupported.items()]
    return explainer, Notice(" ".join(reasons), code="methods-unsupported") if reasons else None
