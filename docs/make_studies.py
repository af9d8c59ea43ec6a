"""Write docs/studies.md and its charts from the kept results of the small studies; `make docs-charts` calls it.

The words are in docs/studies.in. Of a study NAME (a folder of runs is called NAME-VARIANT-seedN-...):

    {{NAME runs}}                       how many of its runs are finished
    {{NAME table N}}                    its Nth comparison, counted from 1
    {{NAME costs}}                      accuracy of each variant, its parameters, and the time of one face
    {{NAME difference VARIANT METRIC}}  from the baseline, with interval and corrected p-value
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import results_data as data
from results_charts import WIDTH
from results_data import ROOT

from mien.evaluation.results import Estimate
from mien.evaluation.seed_variance import RepeatedDifference
from mien.page.charts.svg import Chart
from mien.page.wording import p_text
from mien.study.charts import spreads_plot
from mien.study.table import ComparisonRow
from mien.study.texts import in_percent, metric_name, metric_text, spread_text

PAGE = ROOT / "docs" / "studies.md"
WORDS = ROOT / "docs" / "studies.in"
STUDIES = {
    "votes": "votes",
    "cleaning": "cleaning",
    "imbalance": "imbalance",
    "augmentation": "augmentation",
    "width": "width",
    "own-faces": "own-faces",
    "transfer": "transfer",
    "study-a-small": "study-a",
    "study-b-small": "study-b",
    "architectures": "architectures",
}
"""Names of runs, and the specification in ``mien/studies`` that they follow."""

RECIPES = {"architectures": "short"}
"""Of runs that are not of the recipe ``small``."""

TIMES = ROOT / "benchmarks" / "kept" / "times"
"""``NAME.json`` of ``benchmarks/network_times.py``."""

SIGNIFICANT = 0.05
"""The corrected p-value below which a difference is printed bold."""

_ASKED = re.compile(r"\{\{(\S+) (runs|table|difference|costs)(?: (\S+))?(?: (\S+))?\}\}")


def page() -> str:
    """The whole page as Markdown."""
    return _ASKED.sub(lambda found: _ANSWERS[found[2]](*filter(None, (found[1], found[3], found[4]))), words())


def words() -> str:
    """What the figures stand in."""
    return WORDS.read_text(encoding="utf-8")


def drawings() -> dict[str, tuple[list[Path], Callable[[], Chart]]]:
    """Each chart by file name: the files that it is drawn from, and the function that draws it."""
    specs = ROOT / "src" / "mien" / "studies"
    return {
        f"small-{name}": (
            [
                specs / f"{spec}.toml",
                *(file for each in data.runs_of(name) for file in sorted(each.folder.glob("*.npz"))),
            ],
            lambda name=name: forest_chart(name),
        )
        for name, spec in STUDIES.items()
        if f"{{{{{name} " in words()
    }


def forest_chart(name: str) -> Chart:
    """The first metric of a study's variants, every run as a ring."""
    table = _table_of(name)
    rows = [row for row in table.rows if row.metrics]
    metric = table.study.metrics[0]
    return spreads_plot(
        f"small-{name}",
        [f"{row.variant.name} ({row.metrics[metric].runs})" for row in rows],
        [row.metrics[metric] for row in rows],
        [None] * len(rows),
        f"{metric_name(metric)}, % (in brackets: seeds)",
        100,
        WIDTH,
    )


def _table_of(name: str) -> data.StudyTable:
    return data.study_table(name, STUDIES[name], RECIPES.get(name, "small"), all_metrics=True)


def _runs(name: str) -> str:
    rows = [row for row in _table_of(name).rows if not row.variant.after and not row.variant.optional]
    done = len(_table_of(name).runs)
    return f"{done} of {done + sum(row.missing for row in rows)}"


def _comparison(name: str, number: str) -> str:
    table = _table_of(name)
    compared = table.comparisons[int(number) - 1]
    by_name = {row.variant.name: row for row in table.rows}
    metrics = table.study.metrics
    rows = [("variant", "what", *map(metric_name, metrics), "seeds"), ("---",) * (3 + len(metrics))]
    baseline = by_name[compared.comparison.baseline]
    first = next(iter(compared.entries)).differences if compared.entries else {}
    levels = [metric_text(metric, first[metric].baseline) if metric in first else "" for metric in metrics]
    if not compared.comparison.classes:
        levels = [spread_text(metric, baseline.metrics[metric]) for metric in metrics]
    seeds = str(baseline.metrics[metrics[0]].runs)
    rows.append((f"`{baseline.variant.name}`, the baseline", baseline.variant.title, *levels, seeds))
    for entry in compared.entries:
        cells = [_change(entry, metric) for metric in metrics]
        count = str(next(iter(entry.differences.values())).seeds) if entry.differences else "0"
        rows.append((f"`{entry.name}`", by_name[entry.name].variant.title, *cells, count))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _costs(name: str) -> str:
    table = _table_of(name)
    times = json.loads((TIMES / f"{name}.json").read_text(encoding="utf-8"))["seconds_a_face"]
    parameters = {run.variant: each.record.parameters for run, each in table.runs}
    rows = [("variant", "what", "accuracy", "parameters", "one face"), ("---",) * 5]
    for row in (each for each in table.rows if each.training):
        accuracy = spread_text("accuracy", row.metrics["accuracy"])
        count, face = f"{parameters[row.variant.name]:,}", f"{1e3 * times[row.variant.name]:.2f} ms"
        rows.append((f"`{row.variant.name}`", row.variant.title, accuracy, count, face))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _change(entry: ComparisonRow, metric: str) -> str:
    if metric not in entry.differences or math.isnan(entry.differences[metric].difference.value):
        return ""
    text = _points(entry.differences[metric], metric)
    return f"**{text}**" if entry.adjusted[metric] < SIGNIFICANT else text


def _points(found: RepeatedDifference, metric: str) -> str:
    scale, digits = (100, 1) if in_percent(metric) else (1, 3)
    each: Estimate = found.difference
    numbers = (scale * number for number in (each.value, each.low, each.high))
    value, low, high = (f"{number:+.{digits}f}".replace("-", "−") for number in numbers)
    return f"{value} [{low}, {high}]"


def _difference(name: str, variant: str, metric: str) -> str:
    entries = [entry for each in _table_of(name).comparisons for entry in each.entries]
    entry = next(each for each in entries if each.name == variant)
    unit = " points" if in_percent(metric) else ""
    value, rest = _points(entry.differences[metric], metric).split(" ", 1)
    return f"{value}{unit} {rest}, {p_text(entry.adjusted[metric])}"


_ANSWERS: dict[str, Callable[..., str]] = {
    "runs": _runs,
    "table": _comparison,
    "difference": _difference,
    "costs": _costs,
}
