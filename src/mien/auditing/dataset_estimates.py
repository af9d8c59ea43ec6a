"""Estimates about a data set: separability of splits, shortcuts to classes, label-noise ceilings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.auditing.findings import CeilingEstimate, SeparabilityTest
from mien.checks import distribution_shift as shift
from mien.checks import label_noise_ceiling as ceiling
from mien.checks.vote_evidence import Votes
from mien.data.dataset import SPLITS, Dataset
from mien.evaluation.intervals import (
    bootstrap_mean,
    bootstrap_means,
    percentile_interval,
    resampled_weights,
)
from mien.evaluation.metrics import one_versus_rest
from mien.evaluation.results import Estimate
from mien.evaluation.temperature import assign_folds
from mien.progress import busy
from mien.sample_groups import Groups, join_groups

MIN_SAMPLES = 50
"""Fewest samples of a split, or in all, to train a classifier on."""

MIN_GROUPS = 20
"""Fewest groups of identical images for an estimate of their agreement."""

_SEED = 0


def split_tests(
    faces: Dataset,
    images: npt.NDArray[np.uint8],
    light: dict[str, npt.NDArray[np.float64]],
    groups: npt.NDArray[np.int64],
    resamples: int,
) -> Iterator[SeparabilityTest]:
    """Test how well a simple classifier separates each pair of splits: AUC 0.5 means that they do not differ.

    Args:
        faces: N faces.
        images: uint8 (N, S, S), of the faces.
        light: float64 (N,) each, such as the brightness of each image.
        groups: int64 (N,), group ids: near-copies, and groups of the data, share one and stay in one fold.
        resamples: bootstrap resamples, of the data's groups if it has any.
    """
    present = [name for name in SPLITS if (faces.split == name).sum() >= MIN_SAMPLES]
    for at, second in enumerate(present):
        for first in present[:at]:
            chosen = shift.two_splits(faces.split, first, second)
            features = np.column_stack([*(each[chosen] for each in light.values()), shift.thumbnails(images[chosen])])
            target = (faces.split[chosen] == second).astype(np.int64)
            probabilities = shift.predict_out_of_fold(features, target, groups[chosen])
            auc = _mean_auc(target, probabilities[:, 1:], resamples, _part(faces.groups, chosen))
            yield SeparabilityTest(f"{first} and {second}", len(chosen), auc)


def shortcut_tests(
    faces: Dataset,
    images: npt.NDArray[np.uint8],
    light: dict[str, npt.NDArray[np.float64]],
    groups: npt.NDArray[np.int64],
    resamples: int,
) -> Iterator[SeparabilityTest]:
    """Test how well classes are separated by light or by the image border alone. See :func:`split_tests`."""
    if len(faces) < MIN_SAMPLES:
        return
    chosen = shift.some_rows(len(faces))
    features_by_name = {
        "brightness, contrast and sharpness": np.column_stack([each[chosen] for each in light.values()]),
        "the outermost two pixels": shift.borders(images[chosen]),
    }
    for name, features in features_by_name.items():
        probabilities = shift.predict_out_of_fold(features, faces.labels[chosen], groups[chosen])
        auc = _mean_auc(faces.labels[chosen], probabilities, resamples, _part(faces.groups, chosen))
        yield SeparabilityTest(name, len(chosen), auc)


def _part(groups: Groups | None, chosen: npt.NDArray[Any]) -> Groups | None:
    """The groups of some samples: their positions, or bool (N,)."""
    return None if groups is None else groups[chosen]


def _mean_auc(
    target: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], resamples: int, groups: Groups | None
) -> Estimate:
    """Mean one-vs-rest AUC over the columns that have one, with its bootstrap interval over samples, or over groups.

    A single column is the probability of target 1; otherwise there is one column for each value.
    """
    if probabilities.shape[1] == 1:
        against_rest = one_versus_rest(target, np.column_stack([1 - probabilities, probabilities]))[1:]
    else:
        against_rest = one_versus_rest(target, probabilities)

    def mean(weights: npt.NDArray[np.float64]) -> float:
        areas = np.array([each.area(weights) for each in against_rest])
        known = areas[~np.isnan(areas)]
        return float(known.mean()) if len(known) else math.nan

    drawn = np.array([mean(weights) for weights in resampled_weights(len(target), resamples, _SEED, groups)])
    return percentile_interval(mean(np.ones(len(target))), drawn)


def ceiling_estimates(
    faces: Dataset,
    votes: Votes | None,
    identical: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    resamples: int,
) -> Iterator[CeilingEstimate]:
    """Estimate the accuracy that the label noise allows, from votes and from copies.

    See :mod:`mien.checks.label_noise_ceiling`.

    Args:
        faces: N faces.
        votes: None if unknown.
        identical: int64 (N,), group ids: identical images share one.
        groups: int64 (N,), as in :func:`split_tests`.
        resamples: bootstrap resamples, of the data's groups if it has any.
    """
    if votes is not None:
        yield from _ceilings_of_votes(faces, votes, groups, resamples)
    agreements = ceiling.pair_agreement(identical, faces.labels)
    if len(agreements) >= MIN_GROUPS:
        _, first, sizes = np.unique(identical, return_index=True, return_counts=True)
        people = None if faces.groups is None else join_groups(len(faces), faces.groups, identical)
        drawn = bootstrap_means(agreements[:, np.newaxis], resamples, _SEED, _part(people, first[sizes > 1]))[:, 0]
        least = percentile_interval(float(agreements.mean()), drawn)
        most = percentile_interval(math.sqrt(least.value), np.sqrt(drawn))
        assumption = (
            "Identical images were labelled independently. If copies came from one search term, or were labelled one "
            "after the other, they agree more often, and both estimates are too high."
        )
        yield CeilingEstimate("agreement of identical images, lower bound", len(agreements), least, assumption)
        yield CeilingEstimate("agreement of identical images, upper bound", len(agreements), most, assumption)


def _ceilings_of_votes(
    faces: Dataset, votes: Votes, groups: npt.NDArray[np.int64], resamples: int
) -> Iterator[CeilingEstimate]:
    classes = len(faces.classes)
    plurality = ceiling.plurality_hits(votes, faces.labels, classes)
    next_voter = ceiling.next_voter_hits(votes)
    predicted = np.full(len(faces), np.nan)
    if votes.known.sum() >= MIN_SAMPLES:
        with busy("predicting labels from votes"):
            predicted[votes.known] = ceiling.predicted_from_votes(
                votes.of(votes.known), faces.labels[votes.known], assign_folds(groups[votes.known])
            )
    kinds = (
        (
            "majority of the voters",
            plurality,
            "No predictor is better than the majority of the voters, who answered the same question as the labels.",
        ),
        (
            "linear model of the votes",
            predicted,
            "The votes contain all information of an image, and the labels follow from them linearly. Reasons of one "
            "labeller to differ from the voters are not included.",
        ),
        (
            "agreement with one more voter",
            next_voter,
            "Each label is the answer of one voter, and voters answer independently.",
        ),
    )
    for split in [name for name in SPLITS if (faces.split == name).any()]:
        for name, hits, assumption in kinds:
            known = (faces.split == split) & ~np.isnan(hits)
            if known.any():
                estimate = bootstrap_mean(hits[known], resamples, _SEED, _part(faces.groups, known))
                yield CeilingEstimate(f"{split}: {name}", int(known.sum()), estimate, assumption)
