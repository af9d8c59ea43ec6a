"""Images unlike the others: no face, or a turned one. What is usual is learnt from the data itself.

Two views of an image count: how its local spectra differ from those of the others (text, signs, drawings), and how
well it fits the average of all images, laid over it with some shift and zoom (turned, cut or missing faces). The
second is worth something only where images are alike in layout, as cut-out faces are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.base.errors import needs_extra
from mien.base.progress import slices
from mien.near_copies.descriptor import spectra
from mien.near_copies.resampling import CHUNK, Floats32, in_chunks

TURNED_FROM = 0.25
"""By how much a turned average must fit better than the upright one. Looked at on FER2013: docs/audit.md."""

_SIDE_PX = 24
_PADDED_PX = 32
_REACH_PX = 3
_UPRIGHT_ZOOMS = (0.8, 0.9, 1.0, 1.15)
_TURNED_ZOOMS = (0.85, 1.0)
_ANGLES = (45, 90, 135, 180, 225, 270, 315)
_LIGHT_PX = 5.0  # deviation of the blur that is taken away as light
_LEAST_LENGTH = 20.0  # of an image's detail: below, it is not blown up
_DIRECTIONS = 60
_SAMPLE = 8000


@dataclass(frozen=True, eq=False)
class Outliers:
    """How unusual each image is; float (N,) each.

    Attributes:
        likeness: correlation with the average image, -1..1, at the best shift and zoom.
        turned_by: how much better the average fits when it is turned, in steps of 45 degrees.
        score: the rarer an image is by these views and any others given, the higher.
    """

    likeness: Floats32
    turned_by: Floats32
    score: npt.NDArray[np.float64]


def find_outliers(images: npt.NDArray[np.uint8], further: Sequence[npt.NDArray[np.float64]] = ()) -> Outliers:
    """Rank images by how unlike the others they are.

    The score is Fisher's sum (Statistical Methods for Research Workers, 1932): for each view, minus the logarithm of
    the fraction of images that are at least as unusual. The views are not independent: it ranks, it is no test.

    Args:
        images: uint8 (N, S, S), at least two.
        further: other views, float (N,) each, the higher the more unusual.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    upright, turned = _fits(images)
    views = (_strangeness(images), -upright, *further)
    score = -np.sum([np.log(rarity(np.asarray(view, dtype=np.float64))) for view in views], axis=0)
    return Outliers(upright, turned - upright, score)


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


def _fits(images: npt.NDArray[np.uint8]) -> tuple[Floats32, Floats32]:
    """Best correlation with the average image, upright and turned. float32 (N,) each."""
    with needs_extra("audit", "The audit"):
        from scipy import fft
    parts = slices(len(images), CHUNK)
    average = np.sum([_layout(images[part]).sum(axis=0, dtype=np.float64) for part in parts], axis=0) / len(images)
    kinds = (
        [_template(average, zoom, 0) for zoom in _UPRIGHT_ZOOMS],
        [_template(average, zoom, angle) for zoom in _TURNED_ZOOMS for angle in _ANGLES],
    )
    shifts = np.r_[0 : _REACH_PX + 1, _PADDED_PX - _REACH_PX : _PADDED_PX]
    padded = (_PADDED_PX, _PADDED_PX)
    waiting = [np.conj(fft.rfft2(np.array(kind, dtype=np.float32), padded)) for kind in kinds]

    def of_part(part: slice) -> Floats32:
        transformed = fft.rfft2(_layout(images[part]), padded)
        best = np.full((len(transformed), len(kinds)), -1.0, dtype=np.float32)
        for kind, templates in enumerate(waiting):
            for template in templates:
                overlaid = fft.irfft2(transformed * template, padded)[:, shifts][:, :, shifts].max(axis=(1, 2))
                best[:, kind] = np.maximum(best[:, kind], overlaid)
        return best

    best = in_chunks(of_part, len(images), "comparing with the average image")
    return best[:, 0], best[:, 1]


def _layout(images: npt.NDArray[np.uint8]) -> Floats32:
    """Images at a small size, without their coarse light, of length 1. (N, S, S) -> float32 (N, 24, 24)."""
    from scipy.ndimage import gaussian_filter1d

    side = images.shape[1]
    # Each small pixel is the mean of what it covers: overlaps of two divisions of the same length.
    edges, small = np.arange(side + 1) / side, np.arange(_SIDE_PX + 1) / _SIDE_PX
    upper = np.minimum(edges[np.newaxis, 1:], small[1:, np.newaxis])
    lower = np.maximum(edges[np.newaxis, :-1], small[:-1, np.newaxis])
    covered = (np.clip(upper - lower, 0, None) * _SIDE_PX).astype(np.float32)
    shrunk = np.matmul(np.matmul(covered, images.astype(np.float32)), covered.T)
    light = gaussian_filter1d(
        gaussian_filter1d(shrunk, _LIGHT_PX, axis=1, mode="nearest"), _LIGHT_PX, axis=2, mode="nearest"
    )
    flat = shrunk - light
    flat -= flat.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt(np.square(flat).sum(axis=(1, 2), keepdims=True))
    return np.asarray(flat / np.maximum(length, _LEAST_LENGTH), dtype=np.float32)


def _template(average: npt.NDArray[np.float64], zoom: float, angle: int) -> npt.NDArray[np.float64]:
    """The average image, zoomed and turned about its centre, fading at the border, of mean 0 and length 1."""
    from scipy.ndimage import affine_transform

    radians = np.deg2rad(angle)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]]) / zoom
    centre = np.full(2, (_SIDE_PX - 1) / 2)
    moved = affine_transform(average, turn, centre - turn @ centre, order=1)
    fade = np.sqrt(np.hanning(_SIDE_PX + 2)[1:-1])
    moved *= np.outer(fade, fade)
    moved -= moved.mean()
    return np.asarray(moved / max(float(np.sqrt(np.square(moved).sum())), 1e-9))
