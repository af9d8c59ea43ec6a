"""A study's finished runs as one table: figures over seeds, theirs beside ours, and paired comparisons. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from mien.errors import DataError, StudyError
from mien.evaluation.compare import match_rows, shared_rows
from mien.evaluation.repeats import RepeatedDifference, Spread, compare_repeats, spread
from mien.evaluation.results import fields_to_dict
from mien.evaluation.scores import Scores
from mien.experiments.study import Comparison, Study, Variant
from mien.experiments.study_results import Finished, Planned, scores_of
from mien.files import write_text
from mien.labels import parse_scheme


@dataclass(frozen=True)
class Row:
    """A variant and what its runs came to.

    Attributes:
        variant: of the study.
        rows: of validation, on which it is measured; 0 while no run is finished.
        figures: by name, over the finished runs; empty without one.
        seconds: of training, mean over the finished runs; None for what is not trained or not finished.
        threads: with how many threads the runs were trained.
        failed: runs whose training could not go on.
        missing: runs that are not finished.
    """

    variant: Variant
    rows: int
    figures: Mapping[str, Spread]
    seconds: float | None
    threads: tuple[int, ...]
    failed: int
    missing: int


@dataclass(frozen=True)
class ComparedRow:
    """A variant on the rows of a comparison; ``differences`` from the baseline is empty for the baseline itself."""

    name: str
    figures: Mapping[str, Spread]
    differences: Mapping[str, RepeatedDifference]


@dataclass(frozen=True)
class Compared:
    """Variants on the rows that all of them have.

    Attributes:
        comparison: what was asked for.
        rows: how many rows they share; 0 where less than two variants have a finished run.
        entries: one a variant with a finished run, in the order asked for.
        absent: variants without one.
    """

    comparison: Comparison
    rows: int
    entries: tuple[ComparedRow, ...]
    absent: tuple[str, ...]


@dataclass(frozen=True)
class StudyTable:
    """All that a study says. ``runs`` are the finished ones, as planned."""

    study: Study
    rows: tuple[Row, ...]
    comparisons: tuple[Compared, ...]
    runs: tuple[tuple[Planned, Finished], ...]

    def to_dict(self) -> dict[str, object]:
        """JSON-ready, NaN as None."""
        rows = [
            {
                "variant": row.variant.name,
                "title": row.variant.title,
                "rows": row.rows,
                "published": row.variant.published,
                "figures": {name: fields_to_dict(each) for name, each in row.figures.items()},
                "seconds": row.seconds,
                "threads": list(row.threads),
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
                        "figures": {name: fields_to_dict(found) for name, found in entry.figures.items()},
                        "differences": {name: fields_to_dict(found) for name, found in entry.differences.items()},
                    }
                    for entry in each.entries
                ],
            }
            for each in self.comparisons
        ]
        return {"study": self.study.name, "title": self.study.title, "variants": rows, "comparisons": comparisons}


def write_table(path: Path, table: StudyTable) -> None:
    """Write the table as JSON, whole or not at all. Raises :class:`RunError`."""
    write_text(path, json.dumps(table.to_dict(), indent=2, ensure_ascii=False) + "\n")


def tabulate(
    study: Study, runs: Sequence[Planned], finished: Mapping[str, Finished], resamples: int = 1000
) -> StudyTable:
    """Put a study's finished runs together; what is not finished yet is counted as missing.

    Args:
        study: checked.
        runs: all of its runs.
        finished: by key.
        resamples: bootstrap resamples behind each interval.

    Raises:
        StudyError: stored scores are damaged, or a comparison is of scores that do not belong together.
        MissingExtraError: scipy is not installed.
    """
    done = [(run, finished[run.key]) for run in runs if run.key in finished]
    scores: dict[str, dict[int, Scores]] = {}
    for variant in study.variants:
        source = variant.after or variant.name
        whole = [(run.recipe.seed, each) for run, each in done if run.variant == source and not each.record.failed]
        many = [_merged(each, variant.classes) for each in scores_of([each for _, each in whole])]
        scores[variant.name] = dict(zip((seed for seed, _ in whole), many, strict=True))
    rows = []
    for variant in study.variants:
        own = [each.record for run, each in done if run.variant == (variant.after or variant.name)]
        trained = [record for record in own if not record.failed and not variant.after]
        many = list(scores[variant.name].values())
        rows.append(
            Row(
                variant=variant,
                rows=len(many[0]) if many else 0,
                figures=dict(zip(study.figures, spread(many, study.figures, resamples), strict=True)) if many else {},
                seconds=fmean(record.seconds for record in trained) if trained else None,
                threads=tuple(sorted({record.threads for record in trained})),
                failed=sum(bool(record.failed) for record in own),
                missing=len(study.seeds_of(variant)) - len(own),
            )
        )
    compared = tuple(_compare(each, study.figures, scores, resamples) for each in study.comparisons)
    return StudyTable(study, tuple(rows), compared, tuple(done))


def _compare(
    comparison: Comparison, figures: Sequence[str], scores: Mapping[str, Mapping[int, Scores]], resamples: int
) -> Compared:
    absent = tuple(name for name in comparison.variants if not scores[name])
    present = [name for name in comparison.variants if scores[name]]
    if comparison.baseline not in present or len(present) < 2:
        return Compared(comparison, 0, (), absent)
    try:
        merged = {
            name: {seed: _merged(each, comparison.classes) for seed, each in scores[name].items()} for name in present
        }
        flat = [(name, seed, each) for name, of_seed in merged.items() for seed, each in of_seed.items()]
        shared = shared_rows([each for _, _, each in flat])
        shared = [match_rows(shared[0], each)[1] for each in shared]
    except DataError as error:
        raise StudyError(f"The comparison '{comparison.title}': {error}") from None
    on_shared: dict[str, dict[int, Scores]] = {name: {} for name in present}
    for (name, seed, _), each in zip(flat, shared, strict=True):
        on_shared[name][seed] = each
    baseline = on_shared[comparison.baseline]
    entries = []
    for name in present:
        found = dict(zip(figures, spread(list(on_shared[name].values()), figures, resamples), strict=True))
        seeds = [seed for seed in on_shared[name] if seed in baseline]
        differences: dict[str, RepeatedDifference] = {}
        if name != comparison.baseline and seeds:
            pairs = [baseline[seed] for seed in seeds], [on_shared[name][seed] for seed in seeds]
            differences = dict(zip(figures, compare_repeats(*pairs, figures, resamples), strict=True))
        entries.append(ComparedRow(name, found, differences))
    return Compared(comparison, len(shared[0]), tuple(entries), absent)


def _merged(scores: Scores, classes: str) -> Scores:
    """Under another label scheme; scores that speak of its classes already stay as they are."""
    scheme = parse_scheme(classes or "all")
    return scores if scheme is None or scores.classes == scheme.classes else scores.with_scheme(scheme)
