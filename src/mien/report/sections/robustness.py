"""How fragile: accuracy under corruptions, as ``mien robustness`` measured it."""

from __future__ import annotations

from mien.evaluation.corruptions import STRENGTHS
from mien.evaluation.robustness import RobustnessResult
from mien.report.blocks import Column, Pair, Plot, Section, Table, Text
from mien.report.plots_failures import robustness_curves_plot, robustness_plot
from mien.report.wording import interval_text, percent


def robustness_section(result: RobustnessResult, origin: str) -> Section:
    """Accuracy under every corruption at every strength.

    Args:
        result: what was measured.
        origin: of which model, data and split.
    """
    columns = (
        Column("corruption", "text"), *(Column(f"strength {each}", "percent") for each in STRENGTHS),
        Column("mean", "percent"),
    )  # fmt: skip
    rows = [
        (name, *shares.tolist(), float(shares.mean()))
        for name, shares in zip(result.corruptions, result.accuracy, strict=True)
    ]
    clean, mean = result.clean_accuracy, result.mean_accuracy
    words = (
        f"Of {result.faces:,} faces {percent(clean.value)} ({interval_text('accuracy', clean)}) are right as they are, "
        f"{percent(mean.value)} ({interval_text('accuracy', mean)}) on average over all corruptions and strengths. "
        f"Measured of {origin}."
    )
    return Section(
        "robustness",
        "How fragile is it?",
        (
            Text(words),
            Pair(
                (
                    Plot(robustness_plot(result), "Accuracy in %, the least harmful corruption first."),
                    Plot(robustness_curves_plot(result), "Accuracy as each corruption grows stronger."),
                )
            ),
            Table("robustness", columns, rows, shown=0),
        ),
    )
