"""Inputs of a report, and its sections that need faces, a model or corrupted images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mien.base.arrays import Ints, Pixels
from mien.base.errors import MienError, Notice
from mien.base.progress import track
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.splits import group_identical
from mien.evaluation.error_analysis import confused_pairs, worst_mistakes
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Evaluation
from mien.evaluation.robustness import NAME as ROBUSTNESS_NAME
from mien.evaluation.robustness import STRENGTHS, RobustnessResult
from mien.explanation.explainer import MAX_CORRELATION, MIN_FACES, Explainer, MapCheck, mean_maps, overlay
from mien.inference.predictor import Predictor
from mien.page.chart import shorten
from mien.page.page import Block, CaptionedChart, Column, FaceRow, FaceTile, Row, Section, Table, Text, columns_of
from mien.page.plots import face_sheet, robustness_curves_chart
from mien.page.terminal import sample_tile
from mien.page.wording import counted, data_address, percent, share_text

NOT_MEASURED: Notice = Notice(
    f"Robustness section skipped: there is no {ROBUSTNESS_NAME} in the run folder or beside the report. Make it, in "
    "minutes, with: mien robustness MODEL --data PATH --out RUN.",
    code="robustness-not-measured",
)


@dataclass(frozen=True, eq=False)
class ReportContext:
    """All inputs that sections may use. None means unknown; sections that need it are skipped.

    Attributes:
        faces: faces of the N samples, in the same order.
        class_counts: C counts for each split; may be empty.
        history: one mapping per epoch, as from ``RunFolder.read_history``; may be empty.
        best_epoch: epoch whose weights were kept.
        robustness: result of ``mien robustness``, or the reason why it is not shown.
        run: run folder of the model, for gradients and the texts for a paper.
        parameters: number of parameters of the model.
        is_training_data: whether ``class_counts`` are those of the data that the run was trained on.
        is_test: whether the samples are of the test split. The model must not predict a test split again.
        explain: whether to compute attention maps.
    """

    predictions: Predictions
    evaluation: Evaluation
    faces: Dataset | None = None
    class_counts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    best_epoch: int | None = None
    robustness: RobustnessResult | Notice = NOT_MEASURED
    model: Predictor | None = None
    run: RunFolder | None = None
    parameters: int = 0
    is_training_data: bool = False
    is_test: bool = False
    explain: bool = True

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the C classes."""
        return self.predictions.classes


PAIRS_SHOWN = 12
WORST = 24
MAX_MISTAKES = 1000
FACES_OF_A_CELL = 12
MAX_IN_CELLS = 600
CELL_FACE_PX = 48
"""Limits for faces in the confusion matrix: at most 600 faces of 48 pixels, which are 1.5 MB."""
NO_MISTAKES: Notice = Notice("None: all predictions are correct.", code="no-mistakes")


def pairs_section(context: ReportContext) -> Section:
    """Build the section of the most confused pairs, with counts and intervals."""
    pairs = confused_pairs(context.predictions.labels, context.predictions.predicted, context.predictions.groups)
    if not pairs:
        return Section("pairs", "Confused pairs", (Text(NO_MISTAKES),))
    rows = [(context.classes[each.first], context.classes[each.second], each.count, each.rate) for each in pairs]
    columns = columns_of(
        {"true class": "text", "predicted": "text", "samples": "count", "of the true class": "percent"}
    )
    caption = "Confused pairs, the most frequent first, in percent of the true class."
    return Section("pairs", "Confused pairs", (Table("confused-pairs", columns, rows, caption, PAIRS_SHOWN),))


