"""Comparison of several classifiers with the first of them, on the same samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mien.comparison.section import PairwiseComparison, comparison_section
from mien.data.dataset import Dataset
from mien.errors import DataError, Notice
from mien.evaluation.named_metrics import groups_of
from mien.evaluation.paired_tests import compare_predictions, match_samples, shared_samples
from mien.evaluation.predictions import Predictions
from mien.page.page import Page, WrittenPage
from mien.page.wording import samples_text
from mien.pipeline.measured_split import MeasuredSplit


def compare_all(
    named: Sequence[tuple[str, Predictions]], resamples: int = 1000, faces: Dataset | None = None
) -> list[PairwiseComparison]:
    """Compare all predictions with the first, on the same samples.

    Args:
        named: two or more names with predictions, the baseline first.
        resamples: bootstrap resamples for each interval.
        faces: the data that the predictions are of, all splits; its groups, if it has any, take the place of theirs.

    Raises:
        DataError: fewer than two, or predictions of other samples, labels, classes or data.
    """
    if len(named) < 2:
        raise DataError(
            f"A comparison needs at least two models; found {len(named)}. Give another folder or --predictions FILE.",
            code="too-few-models",
        )
    (first, baseline), *others = named
    pairs = []
    for number, (name, predictions) in enumerate(others, start=1):
        try:
            a, b = match_samples(baseline, predictions)
        except DataError as error:
            raise DataError(f"{first} and {name}: {error}", code=error.code) from None
        groups = groups_of((a, b))
        if faces is not None and faces.groups is not None:
            groups = _on_faces(a, faces).predictions.groups
        a, b = (replace(each, groups=groups) for each in (a, b))
        key = "comparison" if len(others) == 1 else f"comparison-{number}"
        names = (first, name) if first != name else (f"{first} (1)", f"{name} (2)")
        pairs.append(PairwiseComparison(*names, a, b, compare_predictions(a, b, resamples), key))
    return pairs


def notices_on(pair: PairwiseComparison) -> list[Notice]:
    """What a reader must know about two predictions: notes such as test-time augmentation, unequal temperatures.

    Temperature 1 means that the temperature of the model was not applied, because it was fitted on these samples. Two
    models that both use their own temperature need no notice.
    """
    sides = (pair.first, pair.first_predictions), (pair.second, pair.second_predictions)
    found = [
        Notice(f"the predictions of {name} are {predictions.note}", code="predictions-averaged")
        for name, predictions in sides
        if predictions.note
    ]
    temperatures = [predictions.temperature for _, predictions in sides]
    if None not in temperatures and (temperatures[0] == 1) != (temperatures[1] == 1):
        words = " and ".join(f"{name} at temperature {each.temperature:.3g}" for name, each in sides)
        found.append(Notice(f"{words}: log loss depends on the temperature", code="temperatures-differ"))
    return found


def keep_shared_samples(named: Sequence[tuple[str, Predictions]]) -> tuple[list[tuple[str, Predictions]], Notice]:
    """The predictions on the samples that all share, and in words how many samples each loses.

    Raises:
        DataError: no sample is in all of them.
    """
    kept = shared_samples([predictions for _, predictions in named])
    parts = [
        f"{len(before) - len(after):,} of {len(before):,} samples of {name}"
        for (name, before), after in zip(named, kept, strict=True)
    ]
    pairs = [(name, after) for (name, _), after in zip(named, kept, strict=True)]
    words = f"compared on the {len(kept[0]):,} samples that all share; excluded: {', '.join(parts)}"
    return pairs, Notice(words, code="samples-excluded")


def with_subsets(
    pairs: Sequence[PairwiseComparison], faces: Dataset, uncleaned: Dataset | None = None, resamples: int = 1000
) -> list[PairwiseComparison]:
    """Add the metrics of both models without copies.

    Args:
        pairs: at least one.
        faces: the data that the predictions are of, all splits.
        uncleaned: the data before a list of changes was applied.
        resamples: bootstrap resamples for each interval.

    Raises:
        DataError: the predictions are not of these faces.
    """
    sides = [
        [
            _on_faces(predictions, faces, uncleaned).subsets(resamples)
            for predictions in (each.first_predictions, each.second_predictions)
        ]
        for each in pairs
    ]
    return [replace(each, subsets=tuple(zip(*side, strict=True))) for each, side in zip(pairs, sides, strict=True)]


def write_comparison(
    out: Path,
    pairs: Sequence[PairwiseComparison],
    *,
    faces: Dataset | None = None,
    metadata: Mapping[str, str] | None = None,
) -> WrittenPage:
    """Write ``report.html`` with its charts and tables into a folder.

    Args:
        out: the folder.
        pairs: at least one.
        faces: the data that the predictions are of, to show faces.
        metadata: how the page was made.

    Raises:
        DataError: the predictions are not of these faces.
        MissingExtraError: matplotlib or jinja2 is not installed.
        RunError: the file system refused.
    """
    predictions = pairs[0].first_predictions
    chosen = None if faces is None else _on_faces(predictions, faces).faces
    sections = [comparison_section(each, chosen) for each in pairs]
    notices = []
    if faces is None:
        notices.append(Notice("Faces skipped: no data was given. Give --data PATH.", code="faces-without-data"))
    page = Page(
        title=" · ".join((pairs[0].first, *(each.second for each in pairs))),
        lead=f"Metrics on the {predictions.split} split: {samples_text(len(predictions))}, "
        f"{len(predictions.classes)} classes.",
        sections=sections,
        metadata=metadata or {},
        notices=notices,
        classes=predictions.classes,
    )
    return page.write(out)


def _on_faces(predictions: Predictions, faces: Dataset, uncleaned: Dataset | None = None) -> MeasuredSplit:
    """The predictions with their faces. With --shared-only, the compared samples are only a part of the split."""
    return MeasuredSplit.resolve(predictions, faces, uncleaned=uncleaned, part_of_split=True)
