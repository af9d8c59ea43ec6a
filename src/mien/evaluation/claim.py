"""Tests of a claimed accuracy: are classes exchanged, were the labels themselves learned? Arrays in, numbers out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.evaluation.intervals import proportion_among
from mien.evaluation.metrics import Labels
from mien.evaluation.results import Estimate, JsonResult

MAX_CLASSES = 12
"""The exact search over all assignments takes 2^C steps."""
SURE_Z = 6.0
"""Standard deviations from which an exchange of classes is no chance: it holds for the best of 12! assignments."""


@dataclass(frozen=True)
class Exchange(JsonResult):
    """The renaming of predicted classes that fits the labels best.

    Attributes:
        renamed: int64 (C,), the class that each predicted class should be called; 0..C-1, each once.
        accuracy: 0..1 under these names.
        is_clear: whether it fits so much better than the names given that chance cannot explain it.
    """

    renamed: npt.NDArray[np.int64]
    accuracy: float
    is_clear: bool


def best_exchange(confusion: npt.NDArray[np.int64]) -> Exchange | None:
    """Search all renamings of the predicted classes for the highest accuracy.

    The assignment problem, solved exactly by dynamic programming over sets of classes (Held & Karp 1962). An exchange
    is clear if it gains 5 points, and more samples than :data:`SURE_Z` standard deviations of a sign test.

    Args:
        confusion: (C, C), rows are true classes, columns predicted ones.

    Returns:
        None with more than :data:`MAX_CLASSES` classes.
    """
    count = len(confusion)
    if count > MAX_CLASSES:
        return None
    # best[used]: most correct samples where the first predicted classes took the true classes of the bits of `used`.
    best = np.full(1 << count, -1, dtype=np.int64)
    choice = np.zeros(1 << count, dtype=np.int64)
    best[0] = 0
    for used in range(1, 1 << count):
        predicted = used.bit_count() - 1
        for true in range(count):
            if used >> true & 1:
                value = best[used ^ 1 << true] + confusion[true, predicted]
                if value > best[used]:
                    best[used], choice[used] = value, true
    renamed, used = np.zeros(count, dtype=np.int64), (1 << count) - 1
    for predicted in reversed(range(count)):
        renamed[predicted] = choice[used]
        used ^= 1 << int(choice[used])
    moved = np.flatnonzero(renamed != np.arange(count))
    gained = int(confusion[renamed[moved], moved].sum())
    lost = int(confusion[moved, moved].sum())
    total = max(int(confusion.sum()), 1)
    clear = gained - lost >= 0.05 * total and gained - lost > SURE_Z * math.sqrt(gained + lost)
    return Exchange(renamed, float(best[-1]) / total, clear)


LEARNED_SHARE = 0.6
"""Models that never saw these labels repeat about 40% of those that contradict the annotators (docs/check.md)."""


@dataclass(frozen=True)
class LearnedLabels(JsonResult):
    """How often predictions repeat a label that contradicts what most annotators see.

    Nobody can read a wrong label in the image. A model that repeats most of them was probably trained on them.

    Attributes:
        samples: number of samples whose label is not the majority's class.
        repeated: share of them, 0..1, whose prediction is the label; with its 95% interval.
        is_clear: whether the interval lies above :data:`LEARNED_SHARE`.
    """

    samples: int
    repeated: Estimate
    is_clear: bool


def learned_labels(labels: Labels, predicted: Labels, majority: Labels) -> LearnedLabels:
    """Look at the samples whose label contradicts the annotators.

    Args:
        labels: int64 (N,), the given labels.
        predicted: int64 (N,), the predicted classes.
        majority: int64 (N,), the majority's class; -1 without one, and where it is none of the classes.
    """
    contradicted = (majority >= 0) & (majority != labels)
    repeated = proportion_among(predicted == labels, contradicted)
    return LearnedLabels(int(contradicted.sum()), repeated, bool(repeated.low > LEARNED_SHARE))
