"""A study's finished runs as one table: metrics over seeds, published values, paired comparisons. Needs no torch."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.errors import DataError, StudyError
from mien.base.labels import parse_scheme
from mien.base.progress import track
from mien.data.dataset import Dataset
from mien.evaluation.named_metrics import NamedMetric, Resampled, resample
from mien.evaluation.paired_tests import RepeatedDifference, Spread, aligned, compare_repeats, holm, spread
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import fields_to_dict, json_ready
from mien.pipeline.measured_split import MeasuredSplit
from mien.runs.plan import CompletedRun, PlannedRun
from mien.runs.spec import ComparisonSpec, Study, Variant


@dataclass(frozen=True)
class VariantRow:
    """A variant and the results of its runs; ``metrics`` are over those that were trained.

    Attributes:
        failed: number of runs whose training failed.
        missing: number of unfinished runs.
        collapsed: number of runs that are no better than always answering the largest class.
    """

    variant: Variant
    samples: int
    classes: int
    metrics: Mapping[str, Spread]
    failed: int
    missing: int
    collapsed: int = 0


@dataclass(frozen=True)
class VariantComparison:
    """Variants compared on the samples that all of them predict.

    Attributes:
        differences: differences from the baseline, by variant and metric; empty without common seeds. P-values are
            corrected for the number of tests in the whole comparison.
        absent: variants without a finished run.
    """

    comparison: ComparisonSpec
    samples: int
    differences: Mapping[str, Mapping[str, RepeatedDifference]]
    absent: tuple[str, ...]


@dataclass(frozen=True)
class StudyTable:
    """All results of a study.

    Attributes:
        study: study that was run.
        metrics: its metrics by key, with names and formats.
        rows: one row per variant.
        comparisons: comparisons of the study.
        runs: finished runs in planned order.
        best: variants by metric, those that are significantly better than every other variant on the same samples and
            classes: p-values, corrected by Holm for all metrics, are below 0.05, over two seeds or more.
        page: path of ``report.html``; None if no page was written.
        was_stopped: whether Ctrl-C ended the study before its last run.
    """

    study: Study = field(repr=False)
    metrics: Mapping[str, NamedMetric] = field(repr=False)
    rows: tuple[VariantRow, ...] = field(repr=False)
    comparisons: tuple[VariantComparison, ...] = field(repr=False)
    runs: tuple[tuple[PlannedRun, CompletedRun], ...] = field(repr=False)
    best: Mapping[str, str] = field(default_factory=dict, repr=False)
    page: Path | None = None
    was_stopped: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the results, JSON-ready, with NaN as None."""
        rows = [
            {
                "variant": row.variant.name,
                "title": row.variant.title,
                "published": row.variant.published,
                **fields_to_dict(row, leave_out=("variant",)),
            }
            for row in self.rows
        ]
        comparisons = [
            {
                "title": each.comparison.title,
                "classes": each.comparison.classes or "all",
                "baseline": each.comparison.baseline,
                "variants": [
                    {"variant": name, "differences": json_ready(found)} for name, found in each.differences.items()
                ],
                **fields_to_dict(each, leave_out=("comparison", "differences")),
            }
            for each in self.comparisons
        ]
        return {"study": self.study.name, "title": self.study.title, "variants": rows, "comparisons": comparisons}


def tabulate(
    study: Study, runs: Sequence[PlannedRun], finished: Mapping[str, CompletedRun], faces: Dataset | None = None
) -> StudyTable:
    """Combine the finished runs of a study; all others are counted as missing.

    Groups and votes of ``faces``, the data at any size, also count for runs that were trained without them, unless
    its samples have other ids by now.

    Raises DataError if a label scheme does not match the predictions, StudyError if stored predictions are damaged, or
    a comparison has predictions that do not match, MissingExtraError without scipy.
    """
    done = [(run, finished[run.key]) for run in runs if run.key in finished]
    named = study.named_metrics
    metrics = tuple(named.values())
    predictions: dict[str, dict[int, Predictions]] = {}
    drawn: dict[str, dict[int, Resampled]] = {}
    rows = []
    for variant in track(study.variants, len(study.variants), "measuring", "variants"):
        own = [(run.recipe.seed, each) for run, each in done if run.variant == (variant.after or variant.name)]
        predictions[variant.name] = {
            seed: _as_known_now(each.predictions(), faces).with_scheme(parse_scheme(variant.classes or "all"))
            for seed, each in own
            if not each.record.failed
        }
        many = list(predictions[variant.name].values())
        resampled = resample(aligned(many), metrics) if many else []
        drawn[variant.name] = dict(zip(predictions[variant.name], resampled, strict=True))
        rows.append(
            VariantRow(
                variant=variant,
                samples=len(many[0]) if many else 0,
                classes=len(many[0].classes) if many else 0,
                metrics=dict(zip(named, spread(resampled, metrics) if many else [], strict=False)),
                failed=len(own) - len(many),
                missing=len(study.seeds_of(variant)) - len(own),
                collapsed=sum(each.accuracy <= np.bincount(each.labels).max() / len(each) for each in many),
            )
        )
    wanted = track(study.comparisons, len(study.comparisons), "comparing", "comparisons")
    compared = tuple(_compare(each, metrics, predictions) for each in wanted)
    firsts = [next(iter(each.values())) for each in predictions.values() if each]
    comparable = len({(each.classes, np.sort(each.sample_ids).tobytes()) for each in firsts}) == 1
    best = _significantly_best(metrics, rows, drawn) if comparable else {}
    return StudyTable(study, named, tuple(rows), compared, tuple(done), best)


