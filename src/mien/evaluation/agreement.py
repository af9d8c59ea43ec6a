"""Agreement among people who voted on the same samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.evaluation.intervals import bootstrap_means, percentile_interval
from mien.evaluation.results import Estimate


def pair_agreement(counts: npt.NDArray[np.int64], resamples: int = 1000) -> Estimate | None:
    """Compute the fraction of pairs of people with the same answer, mean over samples, 0..1, with its 95% interval.

    ``counts`` int64 (N, V): number of people who gave each answer. None if no sample has two answers.
    """
    people = counts.sum(axis=1)
    shared = counts[people >= 2]
    if not len(shared):
        return None
    pairs = people[people >= 2] * (people[people >= 2] - 1)
    agree = (shared * (shared - 1)).sum(axis=1) / pairs
    return percentile_interval(float(agree.mean()), bootstrap_means(agree[:, np.newaxis], resamples)[:, 0])


def krippendorff_alpha(counts: npt.NDArray[np.int64]) -> float:
    """Compute Krippendorff's alpha for nominal answers, int64 (N, V): 1 is full agreement, 0 agreement by chance.

    The value is 1 - observed / expected disagreement (Krippendorff, Content Analysis, 2004, chapter 11). Samples with
    fewer than two answers are left out; NaN if none has two, or all answers are the same class.
    """
    people = counts.sum(axis=1)
    shared = counts[people >= 2].astype(np.float64)
    totals = shared.sum(axis=0)
    everything = totals.sum()
    expected = everything**2 - (totals**2).sum()
    if not expected:
        return float("nan")
    sizes = shared.sum(axis=1)
    observed = ((sizes**2 - (shared**2).sum(axis=1)) / (sizes - 1)).sum()
    return float(1 - (everything - 1) * observed / expected)
