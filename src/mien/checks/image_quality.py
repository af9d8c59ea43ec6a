"""Image faults visible in the pixels: blank images, drawings or text, lack of detail; and images unlike the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mien.base.arrays import Bools, Floats, Floats32, Pixels
from mien.data.clean import BLANK_BELOW
from mien.near_copies.alignment import in_chunks
from mien.near_copies.finder import MIN_CONTRAST, spectra, spectra_of

FEW_TONES_BELOW = 0.7
"""Limit of :func:`tones`. On FER2013, 60 of 80 images below this limit are text, signs or drawings."""

LITTLE_DETAIL_BELOW = 0.006
"""Images with less :func:`detail` are blurred or were enlarged."""

_LEVELS = 256
_DIRECTIONS = 60
_SAMPLE = 8000


@dataclass(frozen=True, eq=False)
class QualityIssue:
    """A kind of corrupted image: bool (N,), the samples that have it; ``severity`` (N,) ranks them, lower is worse."""

    mask: Bools
    meaning: str
    severity: Floats


def by_chunk(measure: Callable[[Pixels], Floats], images: Pixels) -> Floats:
    """Apply :func:`tones` or :func:`detail` to all images (N, H, W) in chunks. -> (N,)."""
    return in_chunks(lambda part: measure(np.asarray(images[part])), len(images), "measuring images")


def tones(images: Pixels) -> Floats:
    """Measure the number of tones for the contrast of an image, uint8 (N, H, W): small for text, signs and drawings.

    The value is n / s * f: n grey levels hold 90% of the pixels, s is the pixels' standard deviation, and f is the
    fraction of pixels more than 3 levels away from the most common grey. A photograph has about 3, a single level 0.
    """
    count, pixels = len(images), images[0].size
    cells = np.arange(count)[:, np.newaxis] * _LEVELS + images.reshape(count, -1)
    levels = np.bincount(cells.ravel(), minlength=count * _LEVELS).reshape(count, _LEVELS)
    holding = (np.cumsum(np.sort(levels, axis=1)[:, ::-1], axis=1) < 0.9 * pixels).sum(axis=1) + 1
    around = np.lib.stride_tricks.sliding_window_view(np.pad(levels, ((0, 0), (3, 3))), 7, axis=1).sum(axis=2)
    common = around.max(axis=1) / pixels
    return np.asarray(holding / np.maximum(images.reshape(count, -1).std(axis=1), 1.0) * (1 - common))


def detail(images: Pixels) -> Floats:
    """Compute the fraction of an image's variance that a light blur removes: small for blurred or enlarged images."""
    plain = images.astype(np.float32)
    blurred: Floats32 = plain
    for axis in (1, 2):
        blurred = np.asarray(
            (np.roll(blurred, 1, axis) + 2 * blurred + np.roll(blurred, -1, axis)) / 4, dtype=np.float32
        )
    lost = np.square(plain - blurred)[:, 1:-1, 1:-1].mean(axis=(1, 2))
    return np.asarray(lost / np.maximum(plain.var(axis=(1, 2)), 1.0), dtype=np.float64)


def quality_issues(images: Pixels, deviation: Floats, few_tones: Floats) -> dict[str, QualityIssue]:
    """Find the issues of images, by name, from standard deviation of the pixels and :func:`tones`, float64 (N,)."""
    visible = deviation >= MIN_CONTRAST
    fine = by_chunk(detail, images)
    return {
        "blank": QualityIssue(deviation < BLANK_BELOW, "almost one grey level", deviation),
        "near-blank": QualityIssue(~visible & (deviation >= BLANK_BELOW), "very low contrast", deviation),
        "text or drawing": QualityIssue(
            visible & (few_tones < FEW_TONES_BELOW), "few grey levels for this contrast", few_tones
        ),
        "blurred or enlarged": QualityIssue(visible & (fine < LITTLE_DETAIL_BELOW), "almost no fine detail", fine),
    }


def outlier_scores(images: Pixels, further: Sequence[Floats] = ()) -> Floats:
    """Score how much each image differs from the others, 0 or more, by its local spectra and further measures.

    It is Fisher's sum (Statistical Methods for Research Workers, 1932): for each measure, minus the logarithm of the
    fraction of images that are at least as unusual. The measures are not independent, so it is not a test.
    """
    return np.asarray(-np.sum([np.log(rarity(view)) for view in (_strangeness(images), *further)], axis=0))


def rarity(values: Floats) -> Floats:
    """Compute the fraction of values at least as high as each value. float (N,) -> float64 (N,), above 0, at most 1."""
    return (len(values) - np.searchsorted(np.sort(values), values, side="left")) / len(values)


def _strangeness(images: Pixels) -> Floats:
    """Compute the squared Mahalanobis distance of local spectra from their mean, in the main directions."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(images))[:_SAMPLE])
    sample = spectra_of(images[chosen])
    mean = sample.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(sample.T))
    kept = min(_DIRECTIONS, len(variances))
    variances, directions = variances[-kept:], directions[:, -kept:]
    scaled = directions / np.sqrt(np.maximum(variances, 1e-9 * max(float(variances[-1]), 1e-9)))

    def of_part(part: slice) -> Floats:
        return np.asarray(np.square((spectra(images[part]) - mean) @ scaled).sum(axis=1))

    return in_chunks(of_part, len(images), "looking for unusual images")
