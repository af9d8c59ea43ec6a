"""A study's page and its table for the terminal, built from :mod:`mien.runs.table`."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text as RichText

from mien.base.errors import Notice, value_text
from mien.base.progress import bars_are_shown, notice
from mien.base.recipe import dotted
from mien.base.run_folder import RunFolder
from mien.evaluation.named_metrics import NamedMetric
from mien.evaluation.results import Estimate
from mien.page.chart import COLOURS, INK, make_chart
from mien.page.page import Block, CaptionedChart, Column, Page, Section, Table, Text, WrittenPage
from mien.page.terminal import learning_curves, rich_table, titled
from mien.page.wording import Cell, counted, duration_text, initial, metric_format, shown
from mien.runs.plan import CompletedRun, PlannedRun, StudyCallback
from mien.runs.table import StudyTable, VariantComparison, VariantRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write_study(out: Path, table: StudyTable, facts: Mapping[str, str]) -> WrittenPage:
    """Write ``report.html`` with its charts and tables into a folder; needs matplotlib and jinja2, else raises."""
    sections = [
        Section("summary", "In short", tuple(map(Text, _sentences(table)))),
        _rows_section(table),
        *(_comparison_section(n, e, table.metrics) for n, e in enumerate(table.comparisons, 1)),
    ]
    histories = {
        f"{run.variant} / {run.recipe.seed}": RunFolder(each.folder).read_history() for run, each in table.runs
    }
    if blocks := learning_curves(histories):
        sections.insert(2, Section("curves", "Learning curves", tuple(blocks)))
    sections.append(_runs_section(table))
    lead, notices = "Metrics on the validation split.", list(_notices(table))
    return Page(table.study.title, lead, sections, facts, notices, label=out.resolve().name).write(out)


def _sentences(table: StudyTable) -> Iterator[str]:
    runs, seeds = len(table.runs), len({run.recipe.seed for run, _ in table.runs})
    trained = duration_text(sum(each.record.seconds for _, each in table.runs), units=True)
    of = f"{counted(len(table.rows), 'variant')} and {counted(seeds, 'seed')}"
    yield f"{counted(runs, 'run')} of {of}; {trained} of training."
    metric = next(iter(table.metrics.values()))
    rows = _measured(table, metric)
    if len(rows) > 1 and len({(row.samples, row.classes) for row in rows}) == 1:
        best = (min if metric.lower_is_better else max)(rows, key=lambda row: row.metrics[metric.key].mean)
        by_far = "" if table.best.get(metric.key) == best.variant.name else ", not significantly"
        yield f"Best by {metric.name}{by_far}: {best.variant.name}, {shown(_cell(metric, best.metrics[metric.key]))}."
    for compared in table.comparisons:
        found = {
            f"{name} by {table.metrics[key].name} ({shown(_difference(table.metrics[key], each.difference))})": each
            for name, by_metric in compared.differences.items()
            for key, each in by_metric.items()
            if not math.isnan(each.difference.value)
        }
        if found and all(each.seeds == 1 for each in found.values()):
            yield f"{compared.comparison.title}: one seed each, too few to call a difference significant."
        elif found:
            sure = [name for name, each in found.items() if each.seeds > 1 and each.adjusted_p_value < 0.05]
            words = f"significant: {', '.join(sure)}" if sure else f"none of {len(found)} differences is significant"
            yield f"{compared.comparison.title}, against {compared.comparison.baseline}: {words} (Holm, 0.05)."


def _measured(table: StudyTable, metric: NamedMetric) -> list[VariantRow]:
    return [row for row in table.rows if metric.key in row.metrics and not math.isnan(row.metrics[metric.key].mean)]


def _cell(metric: NamedMetric, value: Any) -> Cell:
    return Cell(value, metric_format(metric))


_OTHERS = {"variant", "what", "faces", "classes", "runs", "seed", "epochs", "epoch kept", "seconds", "on", "failed"}
"""Columns beside those of metrics."""


def _column(metric: NamedMetric) -> Column:
    """Return the column of a metric; a user's own may have the name of another column."""
    return Column(f"{metric.name} (metric)" if metric.name in _OTHERS else metric.name, metric_format(metric))


