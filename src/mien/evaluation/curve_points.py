"""Points of ROC and precision-recall curves: what every threshold gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.evaluation.metrics import Floats, divide

MOST_POINTS = 200
"""Points of a curve that is to be drawn: more cannot be seen, and swell a page."""


def roc_points(is_positive: npt.NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Every point of a ROC curve: Fawcett, Pattern Recognition Letters 27, 2006, algorithm 1.

    Args:
        is_positive: bool (N,).
        scores: float (N,), higher speaks for positive. Samples of one score share a point.

    Returns:
        False positive rates, true positive rates and thresholds, float64 (P,), from (0, 0) at infinity; three empty
        arrays without a positive or without a negative.
    """
    ranking = ScoreRanking(is_positive, scores)
    hits, misses = ranking.counts(np.ones((1, len(scores))))
    if hits[0, -1] == 0 or misses[0, -1] == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    return misses[0] / misses[0, -1], hits[0] / hits[0, -1], ranking.thresholds


def precision_recall_points(is_positive: npt.NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Every point of a precision-recall curve.

    Arguments as in :func:`roc_points`.

    Returns:
        Recalls (ascending), precisions and thresholds, float64 (P,), from (0, 1) at infinity; three empty arrays
        without a positive.
    """
    ranking = ScoreRanking(is_positive, scores)
    hits, misses = ranking.counts(np.ones((1, len(scores))))
    if hits[0, -1] == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    precision = np.concatenate(([1.0], divide(hits[0, 1:], hits[0, 1:] + misses[0, 1:])))
    return hits[0] / hits[0, -1], precision, ranking.thresholds


def thin(across: Floats, up: Floats, most: int = MOST_POINTS) -> npt.NDArray[np.intp]:
    """Choose at most ``most`` points of a curve that look the same, about equally far apart along it.

    Args:
        across: float (P,), horizontal.
        up: float (P,), vertical.
        most: at least 2.

    Returns:
        Indices (Q,), ascending, with both ends; all of them where ``most`` suffices.
    """
    if len(across) <= most:
        return np.arange(len(across))
    along = np.concatenate(([0.0], np.cumsum(np.abs(np.diff(across)) + np.abs(np.diff(up)))))
    chosen = np.searchsorted(along, np.linspace(0.0, along[-1], most))
    chosen[-1] = len(across) - 1
    return np.unique(chosen)


class ScoreRanking:
    """Samples by falling score, sorted once; the counts at every threshold under any weights are then running sums."""

    def __init__(self, is_positive: npt.NDArray[np.bool_], scores: Floats, entries_per_row: int = 1) -> None:
        order = np.argsort(-scores, kind="stable")
        falling = scores[order]
        # Where a run of equal scores ends: between two of them there is no threshold.
        self.ends: npt.NDArray[np.intp] = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
        self.thresholds: Floats = np.concatenate(([np.inf], falling[self.ends]))
        self.is_positive: npt.NDArray[np.bool_] = is_positive[order]
        self.row: npt.NDArray[np.intp] = order // entries_per_row

    def counts(self, weights: Floats) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """True and false positives at each threshold, int32 (B, P), 0 first, under whole weights (B, N)."""
        # int32: these running sums are most of the bootstrap's time.
        ordered = weights.astype(np.int32)[:, self.row]
        rows = np.zeros((len(weights), len(self.ends) + 1), dtype=np.int32)
        hits = np.zeros_like(rows)
        rows[:, 1:] = np.cumsum(ordered, axis=1, dtype=np.int32)[:, self.ends]
        hits[:, 1:] = np.cumsum(ordered * self.is_positive, axis=1, dtype=np.int32)[:, self.ends]
        return hits, rows - hits
