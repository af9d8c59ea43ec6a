"""Comparison of two models on the same samples: differences, tests, and the faces that only one predicts correctly."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Group

from mien.base.arrays import Ints
from mien.base.errors import Notice
from mien.base.run_folder import check_out
from mien.data.dataset import Dataset
from mien.evaluation.metrics import confusion_matrix
from mien.evaluation.named_metrics import Metric, find_metrics, groups_of
from mien.evaluation.paired_tests import Difference, McNemar, match_samples, mcnemar_test, paired_differences
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import SEED, MetricInfo, SubsetMetrics, fields_to_dict, json_ready
from mien.page import terminal
from mien.page.chart import Chart
from mien.page.page import Block, CaptionedChart, Column, FaceRow, FaceTile, Page, Row, Section, Table, Text, columns_of
from mien.page.plots import confusion_chart, differences_chart, runs_chart
from mien.page.wording import Cell, Format, counted, data_address, metric_format, p_text

COMPARED = ("accuracy", "macro_f1", "log_loss")
"""Metrics of each comparison; the recall of each class and further metrics follow."""
FACES_SHOWN = 16
_HEAD = 24
"""Largest number of characters of a model's name in a column header."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Differences between two models on the same samples.

    Attributes:
        first, second: names of the models.
        samples: number of samples.
        classes: C class names.
        metrics: the compared metrics, in order: :data:`COMPARED`, further ones, then the recall of each class.
        differences: both models' values of each metric and their difference, by its name; NaN where undefined.
        mcnemar: test of equal accuracy, which needs no resampling.
        only_first: int64 (A,), ascending ids of the samples that only the first model predicts correctly.
        only_second: int64 (B,), ascending ids of the samples that only the second model predicts correctly.
        both_wrong: int64 (D,), ascending ids of the samples that both models predict wrongly.
        resamples: number of bootstrap resamples.
        first_predictions, second_predictions: predictions on the samples, in ascending order of their ids.
        subsets: metrics of both models on all samples and without copies; empty without data.
        faces: faces of the samples, in the same order; None without data.
        histories: training history of each run by name, if it has one.
    """

    first: str
    second: str
    samples: int
    classes: tuple[str, ...]
    metrics: tuple[MetricInfo, ...]
    differences: Mapping[str, Difference]
    mcnemar: McNemar
    only_first: Ints
    only_second: Ints
    both_wrong: Ints
    resamples: int
    first_predictions: Predictions = field(repr=False)
    second_predictions: Predictions = field(repr=False)
    subsets: Sequence[tuple[SubsetMetrics, SubsetMetrics]] = ()
    faces: Dataset | None = field(default=None, repr=False)
    histories: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict, repr=False)

    @property
    def accuracy(self) -> Difference:
        """Accuracies, 0..1, higher is better."""
        return self.differences["accuracy"]

    @property
    def macro_f1(self) -> Difference:
        """Macro-F1 values, 0..1, higher is better."""
        return self.differences["macro_f1"]

    @property
    def log_loss(self) -> Difference:
        """Log losses in nats, lower is better."""
        return self.differences["log_loss"]

    @property
    def recall(self) -> tuple[Difference, ...]:
        """Recalls of each class, in order; NaN for a class without samples."""
        return tuple(self.differences[f"recall.{name}"] for name in self.classes)

    @property
    def p_value(self) -> float:
        """McNemar's p-value: the probability of at least such a difference by chance, 0..1."""
        return self.mcnemar.p_value

    @property
    def notices(self) -> list[Notice]:
        """Notices about the predictions, such as test-time augmentation or different temperatures.

        At temperature 1, the model's temperature was not applied, because it was fitted on these samples. Two
        models that both use their own temperature need no notice.
        """
        sides = (self.first, self.first_predictions), (self.second, self.second_predictions)
        notices = [
            Notice(f"the predictions of {name} are {predictions.note}", code="predictions-averaged")
            for name, predictions in sides
            if predictions.note
        ]
        temperatures = [predictions.temperature for _, predictions in sides]
        if None not in temperatures and (temperatures[0] == 1) != (temperatures[1] == 1):
            words = " and ".join(f"{name} at temperature {each.temperature:.3g}" for name, each in sides)
            notices.append(Notice(f"{words}: log loss depends on the temperature", code="temperatures-differ"))
        return notices

    def plot_learning_curves(self, metric: str = "validation_accuracy") -> Chart:
        """Plot a metric of both runs over their epochs. Needs the extra ``report``.

        Raises DataError if no run of this comparison has a history with this metric (``metric-unknown``).
        """
        return runs_chart(self.histories, metric)

    def write_report(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``report.html`` with charts and tables into a folder; return its path. Needs the extra ``report``."""
        return comparison_page([self]).write(check_out(folder, for_page=True)).page

    def to_dict(self) -> dict[str, Any]:
        """Return both models' metrics, differences, intervals and p-values, also notes and subsets, JSON-ready."""
        left_out = ("first_predictions", "second_predictions", "subsets", "faces", "histories", "metrics")
        content = fields_to_dict(self, (*left_out, "differences"))
        content |= {key: each.to_dict() for key, each in self.differences.items() if not key.startswith("recall.")}
        content |= {"recall": json_ready(self.recall), "seed": SEED}
        if self.notices:
            content["notes"] = "; ".join(self.notices)
        if self.subsets:
            content["subsets"] = [{"first": a.to_dict(), "second": b.to_dict()} for a, b in self.subsets]
        return content

    def __str__(self) -> str:
        """Return what ``mien compare`` prints: differences, metrics without copies, and McNemar's counts."""
        first, second = short_names(self.first, self.second)
        copies = [
            terminal.titled(f"Without copies: {name}", terminal.rich_table(terminal.subsets_table(parts)))
            for name, parts in zip((first, second), zip(*self.subsets, strict=True), strict=False)
        ]
        test = self.mcnemar
        return (
            f"{self.second} against {self.first}, {counted(self.samples, 'sample')}\n"
            f"{terminal.as_text(Group(terminal.rich_table(comparison_table(self)), *copies))}\n"
            f"only {first} correct: {test.only_first:,}; only {second}: {test.only_second:,}; "
            f"both wrong: {len(self.both_wrong):,}; McNemar ({test.method}): {p_text(test.p_value)}\n"
            "p-values are not corrected for their number. If one disagrees with its interval, trust the p-value.\n"
        )

    def _repr_html_(self) -> str:
        return comparison_table(self)._repr_html_()


def compare_predictions(
    first: Predictions,
    second: Predictions,
    resamples: int = 1000,
    *,
    names: tuple[str, str] = ("first", "second"),
    metrics: Sequence[Metric] = (),
) -> Comparison:
    """Compare two models by accuracy, macro-F1, log loss, further ``metrics``, and recall of each class.

    Raises DataError if samples (in any order), labels, classes or data differ.
    """
    first, second = match_samples(first, second)
    only_first, only_second = first.right & ~second.right, second.right & ~first.right
    further = [each for each in find_metrics(metrics) if each.key not in COMPARED]
    chosen = find_metrics([*COMPARED, *further, *(f"recall.{name}" for name in first.classes)])
    return Comparison(
        first=names[0],
        second=names[1],
        first_predictions=first,
        second_predictions=second,
        samples=len(first),
        classes=first.classes,
        metrics=tuple(chosen),
        differences=paired_differences(first, second, chosen, resamples),
        mcnemar=mcnemar_test(only_first, only_second, groups_of((first, second))),
        only_first=first.sample_ids[only_first],
        only_second=first.sample_ids[only_second],
        both_wrong=first.sample_ids[~first.right & ~second.right],
        resamples=resamples,
    )


def comparison_page(comparisons: Sequence[Comparison], metadata: Mapping[str, str] | None = None) -> Page:
    """Build a page that compares several models with the first one. No file is written."""
    found = comparisons[0]
    notes = "; ".join(dict.fromkeys(words for each in comparisons for words in each.notices))
    without_faces = Notice("Faces skipped: no data was given. Give --data PATH.", code="faces-without-data")
    curves = terminal.learning_curves(
        {name: history for each in comparisons for name, history in each.histories.items()}
    )
    keys = ["comparison"] if len(comparisons) == 1 else [f"comparison-{at + 1}" for at in range(len(comparisons))]
    return Page(
        title=" · ".join((found.first, *(each.second for each in comparisons))),
        lead=f"Metrics on the {found.first_predictions.split} split: {counted(found.samples, 'sample')}, "
        f"{len(found.classes)} classes.",
        sections=[
            *(comparison_section(each, key) for each, key in zip(comparisons, keys, strict=True)),
            *([Section("curves", "Learning curves", tuple(curves))] if curves else []),
        ],
        metadata={**(metadata or {}), **({"notes": notes} if notes else {})},
        notices=[without_faces] if found.faces is None else [],
        classes=found.classes,
    )


def short_names(first: str, second: str) -> tuple[str, str]:
    """Shorten two names for column headers: remove common folders, then cut out the middle.

    >>> short_names("runs/mine", "runs/quick")
    ('runs/mine', 'runs/quick')
    >>> short_names("/data/experiments/one/predictions_test.npz", "/data/experiments/two/predictions_test.npz")
    ('one', 'two')
    """
    names = [first, second]
    if max(map(len, names)) > _HEAD:
        parts = [re.split(r"[/\\]", name) for name in names]
        for end in (0, -1):
            while min(map(len, parts)) > 1 and parts[0][end] == parts[1][end]:
                for each in parts:
                    each.pop(end)
        names = ["/".join(each) for each in parts]
    a, b = (name if len(name) <= _HEAD else f"{name[: _HEAD // 2]}…{name[1 - _HEAD // 2 :]}" for name in names)
    return (a, b) if a != b else (f"1: {a}", f"2: {b}")


def comparison_table(found: Comparison, key: str = "comparison") -> Table:
    """Return a table of all metrics of both models, the differences with intervals, and the p-values."""
    first, second = short_names(found.first, found.second)
    sides = Column("first", head=first), Column("second", head=second)
    columns = (Column("metric", "text"), *sides, Column("difference", "signed"), Column("p", "p"))
    rows = []
    for metric in found.metrics:
        each, form = found.differences[metric.key], metric_format(metric)
        change: Format = "points" if metric.percent else "signed"
        cells = Cell(each.first, form), Cell(each.second, form), Cell(each.difference, change)
        rows.append((metric.name, *cells, each.p_value))
    return Table(f"{key}-differences", columns, rows, f"{found.second} minus {found.first}; of percentages in points.")


def comparison_subsets_table(found: Comparison, key: str = "comparison") -> Table:
    """Return a table of both models' metrics on all samples and without copies."""
    sides = tuple(zip(("first", "second"), short_names(found.first, found.second), strict=True))
    measured = [
        Column(f"{metric}, {side}", "percent", f"{metric}, {name}")
        for metric in ("accuracy", "macro-F1")
        for side, name in sides
    ]
    columns = (Column("measured on", "text"), Column("samples", "count"), *measured)
    rows = [(a.value, a.count, a.accuracy, b.accuracy, a.macro_f1, b.macro_f1) for a, b in found.subsets]
    return Table(f"{key}-without-copies", columns, rows, f"{found.first} and {found.second}.")


def comparison_section(found: Comparison, key: str = "comparison") -> Section:
    """Build the section about the differences of two models, with faces on which they differ."""
    test = found.mcnemar
    words = (
        f"Of {found.samples:,} samples, only {found.first} is correct on {test.only_first:,}, only {found.second} on "
        f"{test.only_second:,}. Both are wrong on {len(found.both_wrong):,}. McNemar's test ({test.method}) of equal "
        f"accuracy: {p_text(test.p_value)}."
    )
    changes = [(name, each.difference) for name, each in zip(found.classes, found.recall, strict=True)]
    recalls = [(name, change) for name, change in changes if not np.isnan(change.value)]
    blocks: list[Block] = [
        Text(words),
        comparison_table(found, key),
        Text(
            "Differences have 95% paired bootstrap intervals, unless all resamples give the same. p of accuracy and of "
            "a recall is McNemar's; it may exceed 0.05 although the interval excludes 0. For a recall it uses the "
            "samples of the class. Other p-values are from the resamples.",
            soft=True,
        ),
    ]
    if recalls:
        caption = f"Recall of each class, {found.second} minus {found.first}, with 95% intervals."
        blocks.append(CaptionedChart(differences_chart(f"{key}-recall", recalls), caption))
    blocks.append(_matrices(found, key))
    if found.subsets:
        blocks.append(comparison_subsets_table(found, key))
        blocks.append(Text(terminal.COPIES_WORDS, soft=True))
    blocks.append(_samples_table(found, key))
    if found.faces is not None:
        parts = (_faces(found, found.faces, name, positions) for name, positions in _only_correct(found).items())
        blocks.append(Row(tuple(part for part in parts if part.faces)))
    return Section(key, f"{found.second} vs {found.first}", tuple(blocks))


def _matrices(found: Comparison, key: str) -> Row:
    classes, charts = found.classes, []
    sides = {"first": (found.first, found.first_predictions), "second": (found.second, found.second_predictions)}
    for side, (name, each) in sides.items():
        confusion = confusion_matrix(each.labels, each.predicted, len(classes))
        chart = confusion_chart(confusion, classes, name=f"{key}-confusion-{side}")
        charts.append(
            CaptionedChart(chart, f"Confusion matrix of {name}.", len(classes) > terminal.MAX_UNSCROLLED_CLASSES)
        )
    return Row(tuple(charts))


def _samples_table(found: Comparison, key: str) -> Table:
    names = ("file", "sample", "true class", "correct", "first predicts", "second predicts")
    sides = found.first_predictions, found.second_predictions
    rows = []
    for name, positions in _only_correct(found).items():
        for at in positions:
            (truth, first), (_, second) = (each.classes_of(at) for each in sides)
            file = "" if found.faces is None else str(found.faces.source[at])
            rows.append((file, int(sides[0].sample_ids[at]), truth, name, first, second))
    caption = f"Samples on which only one of {found.first} and {found.second} is correct."
    return Table(f"{key}-samples", columns_of(dict.fromkeys(names, "text")), rows, caption, 0)


def _only_correct(found: Comparison) -> dict[str, npt.NDArray[np.intp]]:
    first, second = found.first_predictions.right, found.second_predictions.right
    return {found.first: np.flatnonzero(first & ~second), found.second: np.flatnonzero(second & ~first)}


def _faces(found: Comparison, faces: Dataset, name: str, indices: npt.NDArray[np.intp]) -> FaceRow:
    labels = found.first_predictions.labels[indices]
    of_truth = [each.probabilities[indices, labels] for each in (found.first_predictions, found.second_predictions)]
    shown = []
    for index in np.argsort(-np.abs(of_truth[1] - of_truth[0]), kind="stable")[:FACES_SHOWN]:
        words = f"{found.classes[labels[index]]}: {100 * of_truth[0][index]:.0f}% | {100 * of_truth[1][index]:.0f}%"
        shown.append(FaceTile(data_address(faces.images[indices[index]]), words))
    names = " | ".join(short_names(found.first, found.second))
    return FaceRow(f"only {name} is correct ({len(indices):,}); probability of the true class, {names}", tuple(shown))