def _difference(metric: NamedMetric, difference: Estimate) -> Cell:
    return Cell(difference, "points" if metric.percent else "signed")


def study_tables(table: StudyTable) -> RenderableType:
    """Return the study's tables for the terminal, printable by rich."""
    parts: list[RenderableType] = [titled(table.study.title, rich_table(_summary(table)))]
    for number, compared in enumerate(table.comparisons, 1):
        if compared.differences:
            title = f"{compared.comparison.title}: {_about(compared)}"
            parts.append(titled(title, rich_table(_compared_table(number, compared, table.metrics))))
    return Group(*parts, *(RichText(each.line) for each in _notices(table)))


def _rows_section(table: StudyTable) -> Section:
    blocks: list[Block] = []
    if table.study.question:
        blocks.append(Text(table.study.question))
    blocks += [
        _summary(table),
        Text(
            "± is the standard deviation over runs with different seeds; values without it are of one run. "
            "If a run keeps its best epoch, validation has chosen that epoch, so its metrics are optimistic. "
            "Metrics on different classes or samples are not comparable.",
            soft=True,
        ),
    ]
    blocks += [Text(f"{each.name}: {each.note}", soft=True) for each in table.study.variants if each.note]
    for metric in table.metrics.values():
        if rows := _measured(table, metric):
            blocks.append(_plot(metric, rows))
    return Section("variants", "Results", tuple(blocks))


