"""Accuracy under the corruptions that ``mien robustness`` measured."""

from __future__ import annotations

from typing import Any

from mien.base.errors import Notice
from mien.evaluation.corruptions import STRENGTHS
from mien.evaluation.robustness import RobustnessReport
from mien.page.blocks import Block, CaptionedChart, Column, Row, Section, Table, Text
from mien.page.charts.error_analysis import (
    robustness_chart,
    robustness_curves_chart,
)
from mien.page.wording import interval_text, percent
from mien.reporting.context import ReportContext, Skipped


def robustness_section(context: ReportContext) -> Section | Skipped:
    """The measurement of the context."""
    if isinstance(context.robustness, Notice):
        return Skipped(context.robustness)
    return show_robustness(context.robustness, context.groups is not None)


def show_robustness(measurement: RobustnessReport, grouped: bool = False) -> Section:
    """Accuracy under every corruption at every strength.

    Args:
        measurement: what is shown.
        grouped: whether the samples have groups, which the intervals of the measurement should have drawn.
    """
    result = measurement.result
    clean, mean = result.clean_accuracy, result.mean_accuracy
    words = (
        f"Accuracy on {result.faces:,} clean faces: {percent(clean.value)} ({interval_text('accuracy', clean)}). Mean "
        f"over all corruptions and strengths: {percent(mean.value)} ({interval_text('accuracy', mean)}). Measured: "
        f"{measurement.description}."
    )
    if result.groups is not None:
        words += f" The intervals draw whole groups: {result.groups:,}."
    blocks: list[Block] = [Text(words)]
    if grouped and result.groups is None:
        advice = (
            "These intervals are too narrow: the data has groups, but this was measured without them. Measure again "
            "with mien robustness --group COLUMN."
        )
        blocks.append(Text(Notice(advice, code="groups-not-drawn")))
    blocks += [
        Row(
            (
                CaptionedChart(robustness_chart(result), "Accuracy in %. The least harmful corruption is first."),
                CaptionedChart(robustness_curves_chart(result), "Accuracy by strength of each corruption."),
            )
        ),
        _table(measurement),
    ]
    return Section("robustness", "Robustness", tuple(blocks))


def _table(measurement: RobustnessReport) -> Table:
    result = measurement.result
    columns = [
        Column("corruption", "text"), *(Column(f"strength {each}", "percent") for each in STRENGTHS),
        Column("mean", "percent"),
    ]  # fmt: skip
    rows: list[tuple[Any, ...]] = [
        (name, *accuracies.tolist(), float(accuracies.mean()))
        for name, accuracies in zip(result.corruptions, result.accuracy, strict=True)
    ]
    return Table("robustness", tuple(columns), rows, shown=0)
