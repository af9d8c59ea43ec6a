"""Accuracy under the corruptions that ``mien robustness`` measured."""

from __future__ import annotations

from typing import Any

from mien.base.errors import Notice
from mien.evaluation.corruptions import STRENGTHS
from mien.page.blocks import Block, CaptionedChart, Column, Row, Section, Table, Text
from mien.page.charts.error_analysis import robustness_curves_chart
from mien.page.wording import interval_text, percent
from mien.reporting.context import ReportContext, Skipped


def robustness_section(context: ReportContext) -> Section | Skipped:
    """Accuracy under every corruption at every strength."""
    result = context.robustness
    if isinstance(result, Notice):
        return Skipped(result)
    clean, mean = result.clean_accuracy, result.mean_accuracy
    words = (
        f"Accuracy on {result.faces:,} clean faces: {percent(clean.value)} ({interval_text('accuracy', clean)}). Mean "
        f"over all corruptions and strengths: {percent(mean.value)} ({interval_text('accuracy', mean)}). Measured: "
        f"{result.description}."
    )
    if result.groups is not None:
        words += f" The intervals draw whole groups: {result.groups:,}."
    blocks: list[Block] = [Text(words)]
    if context.groups is not None and result.groups is None:
        advice = (
            "These intervals are too narrow: the data has groups, but this was measured without them. Measure again "
            "with mien robustness --group COLUMN."
        )
        blocks.append(Text(Notice(advice, code="groups-not-drawn")))
    columns = (
        Column("corruption", "text"), *(Column(f"strength {each}", "percent", str(each)) for each in STRENGTHS),
        Column("mean", "percent"),
    )  # fmt: skip
    rows: list[tuple[Any, ...]] = [
        (name, *accuracies.tolist(), float(accuracies.mean()))
        for name, accuracies in zip(result.corruptions, result.accuracy, strict=True)
    ]
    chart = CaptionedChart(robustness_curves_chart(result), "Accuracy by strength of each corruption; 0 is clean.")
    table = Table("robustness", columns, rows, "Accuracy at each strength.")
    blocks.append(Row((chart, table)))
    return Section("robustness", "Robustness", tuple(blocks))