def _plot(metric: NamedMetric, rows: Sequence[VariantRow]) -> CaptionedChart:
    """Plot each variant's mean with its interval, runs as rings, and published values as crosses."""
    scale = 100 if metric.percent else 1
    spreads = [row.metrics[metric.key] for row in rows]
    published = [row.variant.published.get(metric.key) for row in rows]
    has_bars = any(math.isfinite(each.interval.low) for each in spreads)

    def draw(axes: "Axes") -> None:
        at = np.arange(len(rows))
        middle = np.array([scale * each.mean for each in spreads])
        ends = np.array([[scale * each.interval.low, scale * each.interval.high] for each in spreads]).T
        reach = np.clip(np.nan_to_num([middle - ends[0], ends[1] - middle]), 0, None)
        label = f"{'ours, ' if any(published) else ''}mean{', 95%' if has_bars else ''}"
        axes.errorbar(middle, at, xerr=reach, fmt="o", color=COLOURS[0], markersize=5, elinewidth=1, label=label)
        several = [(value, height) for height, each in enumerate(spreads) if each.runs > 1 for value in each.values]
        if several:
            across, up = np.array(several).T
            (rings,) = axes.plot(scale * across, up, "o", markersize=8, color=COLOURS[0], linewidth=0, label="each run")
            rings.set_fillstyle("none")
        theirs = [(value, height) for height, value in enumerate(published) if value is not None]
        if theirs:
            across, up = np.array(theirs).T
            axes.plot(scale * across, up, "x", markersize=6, color=COLOURS[5], linewidth=0, label="published")
        axes.set_yticks(at, [row.variant.name for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(f"{metric.name}, %" if metric.percent else metric.name)
        axes.grid(axis="x", color=INK)
        # Align the legend with the labels too, because the axes alone may be too narrow for it.
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, handletextpad=0.4, columnspacing=1.0)

    drawing = make_chart(f"variants-{metric.key.replace('.', '-')}", draw, height_inches=1.0 + 0.26 * len(rows))
    crosses = " Crosses: as published." if any(published) else ""
    bars = "; bars are 95% bootstrap intervals over the faces" if has_bars else ""
    return CaptionedChart(drawing, initial(f"{metric.name} of each variant{bars}.{crosses}"))


def _summary(table: StudyTable) -> Table:
    columns, cells = [Column("variant", "text")], [[row.variant.name for row in table.rows]]

    def add(column: Column, values: list[Any]) -> None:
        columns.append(column)
        cells.append(values)

    if any(row.variant.title for row in table.rows):
        add(Column("what", "text"), [row.variant.title for row in table.rows])
    for metric in table.metrics.values():
        add(_column(metric), [row.metrics.get(metric.key) for row in table.rows])
        published = [row.variant.published.get(metric.key) for row in table.rows]
        if any(each is not None for each in published):
            add(Column(f"{metric.name}, published", metric_format(metric)), published)
    measured = {(row.samples, row.classes) for row in table.rows if row.metrics}
    if len(measured) > 1:
        add(Column("faces", "count"), [row.samples or None for row in table.rows])
        add(Column("classes", "count"), [row.classes or None for row in table.rows])
    add(Column("runs", "count"), [max((each.runs for each in row.metrics.values()), default=0) for row in table.rows])
    names = [row.variant.name for row in table.rows]
    best = frozenset((names.index(name), _column(table.metrics[key]).name) for key, name in table.best.items())
    caption = f"{table.study.title}: mean over the runs ± standard deviation."
    if len(measured) == 1:
        ((samples, classes),) = measured
        caption = f"{caption[:-1]}, on {counted(samples, 'face')} of {classes} classes."
    return Table("variants", tuple(columns), list(zip(*cells, strict=True)), caption, best=best)


def _compared_table(number: int, compared: VariantComparison, metrics: Mapping[str, NamedMetric]) -> Table:
    columns = (
        Column("variant", "text"), Column("seeds", "count"), Column("metric", "text"), Column("baseline"),
        Column("value"), Column("difference", "signed"), Column("p", "p"), Column("p, Holm", "p"),
    )  # fmt: skip
    rows = [
        (
            name, found.seeds, metrics[key].name, _cell(metrics[key], found.baseline), _cell(metrics[key], found.value),
            _difference(metrics[key], found.difference), found.p_value, found.adjusted_p_value,
        )
        for name, by_metric in compared.differences.items()
        for key, found in by_metric.items()
        if not math.isnan(found.difference.value)
    ]  # fmt: skip
    return Table(f"comparison-{number}", columns, rows, _about(compared))


def _about(compared: VariantComparison) -> str:
    baseline = compared.comparison.baseline
    merged = f"; predictions merged by '{compared.comparison.classes}'" if compared.comparison.classes else ""
    return f"{counted(compared.samples, 'sample')} in common{merged}; the baseline is {baseline}, on the same seeds."


def _comparison_section(number: int, compared: VariantComparison, metrics: Mapping[str, NamedMetric]) -> Section:
    title = compared.comparison.title
    if not compared.differences:
        none = Notice("The baseline has no finished run, or no other variant has one.", code="comparison-empty")
        return Section(f"comparison-{number}", title, (Text(none),))
    pairs = _compared_table(number, compared, metrics)
    words = (
        "Runs are compared by seed, on the same samples. With several seeds the interval covers the variation of faces "
        "and of training (t, Satterthwaite's degrees of freedom); with one seed only faces (paired bootstrap). The "
        f"last column corrects the {len(pairs.rows)} p-values for their number (Holm): with several seeds, call a "
        "difference significant if it is below 0.05 there."
    )
    return Section(f"comparison-{number}", title, (pairs, Text(words, soft=True)))


def _runs_section(table: StudyTable) -> Section:
    metrics = table.metrics.values()
    columns = (
        Column("variant", "text"), Column("seed", "count"),
        *map(_column, metrics), Column("epochs", "count"),
        Column("epoch kept", "count"), Column("seconds", "number"), Column("on", "text"), Column("failed", "text"),
    )  # fmt: skip
    values = {row.variant.name: {key: iter(each.values) for key, each in row.metrics.items()} for row in table.rows}
    rows = [
        (
            run.variant, run.recipe.seed,
            *(None if each.record.failed else next(values[run.variant][metric.key]) for metric in metrics),
            each.record.epochs, each.record.best_epoch, round(each.record.seconds, 1), each.record.hardware,
            each.record.failed,
        )
        for run, each in table.runs
    ]  # fmt: skip
    if not any(each.record.failed for _, each in table.runs):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    settings = _settings_table(table)
    words = "Each run is stored in results/ with its recipe, history and predictions: every value can be recomputed."
    blocks: tuple[Block, ...] = (Table("runs", columns, rows), Text(words, soft=True))
    return Section("runs", "All runs", (settings, *blocks) if settings.rows else blocks)


def _settings_table(table: StudyTable) -> Table:
    recipes = {run.variant: dotted(run.recipe.model_dump(mode="json")) for run, _ in table.runs}
    keys = sorted({key for each in recipes.values() for key in each} - {"name", "description", "seed"})
    keys = [key for key in keys if len({repr(each.get(key)) for each in recipes.values()}) > 1 and "sha256" not in key]
    columns = (Column("variant", "text"), Column("settings", "text"))
    rows = [
        (name, ", ".join(f"{key} = {value_text(each[key])}" for key in keys if each.get(key, "") != "") or "–")
        for name, each in recipes.items()
    ]
    return Table("settings", columns, rows if keys else [], "Settings in which the variants differ.")


def _notices(table: StudyTable) -> Iterator[Notice]:
    for row in table.rows:
        name = row.variant.name
        if row.missing:
            yield Notice(f"Not finished: {row.missing} of the runs of {name}.", code="runs-missing")
        if row.failed:
            words = f"{row.failed} of the runs of {name} failed in training and are not part of any metric."
            yield Notice(words, code="runs-failed")
        if row.collapsed:
            words = f"Of the runs of {name}, {row.collapsed} did no better than always answering the largest class."
            yield Notice(words, code="no-better-than-one-class")
    for each in table.comparisons:
        if each.absent:
            words = f"'{each.comparison.title}' omits {', '.join(each.absent)}, without a run that can be measured."
            yield Notice(words, code="comparison-incomplete")
    found = [each for compared in table.comparisons for by in compared.differences.values() for each in by.values()]
    if any(each.seeds == 1 for each in found):
        words = "With one seed, intervals cover only the choice of faces. Another seed may reverse a small difference."
        yield Notice(words, code="one-seed")
    if any(each.seeds == 2 for each in found):
        words = "With two seeds, the variation of training is hardly known: intervals may be too narrow. Train three."
        yield Notice(words, code="two-seeds")


class StudyProgress(StudyCallback):
    """Prints to stderr, unless ``--quiet`` is given. The bar names the active run; ``metric`` is shown at its end."""

    def __init__(self, metric: NamedMetric) -> None:
        self._metric = metric
        self._epochs: dict[str, int] = {}
        self._bar = Progress(
            BarColumn(bar_width=24),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            disable=not bars_are_shown(),
            # Average the speed over the last hour, because epochs take minutes.
            speed_estimate_period=3600,
        )
        self._task = self._bar.add_task("", total=None)
        self._said = time.monotonic()

    def on_plan(self, runs: Sequence[PlannedRun], to_do: Sequence[PlannedRun], notices: Sequence[Notice]) -> None:
        """See :class:`mien.runs.plan.StudyCallback`."""
        for each in notices:
            notice(each.line)
        self._bar.update(self._task, total=sum(run.recipe.epochs for run in to_do))
        self._bar.start()

    def on_epochs(self, run: PlannedRun, done: int) -> None:
        """See :class:`mien.runs.plan.StudyCallback`."""
        self._epochs[run.key] = done
        words = f"{run.variant}, seed {run.recipe.seed}: epoch {done}/{run.recipe.epochs}"
        self._bar.update(self._task, completed=sum(self._epochs.values()), description=words)
        if self._bar.disable and done < run.recipe.epochs and time.monotonic() - self._said >= 10:
            self._said = time.monotonic()
            notice(words)

    def on_run_end(self, run: PlannedRun, completed: CompletedRun) -> None:
        """See :class:`mien.runs.plan.StudyCallback`."""
        self.on_epochs(run, run.recipe.epochs)
        record = completed.record
        how = record.failed
        if not how:
            value = shown(self._metric.value(completed.predictions()), metric_format(self._metric))
            how = f"{self._metric.name} {value}, epoch kept {record.best_epoch} of {record.epochs}, "
            how += duration_text(record.seconds)
        notice(f"{run.variant}, seed {run.recipe.seed}: {how}")

    def on_end(self) -> None:
        """See :class:`mien.runs.plan.StudyCallback`."""
        self._bar.stop()
