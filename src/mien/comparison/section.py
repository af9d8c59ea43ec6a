"""Two classifiers on the same faces: differences, tests, and the faces that only one predicts correctly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.dataset import Dataset
from mien.evaluation.paired_tests import Comparison, Difference
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import SubsetMetrics
from mien.page.blocks import Block, CaptionedChart, Column, FaceGrid, FaceRow, FaceTile, Section, Table, Text
from mien.page.charts.error_analysis import differences_chart
from mien.page.images import data_address
from mien.page.sections import COPIES_WORDS
from mien.page.wording import p_text, percent

FACES_SHOWN = 16
_HEAD = 24
"""Characters of a model's name at the head of a column."""


@dataclass(frozen=True, eq=False)
class PairwiseComparison:
    """Two named models on the same samples.

    Attributes:
        first, second: names.
        first_predictions, second_predictions: of N samples, in the same order.
        comparison: of the two.
        key: prefix of the names of its charts and tables, unique on a page.
        subsets: metrics of both on all samples and without copies; empty without data.
    """

    first: str
    second: str
    first_predictions: Predictions
    second_predictions: Predictions
    comparison: Comparison
    key: str = "comparison"
    subsets: Sequence[tuple[SubsetMetrics, SubsetMetrics]] = ()


def short_names(first: str, second: str) -> tuple[str, str]:
    """Two names for the heads of columns. Long ones lose the folders that both are in, then their middle.

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


def comparison_table(pair: PairwiseComparison) -> Table:
    """All metrics of both, the difference with its interval, and the p-value. Keys do not depend on the models."""
    found = pair.comparison
    first, second = short_names(pair.first, pair.second)
    named = [
        ("accuracy", found.accuracy),
        ("macro-F1", found.macro_f1),
        ("log loss", found.log_loss),
        *((f"recall of {name}", each) for name, each in zip(found.classes, found.recall, strict=True)),
    ]
    columns = (
        Column("metric", "text"),
        Column("first", head=first),
        Column("second", head=second),
        Column("difference", "signed"),
        Column("p", "p"),
    )
    rows = [(name, *_cells(each)) for name, each in named]
    return Table(f"{pair.key}-differences", columns, rows, f"Difference: {pair.second} minus {pair.first}.")


def subsets_table(pair: PairwiseComparison) -> Table:
    """Metrics of both on all samples and without copies. Keys do not depend on the models."""
    sides = tuple(zip(("first", "second"), short_names(pair.first, pair.second), strict=True))
    columns = (
        Column("measured on", "text"),
        Column("samples", "count"),
        *(Column(f"accuracy, {side}", "percent", f"accuracy, {name}") for side, name in sides),
        *(Column(f"macro-F1, {side}", head=f"macro-F1, {name}") for side, name in sides),
    )
    rows = [
        (first.value, first.count, first.accuracy, second.accuracy, first.macro_f1, second.macro_f1)
        for first, second in pair.subsets
    ]
    return Table(f"{pair.key}-without-copies", columns, rows, f"{pair.first} and {pair.second}.")


def comparison_section(pair: PairwiseComparison, faces: Dataset | None) -> Section:
    """One pair; ``faces`` are those of the samples, in the order of the predictions."""
    found, test = pair.comparison, pair.comparison.mcnemar
    words = (
        f"Of {found.samples:,} samples, only {pair.first} is correct on {test.only_first:,}, only {pair.second} on "
        f"{test.only_second:,}. Both are wrong on {len(found.both_wrong):,}. McNemar's test ({test.method}) of equal "
        f"accuracy: {p_text(test.p_value)}."
    )
    recalls = [
        (name, each.difference)
        for name, each in zip(found.classes, found.recall, strict=True)
        if not np.isnan(each.difference.value)
    ]
    blocks: list[Block] = [
        Text(words),
        comparison_table(pair),
        Text(
            "Differences have 95% paired bootstrap intervals. p is from the same resamples. "
            "For a recall, p is from McNemar's test on the samples of the class. It may exceed 0.05 although the "
            "interval excludes 0." + _by_chance(len(recalls)),
            soft=True,
        ),
    ]
    if recalls:
        chart = differences_chart(f"{pair.key}-recall", recalls)
        blocks.append(
            CaptionedChart(chart, f"Recall of each class, {pair.second} minus {pair.first}, with 95% intervals.")
        )
    if pair.subsets:
        blocks.append(subsets_table(pair))
        blocks.append(Text(COPIES_WORDS, soft=True))
    blocks.append(_samples_table(pair))
    if faces is not None:
        parts = (
            _faces(pair, faces, found.only_first, f"only {pair.first} is correct"),
            _faces(pair, faces, found.only_second, f"only {pair.second} is correct"),
        )
        blocks.append(FaceGrid("Where they differ", tuple(part for part in parts if part.faces)))
    return Section(pair.key, f"{pair.second} vs {pair.first}", tuple(blocks))


def _by_chance(recalls: int) -> str:
    """How often at least one of several independent recalls has p below 0.05 by chance, as a sentence."""
    if recalls < 2:
        return ""
    rate = percent(1 - 0.95**recalls, 0)
    return (
        f" If no recall of {recalls} really differs, at least one still has p below 0.05 in up to {rate} of "
        f"comparisons."
    )


def _cells(each: Difference) -> tuple[Any, ...]:
    return each.first, each.second, each.difference, each.p_value


def _samples_table(pair: PairwiseComparison) -> Table:
    """All samples on which exactly one is correct."""
    found = pair.comparison
    columns = (
        Column("sample", "text"),
        Column("true class", "text"),
        Column("correct", "text"),
        Column("first predicts", "text"),
        Column("second predicts", "text"),
    )
    rows = []
    for name, sample_ids in ((pair.first, found.only_first), (pair.second, found.only_second)):
        for at in _indices(pair, sample_ids):
            truth = found.classes[pair.first_predictions.labels[at]]
            predicted = [
                found.classes[int(each.probabilities[at].argmax())]
                for each in (pair.first_predictions, pair.second_predictions)
            ]
            rows.append((int(pair.first_predictions.sample_ids[at]), truth, name, *predicted))
    return Table(f"{pair.key}-samples", columns, rows, shown=0)


def _faces(pair: PairwiseComparison, faces: Dataset, sample_ids: npt.NDArray[np.int64], title: str) -> FaceRow:
    """The faces with the largest difference in the probability of the true class."""
    indices = _indices(pair, sample_ids)
    labels = pair.first_predictions.labels[indices]
    of_truth = [each.probabilities[indices, labels] for each in (pair.first_predictions, pair.second_predictions)]
    order = np.argsort(-np.abs(of_truth[1] - of_truth[0]), kind="stable")[:FACES_SHOWN]
    shown = []
    for index in order:
        truth = pair.comparison.classes[labels[index]]
        words = f"{truth}: {100 * of_truth[0][index]:.0f}% | {100 * of_truth[1][index]:.0f}%"
        shown.append(FaceTile(data_address(faces.images[indices[index]]), words))
    names = " | ".join(short_names(pair.first, pair.second))
    return FaceRow(f"{title} ({len(sample_ids):,}); probability of the true class, {names}", tuple(shown))


def _indices(pair: PairwiseComparison, sample_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    return np.flatnonzero(np.isin(pair.first_predictions.sample_ids, sample_ids))
