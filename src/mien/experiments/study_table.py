"""A study's finished runs as one table: figures over seeds, theirs beside ours, and paired comparisons. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from mien.errors import DataError, StudyError
from mien.evaluation.figures import Resampled, resample
from mien.evaluation.repeats import RepeatedDifference, Spread, aligned, compare_repeats, spread
from mien.evaluation.results import fields_to_dict
from mien.evaluation.scores import Scores
from mien.experiments.study import Comparison, Study, Variant
from mien.experiments.study_results import Finished, Plan, Planned, Record, scores_of
from mien.files import write_text
from mien.labels import parse_scheme
from mien.progress import track


@dataclass(frozen=True)
class Training:
    """How long runs took on a GPU, or with one count of threads: figures of different ones have no mean.

    Attributes:
        on: as :func:`mien.experiments.study_results.trained_on` says it.
        runs: how many.
        seconds: of training and validation, their mean.
    """

    on: str
    runs: int
    seconds: float


@dataclass(frozen=True)
class Row:
    """A variant and what its runs came to.

    Attributes:
        variant: of the study.
        rows: of validation, on which it is measured; 0 while no run is finished.
        classes: that it tells apart; 0 likewise.
        figures: by name, over the finished runs; empty without one.
        training: how long its finished runs took, by where they were trained; empty for what is merged from another's.
        failed: runs whose training could not go on.
        missing: runs that are not finished.
    """

    variant: Variant
    rows: int
    classes: int
    figures: Mapping[str, Spread]
    training: tuple[Training, ...]
    failed: int
    missing: int


@dataclass(frozen=True)
class ComparedRow:
    """A variant against the baseline, on the rows of a comparison; empty where they share no seed."""

    name: str
    differences: Mapping[str, RepeatedDifference]


@dataclass(frozen=True)
class Compared:
    """Variants on the rows that all of them have.

    Attributes:
        comparison: what was asked for.
        rows: how many rows they share; 0 where less than two variants have a finished run.
        entries: one a variant with a finished run, in the order asked for, without the baseline.
        absent: variants without one.
    """

    comparison: Comparison
    rows: int
    entries: tuple[ComparedRow, ...]
    absent: tuple[str, ...]


@dataclass(frozen=True)
class StudyTable:
    """All that a study says.

    ``runs`` are the finished ones, as planned; ``left_out`` are optional variants that cannot be run here, with why.
    """

    study: Study
    rows: tuple[Row, ...]
    comparisons: tuple[Compared, ...]
    runs: tuple[tuple[Planned, Finished], ...]
    left_out: Mapping[str, str]

    def to_dict(self) -> dict[str, object]:
        """JSON-ready, NaN as None."""
        rows = [
            {
                "variant": row.variant.name,
                "title": row.variant.title,
                "rows": row.rows,
                "classes": row.classes,
                "published": row.variant.published,
                "figures": {name: fields_to_dict(each) for name, each in row.figures.items()},
                "training": [vars(each) for each in row.training],
                "failed": row.failed,
                "missing": row.missing,
            }
            for row in self.rows
        ]
        comparisons = [
            {
                "title": each.comparison.title,
                "classes": each.comparison.classes or "all",
                "baseline": each.comparison.baseline,
                "rows": each.rows,
                "absent": list(each.absent),
                "variants": [
                    {
                        "variant": entry.name,
                        "differences": {name: fields_to_dict(found) for name, found in entry.differences.items()},
                    }
                    for entry in each.entries
                ],
            }
            for each in self.comparisons
        ]
        return {
            "study": self.study.name,
            "title": self.study.title,
            "variants": rows,
            "comparisons": comparisons,
            "left_out": dict(self.left_out),
        }


def write_table(path: Path, table: StudyTable) -> None:
    """Write the table as JSON, whole or not at all. Raises :class:`RunError`."""
    write_text(path, json.dumps(table.to_dict(), indent=2, ensure_ascii=False) + "\n")


def tabulate(study: Study, plan: Plan, finished: Mapping[str, Finished], resamples: int = 1000) -> StudyTable:
    """Put a study's finished runs together; what is not finished yet is counted as missing.

    Args:
        study: checked.
        plan: all of its runs.
        finished: by key.
        resamples: bootstrap resamples behind each interval.

    Raises:
        StudyError: stored scores are damaged, or a comparison is of scores that do not belong together.
        MissingExtraError: scipy is not installed.
    """
    done = [(run, finished[run.key]) for run in plan.runs if run.key in finished]
    scores: dict[str, dict[int, Scores]] = {}
    for variant in study.variants:
        source = variant.after or variant.name
        whole = [(run.recipe.seed, each) for run, each in done if run.variant == source and not each.record.failed]
        many = [_merged(each, variant.classes) for each in scores_of([each for _, each in whole])]
        scores[variant.name] = dict(zip((seed for seed, _ in whole), many, strict=True))
    rows = []
    for variant in track(study.variants, len(study.variants), "measuring", "variants"):
        own = [each.record for run, each in done if run.variant == (variant.after or variant.name)]
        trained = [record for record in own if not record.failed and not variant.after]
        many = list(scores[variant.name].values())
        rows.append(
            Row(
                variant=variant,
                rows=len(many[0]) if many else 0,
                classes=len(many[0].classes) if many else 0,
                figures=_spreads(many, study.figures, resamples),
                training=_training(trained),
                failed=sum(bool(record.failed) for record in own),
                missing=0 if variant.name in plan.left_out else len(study.seeds_of(variant)) - len(own),
            )
        )
    wanted = track(study.comparisons, len(study.comparisons), "comparing", "comparisons")
    compared = tuple(_compare(each, study.figures, scores, resamples) for each in wanted)
    return StudyTable(study, tuple(rows), compared, tuple(done), plan.left_out)


def _training(records: Sequence[Record]) -> tuple[Training, ...]:
    took: dict[str, list[float]] = {}
    for record in records:
        took.setdefault(record.trained_on, []).append(record.seconds)
    return tuple(Training(on, len(seconds), fmean(seconds)) for on, seconds in sorted(took.items()))


def _spreads(runs: Sequence[Scores], figures: Sequence[str], resamples: int) -> dict[str, Spread]:
    return dict(zip(figures, spread(resample(aligned(runs), figures, resamples)), strict=True)) if runs else {}


def _compare(
    comparison: Comparison, figures: Sequence[str], scores: Mapping[str, Mapping[int, Scores]], resamples: int
) -> Compared:
    absent = tuple(name for name in comparison.variants if not scores[name])
    present = [name for name in comparison.variants if scores[name]]
    if comparison.baseline not in present or len(present) < 2:
        return Compared(comparison, 0, (), absent)
    each_run = [(name, seed, each) for name in present for seed, each in scores[name].items()]
    try:
        shared = aligned([_merged(each, comparison.classes) for _, _, each in each_run])
    except DataError as error:
        raise StudyError(f"The comparison '{comparison.title}': {error}") from None
    drawn: dict[str, dict[int, Resampled]] = {name: {} for name in present}
    for (name, seed, _), each in zip(each_run, resample(shared, figures, resamples), strict=True):
        drawn[name][seed] = each
    baseline = drawn[comparison.baseline]
    entries = []
    for name in present:
        seeds = [seed for seed in drawn[name] if seed in baseline]
        if name != comparison.baseline:
            pairs = [baseline[seed] for seed in seeds], [drawn[name][seed] for seed in seeds]
            found = compare_repeats(*pairs) if seeds else []
            entries.append(ComparedRow(name, dict(zip(figures, found, strict=False))))
    return Compared(comparison, len(shared[0]), tuple(entries), absent)


def _merged(scores: Scores, classes: str) -> Scores:
    """Under another label scheme; scores that speak of its classes already stay as they are."""
    scheme = parse_scheme(classes or "all")
    return scores if scheme is None or scores.classes == scheme.classes else scores.with_scheme(scheme)
