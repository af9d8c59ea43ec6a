"""Sections about errors: confused pairs, worst mistakes, corrupted images."""

from dataclasses import replace
from typing import Any

import numpy as np

from mien.base.errors import Notice
from mien.data.dataset import Dataset
from mien.evaluation.error_analysis import confused_pairs, worst_mistakes
from mien.evaluation.predictions import Predictions
from mien.evaluation.robustness import STRENGTHS
from mien.page.blocks import Block, CaptionedChart, Column, FaceRow, FaceTile, Row, Section, Table, Text, columns_of
from mien.page.plots import robustness_curves_chart
from mien.page.rendering import data_address
from mien.page.sections import sample_tile
from mien.page.wording import counted, percent, share_text
from mien.reporting.context import ReportContext

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
    pairs = confused_pairs(context.predictions.labels, context.predictions.predicted, context.groups)
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
    if context.faces is None or context.identical is None:
        return {}
    labels, predicted, sure = context.predictions.labels, context.predictions.predicted, context.predictions.confidence
    found = {}
    cells = np.argwhere(context.evaluation.confusion)
    most = max(1, min(FACES_OF_A_CELL, MAX_IN_CELLS // len(cells)))
    for true, said in cells.tolist():
        inside = np.flatnonzero((labels == true) & (predicted == said))
        ordered = inside[np.argsort(-sure[inside], kind="stable")]
        # Show the first of identical images.
        _, first = np.unique(context.identical[ordered[: 3 * most]], return_index=True)
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
    shown = 0 if context.faces is not None else 12
    table = mistakes_table(context.predictions, context.faces, MAX_MISTAKES, shown)
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
    if context.groups is not None and result.groups is None:
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
    """Return a table of the most confident mistakes: file, label, prediction, all probabilities, and any votes.

    ``file`` is empty without faces; ``shown`` is as for a :class:`Table`.
    """
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