def cell_faces(context: ReportContext) -> dict[tuple[int, int], FaceRow]:
    """Return the most confident faces of each cell of the confusion matrix; empty without faces."""
    if context.faces is None:
        return {}
    identical = group_identical(np.asarray(context.faces.images))
    labels, predicted, sure = context.predictions.labels, context.predictions.predicted, context.predictions.confidence
    found = {}
    cells = np.argwhere(context.evaluation.confusion)
    most = max(1, min(FACES_OF_A_CELL, MAX_IN_CELLS // len(cells)))
    for true, said in cells.tolist():
        inside = np.flatnonzero((labels == true) & (predicted == said))
        ordered = inside[np.argsort(-sure[inside], kind="stable")]
        # Show the first of identical images.
        _, first = np.unique(identical[ordered[: 3 * most]], return_index=True)
        shown = ordered[np.sort(first)[:most]]
        faces = tuple(
            FaceTile(data_address(context.faces.images[index], CELL_FACE_PX), percent(float(sure[index]), 0))
            for index in shown
        )
        verdict = "correct" if true == said else f"predicted {context.classes[said]}"
        of_all = counted(len(inside), "sample")
        of_all += "" if len(inside) == len(faces) else f"; the {len(faces)} most confident"
        found[true, said] = FaceRow(f"{context.classes[true]}, {verdict}: {of_all}", faces)
    return found


def worst_section(context: ReportContext) -> Section:
    """Build the section of the most confident mistakes, with all probabilities and any votes."""
    worst = worst_mistakes(context.predictions.labels, context.predictions.probabilities, WORST)
    if not len(worst):
        return Section("worst", "Worst mistakes", (Text(NO_MISTAKES),))
    table = mistakes_table(context.predictions, context.faces, MAX_MISTAKES, 0 if context.faces is not None else 12)
    if context.faces is None:
        table = replace(table, columns=table.columns[1:], rows=[row[1:] for row in table.rows])
        return Section("worst", "Worst mistakes", (table,))
    words = "The wrong predictions with the highest confidence. Click a face to see all probabilities."
    tiles = []
    for at in worst.tolist():
        true, predicted = context.predictions.classes_of(at)
        caption = f"{true}, predicted {predicted} {percent(float(context.predictions.confidence[at]), 0)}"
        tiles.append(sample_tile(context.predictions, at, context.faces, at, caption))
    return Section("worst", "Worst mistakes", (Text(words, soft=True), FaceRow("", tuple(tiles)), table))


def robustness_section(context: ReportContext) -> Section | Notice:
    """Build the section about accuracy under every corruption and strength."""
    result = context.robustness
    if isinstance(result, Notice):
        return result
    words = (
        f"Accuracy on {result.faces:,} clean faces: {share_text(result.clean_accuracy)}. Mean over all corruptions and "
        f"strengths: {share_text(result.mean_accuracy)}. Measured: {result.description}."
    )
    if result.groups is not None:
        words += f" The intervals are from resampling {result.groups:,} whole groups."
    blocks: list[Block] = [Text(words)]
    if context.predictions.groups is not None and result.groups is None:
        advice = "These intervals ignore the groups of the data: too narrow. Measure again with --group COLUMN."
        blocks.append(Text(Notice(advice, code="groups-not-drawn")))
    strengths = (Column(f"strength {each}", "percent", str(each)) for each in STRENGTHS)
    columns = (Column("corruption", "text"), *strengths, Column("mean", "percent"))
    accuracies = zip(result.corruptions, result.accuracy, strict=True)
    rows: list[tuple[Any, ...]] = [(name, *each.tolist(), float(each.mean())) for name, each in accuracies]
    chart = CaptionedChart(robustness_curves_chart(result), "Accuracy by strength of each corruption; 0 is clean.")
    blocks.append(Row((chart, Table("robustness", columns, rows, "Accuracy at each strength of each corruption."))))
    return Section("robustness", "Robustness", tuple(blocks))


def mistakes_table(predictions: Predictions, faces: Dataset | None, most: int, shown: int | None = None) -> Table:
    """Return a table of the most confident mistakes: file (maybe empty), label, prediction, probabilities, votes."""
    classes = predictions.classes
    order = worst_mistakes(predictions.labels, predictions.probabilities, most).tolist()
    votes = {} if faces is None else {at: faces.votes_on(at) for at in order}
    with_votes = any(votes.values())
    names = ("file", "sample", "label", "prediction", *(["votes"] if with_votes else []))
    rows = []
    for at in order:
        own = (*predictions.classes_of(at), *([votes[at]] if with_votes else []))
        file = "" if faces is None else str(faces.source[at])
        rows.append((file, int(predictions.sample_ids[at]), *own, *predictions.probabilities[at].tolist()))
    columns = (*(Column(name, "text") for name in names), *(Column(f"p({name})", "percent") for name in classes))
    return Table("mistakes", columns, rows, "Wrong predictions, the most confident first.", shown)


CHECKED_FACES = 24
"""Number of faces for the checks: they give a verdict in half a minute."""


def attention_section(context: ReportContext) -> Section | Notice:
    """Build an explainer for the model and show its maps. Needs faces and a model."""
    skipped = "Sections that need new predictions skipped"
    if context.is_test:
        return Notice(f"{skipped}: only mien evaluate may use the test split.", code="new-predictions-skipped")
    if context.faces is None or context.model is None:
        given = {"--data PATH": context.faces, "--model MODEL": context.model}
        missing = " and ".join(option for option, value in given.items() if value is None)
        return Notice(f"{skipped}. Give {missing}.", code="new-predictions-skipped")
    if not context.explain:
        return Notice("Attention maps skipped, as requested.", code="attention-skipped")
    explainer, notice = build_explainer(context.model, context.run)
    return show_attention(context, explainer, notice)


def show_attention(context: ReportContext, explainer: Explainer, notice: Notice | None = None) -> Section:
    """Build the section that shows which methods are faithful, and faces with their maps. Needs faces."""
    assert context.faces is not None
    images = np.asarray(context.faces.images)
    chosen = np.sort(np.random.default_rng(0).choice(len(images), min(CHECKED_FACES, len(images)), replace=False))
    methods = track(explainer.methods, total=len(explainer.methods), what="checking maps", unit="methods")
    checks = [explainer.check(images[chosen], method) for method in methods]
    rows = [(of.method, of.verdict, of.deletion_gain, of.insertion_gain, of.rank_correlation) for of in checks]
    numbers = ("deletion gain", "insertion gain", "rank correlation")
    columns = (*columns_of({"method": "text", "verdict": "text"}), *(Column(name, "signed") for name in numbers))
    blocks: tuple[Block, ...] = (
        Text(
            "The maps show which pixels support the predicted class. A map can mislead: the table shows which methods "
            "pass the checks on this model. Each map has its own scale: its brightest place supports the class most."
        ),
        *(() if notice is None else (Text(notice),)),
        Table("explanation-checks", columns, rows, "Checks of the saliency methods."),
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


def _mean_maps(context: ReportContext, predicted: Ints, checks: list[MapCheck]) -> CaptionedChart:
    """Draw the mean map of each predicted class, one row for each method. No face is in it."""
    images, captions = [], []
    for check in checks:
        for index, mean in mean_maps(check.maps, predicted).items():
            images.append(overlay(np.full(mean.shape, 128, dtype=np.uint8), mean, 2))
            captions.append(shorten(context.classes[index], 12))
    methods = ", ".join(check.method for check in checks)
    chart = face_sheet(images, captions, columns=len(images) // len(checks), name="mean-maps")
    return CaptionedChart(chart, f"Mean map of each predicted class over the checked faces. Rows: {methods}.", True)


def _gallery(context: ReportContext, images: Pixels, explainer: Explainer) -> Row:
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
    try:
        explainer = Explainer.with_gradients(run, model.manifest, model.probabilities)
    except MienError as error:
        return occlusion, Notice(f"Methods that need gradients are skipped. {error}", code="attention-skipped")
    reasons = [f"The method {method} is skipped. {reason}" for method, reason in explainer.unsupported.items()]
    return explainer, Notice(" ".join(reasons), code="attention-skipped") if reasons else None
