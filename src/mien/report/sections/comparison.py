"""Two classifiers on the same faces: differences, tests, and the faces that one gets and the other does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.faceset import FaceSet
from mien.evaluation.compare import Comparison, Difference
from mien.evaluation.results import Part
from mien.evaluation.scores import Scores
from mien.report.blocks import Block, Column, Columns, Face, Faces, Plot, Section, Table, Text
from mien.report.pictures import data_address
from mien.report.plots_failures import differences_plot
from mien.report.sections.quality import COPIES_WORDS
from mien.report.wording import p_text, percent

FACES_SHOWN = 16


@dataclass(frozen=True, eq=False)
class Contest:
    """Two named scores of the same rows and how they compare.

    Attributes:
        first, second: names.
        first_scores, second_scores: N rows each, in the same order.
        comparison: of the two.
        key: tells its figures and tables from those of other contests.
        subsets: the scores of both on all rows, and without rows that copies spoil; none without data.
    """

    first: str
    second: str
    first_scores: Scores
    second_scores: Scores
    comparison: Comparison
    key: str = "comparison"
    subsets: Sequence[tuple[Part, Part]] = ()


def comparison_table(contest: Contest) -> Table:
    """Every figure of both, the difference with its interval, and the p-value; its keys do not depend on the names."""
    found = contest.comparison
    named = [
        ("accuracy", found.accuracy),
        ("macro-F1", found.macro_f1),
        ("log loss", found.log_loss),
        *((f"recall of {name}", each) for name, each in zip(found.classes, found.recall, strict=True)),
    ]
    columns = (
        Column("figure", "text"),
        Column("first"),
        Column("second"),
        Column("difference", "signed"),
        Column("p", "p"),
    )
    caption = f"First: {contest.first}. Second: {contest.second}."
    return Table(f"{contest.key}-differences", columns, [(name, *_cells(each)) for name, each in named], caption)


def subsets_table(contest: Contest) -> Table:
    """The scores of both, and without the rows that copies spoil."""
    columns = (
        Column("score on", "text"), Column("rows", "count"), Column("accuracy, first", "percent"),
        Column("accuracy, second", "percent"), Column("macro-F1, first"), Column("macro-F1, second"),
    )  # fmt: skip
    rows = [
        (first.value, first.count, first.accuracy, second.accuracy, first.macro_f1, second.macro_f1)
        for first, second in contest.subsets
    ]
    caption = f"First: {contest.first}. Second: {contest.second}."
    return Table(f"{contest.key}-without-copies", columns, rows, caption)


def comparison_section(contest: Contest, faces: FaceSet | None) -> Section:
    """One contest; ``faces`` are those of the rows, in the order of the scores."""
    found, test = contest.comparison, contest.comparison.mcnemar
    words = (
        f"Of {found.rows:,} rows {contest.first} alone gets {test.only_first:,} right, {contest.second} alone "
        f"{test.only_second:,}; both get {len(found.both_wrong):,} wrong. McNemar's test ({test.method}) of equal "
        f"accuracy: {p_text(test.p_value)}."
    )
    recalls = [
        (name, each.difference)
        for name, each in zip(found.classes, found.recall, strict=True)
        if not np.isnan(each.difference.value)
    ]
    blocks: list[Block] = [
        Text(words),
        comparison_table(contest),
        Text(
            "Differences are second minus first, with 95 % paired bootstrap intervals. p is of the same resamples; "
            "that of a recall is McNemar's on the rows of its class, and may be above 0.05 where the interval leaves "
            "out 0." + _by_chance(len(recalls)),
            soft=True,
        ),
    ]
    if recalls:
        plot = differences_plot(f"{contest.key}-recall", recalls)
        blocks.append(Plot(plot, f"Recall of each class, {contest.second} minus {contest.first}, with 95 % intervals."))
    if contest.subsets:
        blocks.append(subsets_table(contest))
        blocks.append(Text(COPIES_WORDS, soft=True))
    blocks.append(_rows_table(contest))
    if faces is not None:
        parts = (
            _faces(contest, faces, found.only_first, f"only {contest.first} is right"),
            _faces(contest, faces, found.only_second, f"only {contest.second} is right"),
        )
        blocks.append(Columns("Where they part", tuple(part for part in parts if part.faces)))
    return Section(contest.key, f"{contest.second} against {contest.first}", tuple(blocks))


def _by_chance(recalls: int) -> str:
    """At most how often one of so many recalls or more has p below .05 by luck, taking them as independent."""
    if recalls < 2:
        return ""
    share = percent(1 - 0.95**recalls, 0)
    return (
        f" Of {recalls} recalls without any difference behind them, at least one has p below 0.05 in {share} of "
        f"comparisons at most."
    )


def _cells(each: Difference) -> tuple[Any, ...]:
    return each.first, each.second, each.difference, each.p_value


def _rows_table(contest: Contest) -> Table:
    """Every row on which they differ in being right."""
    found = contest.comparison
    columns = (
        Column("row", "text"),
        Column("true class", "text"),
        Column("right", "text"),
        Column("first reads", "text"),
        Column("second reads", "text"),
    )
    rows = []
    for name, numbers in ((contest.first, found.only_first), (contest.second, found.only_second)):
        for at in _places(contest, numbers):
            truth = found.classes[contest.first_scores.labels[at]]
            reads = [
                found.classes[int(each.probabilities[at].argmax())]
                for each in (contest.first_scores, contest.second_scores)
            ]
            rows.append((int(contest.first_scores.rows[at]), truth, name, *reads))
    return Table(f"{contest.key}-rows", columns, rows, shown=0)


def _faces(contest: Contest, faces: FaceSet, numbers: npt.NDArray[np.int64], title: str) -> Faces:
    """The faces on which they differ most in the probability of the truth."""
    places = _places(contest, numbers)
    labels = contest.first_scores.labels[places]
    given = [each.probabilities[places, labels] for each in (contest.first_scores, contest.second_scores)]
    order = np.argsort(-np.abs(given[1] - given[0]), kind="stable")[:FACES_SHOWN]
    shown = []
    for index in order:
        truth = contest.comparison.classes[labels[index]]
        words = f"{truth}: {100 * given[0][index]:.0f} | {100 * given[1][index]:.0f}"
        shown.append(Face(data_address(faces.images[places[index]]), words))
    return Faces(f"{title} ({len(numbers):,}); probability of the truth in %, first | second", tuple(shown))


def _places(contest: Contest, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    return np.flatnonzero(np.isin(contest.first_scores.rows, numbers))
