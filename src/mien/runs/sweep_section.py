"""The sections of a sweep's page: the best recipe, the history of the search, and which settings matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mien.page.blocks import Block, CaptionedChart, Column, Section, Table, Text
from mien.page.wording import percent
from mien.runs.sweep_charts import history_plot, importance_plot, parallel_plot
from mien.runs.trials import IMPORTANCE_NEEDS, Axis, TrialResult, best_first, best_trial

TRIALS_SHOWN = 20


def trials_table(trials: Sequence[TrialResult], keys: Sequence[str]) -> Table:
    """All finished trials, best first."""
    columns = (
        Column("trial", "text"),
        Column("outcome", "text"),
        Column("accuracy", "percent"),
        Column("epochs", "count"),
        Column("seconds", "number"),
        *(Column(key, "number") for key in keys),
    )
    rows = [
        (
            *(trial.number, trial.outcome, trial.accuracy, trial.epochs, trial.seconds),
            *(trial.values.get(key) for key in keys),
        )
        for trial in best_first(trials)
    ]
    return Table("trials", columns, rows, shown=TRIALS_SHOWN)


def keys_table(best: TrialResult, base: Mapping[str, Any], importance: Mapping[str, float]) -> Table:
    """What the best trial has beside the recipe's own value, and how much of the accuracy each key explains."""
    columns: tuple[Column, ...] = (Column("key", "text"), Column("recipe", "number"), Column("best", "number"))
    rows: list[tuple[Any, ...]] = [(key, base[key], value) for key, value in best.values.items()]
    if importance:
        columns = (*columns, Column("explains", "percent"))
        rows = [(*row, importance[row[0]]) for row in rows]
    return Table("best", columns, rows)


def sweep_sections(
    trials: Sequence[TrialResult], axes: Sequence[Axis], base: Mapping[str, Any], importance: Mapping[str, float]
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
    outcomes = [trial.outcome for trial in trials]
    counts = ", ".join(
        f"{outcomes.count(each)} {each}" for each in ("complete", "pruned", "diverged", "invalid") if each in outcomes
    )
    sections = []
    if best is not None:
        blocks: tuple[Block, ...] = (
            Text(f"Trial {best.number}: {percent(best.accuracy)} on validation after {best.epochs} epochs."),
            keys_table(best, base, importance),
            Text(
                "This accuracy is optimistic: the best of many trials was selected on the same faces. Train best.toml "
                "with other seeds to confirm it: mien train best.toml --data PATH --set seed=1.",
                soft=True,
            ),
        )
        sections.append(Section("best", "Best recipe", blocks))
    history = CaptionedChart(history_plot(trials), "Accuracy of each trial on validation, and of the best one so far.")
    sections.append(Section("history", "History of the search", (Text(f"{len(trials)} trials: {counts}."), history)))
    mattered: list[Block] = []
    if importance:
        caption = (
            f"Fraction of the variance of accuracy that each key explains by itself, over the "
            f"{outcomes.count('complete')} complete trials (fANOVA: Hutter et al., ICML 2014). "
            "With few trials it is a rough guide; the rest of the variance comes from interactions."
        )
        mattered.append(CaptionedChart(importance_plot(importance), caption))
    else:
        words = f"The importance of keys needs {IMPORTANCE_NEEDS} complete trials with different accuracies."
        mattered.append(Text(words, soft=True))
    caption = (
        "Each line is a trial and runs from its values, one key below the other, to its accuracy at the bottom. "
        "Orange: the best; blue: complete trials, the more accurate the stronger; grey: the others."
    )
    mattered.append(CaptionedChart(parallel_plot(trials, axes), caption))
    sections.append(Section("keys", "Which settings matter", tuple(mattered)))
    sections.append(Section("trials", "All trials", (trials_table(trials, keys),)))
    return sections
