"""Several classifiers against the first of them, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien.data.faceset import FaceSet
from mien.errors import DataError
from mien.evaluation.compare import compare_scores, match_rows, shared_rows
from mien.evaluation.scores import Scores
from mien.experiments.matching import check_fingerprint, faces_of_scores, match_faces
from mien.experiments.measure import seen_by, without_copies
from mien.report import wording
from mien.report.full_page import Written, write_files
from mien.report.rendering import render
from mien.report.sections.comparison import Contest, comparison_section


def compare_all(named: Sequence[tuple[str, Scores]], resamples: int = 1000) -> list[Contest]:
    """Compare each of the scores with the first, on the same rows.

    Args:
        named: two or more names and scores, the baseline first.
        resamples: bootstrap resamples behind each interval.

    Raises:
        DataError: fewer than two, or scores of other rows, labels, classes or data.
    """
    if len(named) < 2:
        raise DataError(f"A comparison needs at least two scores; found {len(named)}. Give another folder or --scores.")
    (first, baseline), *others = named
    contests = []
    for number, (name, scores) in enumerate(others, start=1):
        try:
            a, b = match_rows(baseline, scores)
        except DataError as error:
            raise DataError(f"{first} and {name}: {error}") from None
        key = "comparison" if len(others) == 1 else f"comparison-{number}"
        contests.append(Contest(first, name, a, b, compare_scores(a, b, resamples), key))
    return contests


def remarks_on(contest: Contest) -> list[str]:
    """How the answers came about, where they are more than one model's about each face, or one side alone is tempered.

    A model's own temperature is left out on the rows that it was fitted on. Two that are each at their own are what the
    models answer in use.
    """
    sides = (contest.first, contest.first_scores), (contest.second, contest.second_scores)
    found = [f"the answers of {name} are {scores.note}" for name, scores in sides if scores.note]
    temperatures = [scores.temperature for _, scores in sides]
    if None not in temperatures and (temperatures[0] == 1) != (temperatures[1] == 1):
        words = " and ".join(f"{name} at temperature {scores.temperature:.3g}" for name, scores in sides)
        found.append(f"{words}: log loss depends on that")
    return found


def keep_shared_rows(named: Sequence[tuple[str, Scores]]) -> tuple[list[tuple[str, Scores]], str]:
    """The scores on the rows that all of them have, and in words how many rows of whom are left out.

    Raises:
        DataError: no row is in all of them.
    """
    kept = shared_rows([scores for _, scores in named])
    parts = [
        f"{len(before) - len(after):,} of {len(before):,} rows of {name}"
        for (name, before), after in zip(named, kept, strict=True)
    ]
    pairs = [(name, after) for (name, _), after in zip(named, kept, strict=True)]
    return pairs, f"compared on the {len(kept[0]):,} rows that all have; left out: {', '.join(parts)}"


def with_subsets(
    contests: Sequence[Contest], faces: FaceSet, uncleaned: FaceSet | None = None, resamples: int = 1000
) -> list[Contest]:
    """The contests with both scores on all rows, and without rows that copies spoil.

    Args:
        contests: at least one.
        faces: the data that the scores are of, all splits.
        uncleaned: the same before a list of changes made them of it; see :func:`mien.experiments.measure.seen_by`.
        resamples: bootstrap resamples behind each interval.

    Raises:
        DataError: faces that the scores are not of.
    """
    _faces_of(contests, faces)
    seen = seen_by([], faces, uncleaned)
    sides = [
        [without_copies(seen, scores, resamples) for scores in (each.first_scores, each.second_scores)]
        for each in contests
    ]
    return [replace(each, subsets=tuple(zip(*side, strict=True))) for each, side in zip(contests, sides, strict=True)]


def write_comparison(
    out: Path, contests: Sequence[Contest], *, faces: FaceSet | None = None, facts: Mapping[str, str] | None = None
) -> Written:
    """Write ``report.html`` with its figures and tables into a folder.

    Args:
        out: the folder.
        contests: at least one.
        faces: the data that the scores are of.
        facts: what else a reader needs.

    Raises:
        DataError: faces that the scores are not of.
        MissingExtraError: matplotlib or jinja2 is not installed.
        RunError: the file system refused.
    """
    scores = contests[0].first_scores
    chosen = None if faces is None else _faces_of(contests, faces)
    sections = [comparison_section(each, chosen) for each in contests]
    page = render(
        "full.html.j2",
        title=" · ".join((contests[0].first, *(each.second for each in contests))),
        split=scores.split,
        rows=len(scores),
        class_count=len(scores.classes),
        evaluation=None,
        absent=[],
        sections=sections,
        left_out=[]
        if faces is not None
        else ["No data was given, so there is no face on this page: give --data PATH."],
        facts=dict(facts or {}),
        wording=wording,
    )
    return write_files(out, page, sections)


def _faces_of(contests: Sequence[Contest], faces: FaceSet) -> FaceSet:
    """The faces of the compared rows, in the order of the scores. Raises DataError where the scores are not of them."""
    scores = contests[0].first_scores
    check_fingerprint(faces, scores)
    # Compared may be fewer rows than the split has: those that all scores share.
    part = faces.subset(np.isin(faces.rows, scores.rows))
    return match_faces(faces_of_scores(part, scores), scores)
