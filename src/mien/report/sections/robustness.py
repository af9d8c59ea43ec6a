"""How fragile: accuracy under corruptions, as ``mien robustness`` measured it."""

from __future__ import annotations

import math
from typing import Any

from mien.evaluation.corruptions import STRENGTHS
from mien.evaluation.robustness_file import Measurement, Relative
from mien.report.blocks import Block, Column, Pair, Plot, Section, Table, Text
from mien.report.plots_failures import corruption_errors_plot, robustness_curves_plot, robustness_plot
from mien.report.wording import decimal, interval_text, percent


def robustness_section(measurement: Measurement) -> Section:
    """Accuracy under every corruption at every strength, and errors relative to a baseline's, where there is one."""
    result, relative = measurement.result, measurement.relative
    clean, mean = result.clean_accuracy, result.mean_accuracy
    words = (
        f"Of {result.faces:,} faces {percent(clean.value)} ({interval_text('accuracy', clean)}) are right as they are, "
        f"{percent(mean.value)} ({interval_text('accuracy', mean)}) on average over all corruptions and strengths. "
        f"Measured of {measurement.words}."
    )
    blocks: list[Block] = [
        Text(words),
        Pair(
            (
                Plot(robustness_plot(result), "Accuracy in %, the least harmful corruption first."),
                Plot(robustness_curves_plot(result), "Accuracy as each corruption grows stronger."),
            )
        ),
        _table(measurement),
    ]
    if relative is not None:
        blocks += _relative_blocks(relative, clean.value)
    else:
        blocks.append(
            Text(
                "There is no baseline to compare these errors with: mien robustness --baseline gives the mean "
                "corruption error relative to another model.",
                soft=True,
            )
        )
    return Section("robustness", "How fragile is it?", tuple(blocks))


def _table(measurement: Measurement) -> Table:
    result, relative = measurement.result, measurement.relative
    columns = [
        Column("corruption", "text"), *(Column(f"strength {each}", "percent") for each in STRENGTHS),
        Column("mean", "percent"),
    ]  # fmt: skip
    rows: list[tuple[Any, ...]] = [
        (name, *shares.tolist(), float(shares.mean()))
        for name, shares in zip(result.corruptions, result.accuracy, strict=True)
    ]
    if relative is not None:
        columns.append(Column("error / baseline's"))
        rows = [(*row, relative.errors.of[row[0]]) for row in rows]
    return Table("robustness", tuple(columns), rows, shown=0)


def _relative_blocks(relative: Relative, clean: float) -> list[Block]:
    """The mean corruption error, and what it is relative to."""
    baseline = f"the model {relative.model} ({relative.baseline})" if relative.model else relative.baseline
    as_they_are = (
        ""
        if math.isnan(relative.clean_accuracy)
        else f" As they are, it gets {percent(relative.clean_accuracy)} of them right, this model {percent(clean)}."
    )
    ratio = relative.errors.mean
    sense = "fewer errors than" if ratio < 1 else "more errors than" if ratio > 1 else "as many errors as"
    return [
        Text(
            f"Mean corruption error relative to a baseline: {decimal(ratio)}, {sense} the baseline under corruption. "
            f"The baseline is {baseline}, measured on the same faces.{as_they_are}"
        ),
        Plot(
            corruption_errors_plot(relative.errors),
            "Errors under each corruption, summed over its strengths, in % of the baseline's: left of the line the "
            "model makes fewer.",
        ),
        Text(
            "The mean of these is the mCE of ImageNet-C (Hendrycks & Dietterich 2019), which prints it times 100. A "
            "model that is better on clean faces has a lower one too.",
            soft=True,
        ),
    ]
