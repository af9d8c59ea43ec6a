"""The audit's estimates: how far splits and classes give themselves away, and how right anybody can be."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mien.audit import ceiling, shift
from mien.audit.votes import Votes
from mien.data.faceset import SPLITS, FaceSet
from mien.evaluation.intervals import bootstrap_means, percentile_interval, resampled_weights
from mien.evaluation.metrics import one_versus_rest
from mien.evaluation.results import Estimate
from mien.evaluation.temperature import assign_folds
from mien.progress import busy
from mien.report.audit_material import Ceiling, Telling

LEAST_ROWS = 50
"""Of each split, or in all, for a classifier to be trained on them."""

LEAST_GROUPS = 20
"""Of identical pictures, for their agreement to say anything: of three that all disagree it would be 0 %."""

_SEED = 0


def splits_apart(
    faces: FaceSet,
    images: npt.NDArray[np.uint8],
    light: dict[str, npt.NDArray[np.float64]],
    groups: npt.NDArray[np.int64],
    resamples: int,
) -> Iterator[Telling]:
    """How well a simple classifier tells each two splits apart: one half means that they are alike.

    Args:
        faces: N faces.
        images: uint8 (N, S, S), theirs.
        light: float64 (N,) each, numbers about the light of each picture.
        groups: int64 (N,), near-copies share a number and are kept on one side of each fold.
        resamples: bootstrap resamples.
    """
    present = [name for name in SPLITS if (faces.split == name).sum() >= LEAST_ROWS]
    for at, second in enumerate(present):
        for first in present[:at]:
            chosen = shift.two_splits(faces.split, first, second)
            features = np.column_stack([*(each[chosen] for each in light.values()), shift.thumbnails(images[chosen])])
            target = (faces.split[chosen] == second).astype(np.int64)
            probabilities = shift.predict_out_of_fold(features, target, groups[chosen])
            auc = _mean_auc(target, probabilities[:, 1:], resamples)
            yield Telling(f"{first} and {second}", len(chosen), auc)


def shortcuts(
    faces: FaceSet,
    images: npt.NDArray[np.uint8],
    light: dict[str, npt.NDArray[np.float64]],
    groups: npt.NDArray[np.int64],
    resamples: int,
) -> Iterator[Telling]:
    """How well classes are told apart by what is no expression: the light, and the rim. See :func:`splits_apart`."""
    if len(faces) < LEAST_ROWS:
        return
    chosen = shift.some_rows(len(faces))
    ways = {
        "brightness, contrast and sharpness": np.column_stack([each[chosen] for each in light.values()]),
        "the outermost two pixels": shift.borders(images[chosen]),
    }
    for what, features in ways.items():
        probabilities = shift.predict_out_of_fold(features, faces.labels[chosen], groups[chosen])
        yield Telling(what, len(chosen), _mean_auc(faces.labels[chosen], probabilities, resamples))


def _mean_auc(target: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], resamples: int) -> Estimate:
    """Mean one-vs-rest area over the columns that have one, with its bootstrap interval over rows.

    One column is the probability of target 1; otherwise there is a column for each value.
    """
    if probabilities.shape[1] == 1:
        against_rest = one_versus_rest(target, np.column_stack([1 - probabilities, probabilities]))[1:]
    else:
        against_rest = one_versus_rest(target, probabilities)

    def mean(weights: npt.NDArray[np.float64]) -> float:
        areas = np.array([each.area(weights) for each in against_rest])
        known = areas[~np.isnan(areas)]
        return float(known.mean()) if len(known) else math.nan

    drawn = np.array([mean(weights) for weights in resampled_weights(len(target), resamples, _SEED)])
    return percentile_interval(mean(np.ones(len(target))), drawn)


def ceilings(
    faces: FaceSet,
    votes: Votes | None,
    identical: npt.NDArray[np.int64],
    near: npt.NDArray[np.int64],
    resamples: int,
) -> Iterator[Ceiling]:
    """How right anybody can be about these labels, from people's votes and from copies; see :mod:`mien.audit.ceiling`.

    Args:
        faces: N faces.
        votes: people's, where there are any.
        identical: int64 (N,), identical pictures share a number.
        near: int64 (N,), near-copies share a number.
        resamples: bootstrap resamples.
    """
    if votes is not None:
        yield from _ceilings_of_votes(faces, votes, near, resamples)
    agreements = ceiling.pair_agreement(identical, faces.labels)
    if len(agreements) >= LEAST_GROUPS:
        drawn = bootstrap_means(agreements[:, np.newaxis], resamples, _SEED)[:, 0]
        least = percentile_interval(float(agreements.mean()), drawn)
        most = percentile_interval(math.sqrt(least.value), np.sqrt(drawn))
        granted = (
            "Identical pictures were labelled anew each, without sight of one another. Copies that one search word "
            "brought, or that followed one another, agree more often: then both are too high."
        )
        yield Ceiling("identical pictures agree, at least", len(agreements), least, granted)
        yield Ceiling("identical pictures agree, at most", len(agreements), most, granted)


def _ceilings_of_votes(faces: FaceSet, votes: Votes, near: npt.NDArray[np.int64], resamples: int) -> Iterator[Ceiling]:
    classes = len(faces.classes)
    plurality = ceiling.plurality_hits(votes, faces.labels, classes)
    next_voter = ceiling.next_voter_hits(votes)
    predicted = np.full(len(faces), np.nan)
    if votes.known.sum() >= LEAST_ROWS:
        with busy("predicting labels from votes"):
            predicted[votes.known] = ceiling.predicted_from_votes(
                votes.of(votes.known), faces.labels[votes.known], assign_folds(near[votes.known])
            )
    kinds = (
        (
            "answers as most voters do",
            plurality,
            "Most of ten people are the best readers there are, and were asked what the labels answer.",
        ),
        (
            "answers as votes foretell labels",
            predicted,
            "Votes hold all that a picture says, the labellers' habits follow from them in a linear way. What made one "
            "labeller differ from the voters is not in them.",
        ),
        (
            "foretells one more voter",
            next_voter,
            "The labels are one voter's word each, and voters answer independently.",
        ),
    )
    for split in [name for name in SPLITS if (faces.split == name).any()]:
        for what, hits, granted in kinds:
            known = hits[(faces.split == split) & ~np.isnan(hits)]
            if len(known):
                drawn = bootstrap_means(known[:, np.newaxis], resamples, _SEED)[:, 0]
                estimate = percentile_interval(float(known.mean()), drawn)
                yield Ceiling(f"{split}: {what}", len(known), estimate, granted)
