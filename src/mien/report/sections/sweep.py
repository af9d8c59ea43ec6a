"""What a sweep found: the best recipe, how it came to it, and which settings mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mien.report.blocks import Block, Column, Plot, Section, Table, Text
from mien.report.plots_sweep import history_plot, importance_plot, parallel_plot
from mien.report.trials import IMPORTANCE_NEEDS, Axis, TrialLine, best_first, best_trial
from mien.report.wording import percent

TRIALS_SHOWN = 20


def trials_table(trials: Sequence[TrialLine], keys: Sequence[str]) -> Table:
    """All finished trials, best first."""
    columns = (
        Column("trial", "text"),
        Column("end", "text"),
        Column("accuracy", "percent"),
        Column("epochs", "count"),
        Column("seconds", "number"),
        *(Column(key, "number") for key in keys),
    )
    rows = [
        (
            *(trial.number, trial.end, trial.accuracy, trial.epochs, trial.seconds),
            *(trial.values.get(key) for key in keys),
        )
        for trial in best_first(trials)
    ]
    return Table("trials", columns, rows, shown=TRIALS_SHOWN)


def keys_table(best: TrialLine, base: Mapping[str, Any], importance: Mapping[str, float]) -> Table:
    """What the best trial has beside the recipe's own value, and how much of the accuracy each key explains."""
    columns: tuple[Column, ...] = (Column("key", "text"), Column("recipe", "number"), Column("best", "number"))
    rows: list[tuple[Any, ...]] = [(key, base[key], value) for key, value in best.values.items()]
    if importance:
        columns = (*columns, Column("explains", "percent"))
        rows = [(*row, importance[row[0]]) for row in rows]
    return Table("best", columns, rows)


def sweep_sections(
    trials: Sequence[TrialLine], axes: Sequence[Axis], base: Mapping[str, Any], importance: Mapping[str, float]
) -> list[Section]:
    """The sections of a sweep's page.

    Args:
        trials: finished ones, at least one.
        axes: what was searched.
        base: the recipe's own value of each key.
        importance: share of the variance that each key explains; may be empty.
    """
    keys = [axis.key for axis in axes]
    best = best_trial(trials)
    ends = [trial.end for trial in trials]
    counts = ", ".join(
        f"{ends.count(end)} {end}" for end in ("complete", "cut", "diverged", "impossible") if end in ends
    )
    sections = []
    if best is not None:
        blocks: tuple[Block, ...] = (
            Text(f"Trial {best.number}: {percent(best.accuracy)} on validation after {best.epochs} epochs."),
            keys_table(best, base, importance),
            Text(
                "It is the best of many on the very faces that chose it, so its accuracy flatters. Train best.toml "
                "with other seeds before believing in it: mien train best.toml --data PATH --set seed=1.",
                soft=True,
            ),
        )
        sections.append(Section("best", "The best recipe", blocks))
    history = Plot(history_plot(trials), "Accuracy of each trial on validation, and of the best one so far.")
    sections.append(Section("history", "How it came to it", (Text(f"{len(trials)} trials: {counts}."), history)))
    mattered: list[Block] = []
    if importance:
        caption = (
            f"Share of the variance of accuracy that each key explains by itself, over the {ends.count('complete')} "
            "trials that ran to their end (fANOVA: Hutter et al., ICML 2014). Of few trials it is a rough guide; the "
            "rest of the variance is of keys together."
        )
        mattered.append(Plot(importance_plot(importance), caption))
    else:
        words = (
            f"How much each key explains needs {IMPORTANCE_NEEDS} trials that ran to their end, with other accuracies."
        )
        mattered.append(Text(words, soft=True))
    caption = (
        "Each line is a trial and runs from its values, one key below the other, to its accuracy at the bottom. "
        "Orange: the best; blue: those that ran to their end, the more accurate the stronger; grey: the others."
    )
    mattered.append(Plot(parallel_plot(trials, axes), caption))
    sections.append(Section("keys", "Which settings matter", tuple(mattered)))
    sections.append(Section("trials", "All trials", (trials_table(trials, keys),)))
    return sections
