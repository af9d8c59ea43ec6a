"""Accuracy by properties of the image: disagreement of voters, light, contrast, sharpness, and mirroring."""

from __future__ import annotations

import numpy as np

from mien.errors import Notice
from mien.evaluation.accuracy_by import AccuracyBy, accuracy_by
from mien.evaluation.error_analysis import Indices
from mien.evaluation.image_statistics import brightness, contrast, sharpness, vote_entropy
from mien.evaluation.intervals import proportion_among
from mien.evaluation.paired_tests import mcnemar_test
from mien.page.blocks import Block, CaptionedChart, ChartRow, Column, Section, Table, Text
from mien.page.charts.error_analysis import accuracy_by_chart
from mien.page.wording import interval_text, p_text, percent
from mien.report.context import ReportContext, Skipped

MOST_MIRRORED = 1000
"""Faces that are mirrored: more would cost time and add little."""


def conditions_section(context: ReportContext) -> Section | Skipped:
    """Accuracy by properties of each face; needs the faces."""
    if context.faces is None:
        words = "Faces and accuracy by image property skipped: no data was given. Give --data PATH."
        return Skipped(Notice(words, code="conditions-without-data"))
    images = np.asarray(context.faces.images)
    statistics = {
        "brightness": (brightness(images), "brightness (mean pixel)"),
        "contrast": (contrast(images), "contrast (standard deviation of the pixels)"),
        "sharpness": (sharpness(images), "sharpness (variance of the Laplacian)"),
    }
    votes = context.votes
    if votes is not None:
        statistics = {
            "vote-entropy": (vote_entropy(votes), "disagreement of voters (entropy, bits)"),
            **statistics,
        }
    found = {
        name: (accuracy_by(values, context.correct, resamples=context.resamples, groups=context.groups), what)
        for name, (values, what) in statistics.items()
    }
    charts = tuple(
        CaptionedChart(accuracy_by_chart(name, by, what), _words(by)) for name, (by, what) in found.items() if by.bins
    )
    rows = [
        (name, each.low, each.high, each.count, each.accuracy) for name, (by, _) in found.items() for each in by.bins
    ]
    columns = (
        Column("property", "text"), Column("from"), Column("to"), Column("samples", "count"),
        Column("accuracy", "percent"),
    )  # fmt: skip
    blocks: list[Block] = [ChartRow(charts), Table("accuracy-by", columns, rows, shown=0)]
    blocks += _mirror_blocks(context)
    return Section("conditions", "Accuracy by image property", tuple(blocks))


BINS = "Bins hold about equally many faces."


def _words(by: AccuracyBy) -> str:
    tau = by.rank_correlation
    unknown = f" {by.missing:,} faces without this value are excluded." if by.missing else ""
    if np.isnan(tau.value):
        return f"{BINS}{unknown}"
    return f"{BINS} Kendall's tau with correctness: {tau.value:+.3f} ({tau.low:+.3f} to {tau.high:+.3f}).{unknown}"


def _mirror_blocks(context: ReportContext) -> list[Block]:
    if context.predict is None or context.faces is None:
        return []
    chosen = _sample(len(context.predictions), MOST_MIRRORED)
    images = np.asarray(context.faces.images)[chosen]
    labels = context.predictions.labels[chosen]
    straight = context.predict(images).argmax(axis=1)
    mirrored = context.predict(np.ascontiguousarray(images[:, :, ::-1])).argmax(axis=1)
    correct, correct_mirrored = straight == labels, mirrored == labels
    groups = None if context.groups is None else context.groups[chosen]
    test = mcnemar_test(correct & ~correct_mirrored, ~correct & correct_mirrored, groups)
    count = len(chosen)
    rows = [
        ("original, correct", proportion_among(correct, groups=groups)),
        ("mirrored, correct", proportion_among(correct_mirrored, groups=groups)),
        ("same prediction for both", proportion_among(straight == mirrored, groups=groups)),
    ]
    of_all = f"{count:,} faces" + (" drawn at random" if count < len(context.predictions) else "")
    same = rows[2][1]
    return [
        Text(
            f"Mirrored left to right, {percent(same.value)} ({interval_text('accuracy', same)}) of {of_all} get the "
            f"same prediction. McNemar's test of equal accuracy: {p_text(test.p_value)}."
        ),
        Table("mirrored", (Column(of_all, "text"), Column("percentage", "percent")), rows),
    ]


def _sample(count: int, most: int) -> Indices:
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False)).astype(np.int64)
