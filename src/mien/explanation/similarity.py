"""How alike two maps are: rank correlation and structural similarity, pair by pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mien.evaluation.corruptions import filter_squares

Floats = npt.NDArray[np.float64]

SSIM_SIGMA_PX = 1.5
_K1, _K2 = 0.01, 0.03


def spearman(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Floats:
    """Spearman's rank correlation of each pair of maps, ties by mean ranks: two (N, ...) -> float64 (N,), -1..1.

    0 where either map is the same everywhere: it orders nothing, so there is nothing to agree with.
    """
    ranks = [_mean_ranks(maps.reshape(len(maps), -1)) for maps in (first, second)]
    a, b = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    length = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.asarray(np.divide((a * b).sum(axis=1), length, out=np.zeros(len(a)), where=length > 0))


def ssim(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Floats:
    """Mean structural similarity of each pair of maps, each scaled to 0..1 first: two (N, S, S) -> float64 (N,).

    Wang et al., Image quality assessment, IEEE TIP 13, 2004, equation 13, with its Gaussian window of 1.5 px and
    its constants. Over the whole map, borders repeated outward. 1 is the same; high too where both are empty.
    """
    x, y = _scaled(first), _scaled(second)

    def local(values: Floats) -> Floats:
        return filter_squares(values, SSIM_SIGMA_PX)

    mean_x, mean_y = local(x), local(y)
    spread_x, spread_y = local(x * x) - mean_x**2, local(y * y) - mean_y**2
    together = local(x * y) - mean_x * mean_y
    c1, c2 = _K1**2, _K2**2
    above = (2 * mean_x * mean_y + c1) * (2 * together + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (spread_x + spread_y + c2)
    return np.asarray((above / below).mean(axis=(1, 2)))


def _scaled(maps: npt.NDArray[Any]) -> Floats:
    lowest = maps.min(axis=(1, 2), keepdims=True).astype(np.float64)
    spread = maps.max(axis=(1, 2), keepdims=True) - lowest
    return np.asarray(np.divide(maps - lowest, spread, out=np.zeros(maps.shape), where=spread > 0))


def _mean_ranks(values: npt.NDArray[Any]) -> Floats:
    """Rank of each value in its sample, equal values sharing the mean of theirs: (N, P) -> float64 (N, P)."""
    ranks = np.empty(values.shape)
    for row, of_row in zip(ranks, values, strict=True):
        _, place, count = np.unique(of_row, return_inverse=True, return_counts=True)
        row[:] = (np.cumsum(count) - (count - 1) / 2)[place.ravel()]
    return ranks