def _significantly_best(
    metrics: Sequence[NamedMetric], rows: Sequence[VariantRow], drawn: Mapping[str, Mapping[int, Resampled]]
) -> dict[str, str]:
    p_values: dict[tuple[str, str], list[float]] = {}
    for at, metric in enumerate(metrics):
        means = {row.variant.name: row.metrics[metric.key].mean for row in rows if row.metrics}
        if len(means) > 1 and not any(map(math.isnan, means.values())):
            name = (min if metric.lower_is_better else max)(means, key=means.__getitem__)
            for other in means.keys() - {name}:
                seeds = [seed for seed in drawn[name] if seed in drawn[other]]
                pairs = [drawn[other][seed] for seed in seeds], [drawn[name][seed] for seed in seeds]
                found = compare_repeats(*pairs)[at].p_value if len(seeds) > 1 else 1.0
                p_values.setdefault((metric.key, name), []).append(found)
    # Readers look for the small ones among all of them.
    corrected = iter(holm([each for several in p_values.values() for each in several]))
    return {key: name for (key, name), several in p_values.items() if max([next(corrected) for _ in several]) < 0.05}


def _as_known_now(predictions: Predictions, faces: Dataset | None) -> Predictions:
    with suppress(DataError):
        return MeasuredSplit.resolve(predictions, faces).predictions
    return predictions


def _compare(
    comparison: ComparisonSpec, metrics: Sequence[NamedMetric], predictions: Mapping[str, Mapping[int, Predictions]]
) -> VariantComparison:
    absent = tuple(name for name in comparison.variants if not predictions[name])
    present = [name for name in comparison.variants if predictions[name]]
    if comparison.baseline not in present or len(present) < 2:
        return VariantComparison(comparison, 0, {}, absent)
    each_run = [(name, seed, each) for name in present for seed, each in predictions[name].items()]
    try:
        shared = aligned([each.with_scheme(parse_scheme(comparison.classes or "all")) for _, _, each in each_run])
    except DataError as error:
        raise StudyError(f"The comparison '{comparison.title}': {error}", code="study-value") from None
    drawn: dict[str, dict[int, Resampled]] = {name: {} for name in present}
    for (name, seed, _), each in zip(each_run, resample(shared, metrics), strict=True):
        drawn[name][seed] = each
    baseline = drawn[comparison.baseline]
    differences: dict[str, dict[str, RepeatedDifference]] = {}
    for name in present:
        seeds = [seed for seed in drawn[name] if seed in baseline]
        if name != comparison.baseline:
            pairs = [baseline[seed] for seed in seeds], [drawn[name][seed] for seed in seeds]
            named = zip(metrics, compare_repeats(*pairs) if seeds else [], strict=False)
            differences[name] = {metric.key: each.bounded() if metric.bounded else each for metric, each in named}
    return VariantComparison(comparison, len(shared[0]), _adjusted(differences), absent)


def _adjusted(differences: Mapping[str, Mapping[str, RepeatedDifference]]) -> dict[str, dict[str, RepeatedDifference]]:
    """Correct all p-values of a comparison together, because readers look for the small ones among them."""
    adjusted = iter(holm([each.p_value for found in differences.values() for each in found.values()]))
    return {
        name: {metric: replace(each, adjusted_p_value=next(adjusted)) for metric, each in found.items()}
        for name, found in differences.items()
    }
