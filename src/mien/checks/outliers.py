"""Images unlike the others, such as text, signs and drawings. What is usual is learnt from the data itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mien.base.progress import slices
from mien.near_copies.descriptor import spectra
from mien.near_copies.resampling import CHUNK, in_chunks

_DIRECTIONS = 60
_SAMPLE = 8000


def outlier_scores(
    images: npt.NDArray[np.uint8], further: Sequence[npt.NDArray[np.float64]] = ()
) -> npt.NDArray[np.float64]:
    """How unlike the others images are, by their local spectra and other views.

    The score is Fisher's sum (Statistical Methods for Research Workers, 1932): for each view, minus the logarithm of
    the fraction of images that are at least as unusual. The views are not independent: it ranks, it is no test.

    Args:
        images: uint8 (N, S, S), at least two.
        further: other views, float (N,) each, the higher the more unusual.

    Returns:
        float64 (N,), 0 or more; the higher the rarer.
    """
    views = (_strangeness(images), *further)
    return np.asarray(-np.sum([np.log(rarity(view)) for view in views], axis=0))


def rarity(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Fraction of values that are at least as high as each. float (N,) -> float64 (N,), above 0, at most 1."""
    below = np.searchsorted(np.sort(values), values, side="left")
    return (len(values) - below) / len(values)


def _strangeness(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Squared Mahalanobis distance of local spectra from the mean, in their main directions."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(images))[:_SAMPLE])
    sample = np.concatenate([spectra(images[chosen[part]]) for part in slices(len(chosen), CHUNK)]).astype(np.float64)
    mean = sample.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(sample.T))
    kept = min(_DIRECTIONS, len(variances))
    variances, directions = variances[-kept:], directions[:, -kept:]
    scaled = directions / np.sqrt(np.maximum(variances, 1e-9 * max(float(variances[-1]), 1e-9)))

    def of_part(part: slice) -> npt.NDArray[np.float64]:
        return np.asarray(np.square((spectra(images[part]) - mean) @ scaled).sum(axis=1))

    return in_chunks(of_part, len(images), "looking for unusual images")
