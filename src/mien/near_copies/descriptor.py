"""A short description of an image that copies share and other images do not, fitted to the data at hand.

Local spectra: the magnitudes of low frequencies under overlapping windows hardly change when an image is shifted by a
few pixels, and not at all with its brightness. A mirrored image has those of the mirrored window, so sums and
absolute differences of the two are kept, which a mirror leaves as they are.

Fitted: of all linear combinations those are taken that differ most between images and least between an image and its
shifted and cropped copies (linear discriminant analysis, Fisher 1936, every image a class of its own).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from mien.near_copies.resampling import Floats32, axis_matrix, in_chunks, resample

DIMENSIONS = 64
SAMPLE = 4000
"""Images that the fit looks at; a quarter of them only to measure how far copies lie apart."""

_WINDOWS = 3  # along each side, each 3/4 of it wide
_CYCLES = 7  # highest frequency, in cycles a window
_RIDGE = 1e-2
_REACHED = 0.995
_COPIES = 4  # of each image in the sample
_FLAT = 1e-3


@dataclass(frozen=True, eq=False)
class Descriptor:
    """A fitted description.

    Attributes:
        mean: float64 (F,), of the raw spectra.
        directions: float64 (F, D), scaled so that between an image and its disturbed copies each of the D numbers
            differs by 1 on average (root mean square).
        reach: the squared distance within which 99.5% of the disturbed copies lie.
    """

    mean: npt.NDArray[np.float64]
    directions: npt.NDArray[np.float64]
    reach: float

    def of(self, images: npt.NDArray[np.uint8], chosen: npt.NDArray[np.int64]) -> Floats32:
        """Describe some of the images, uint8 (N, S, S): those at ``chosen``, int64 (K,) -> float32 (K, D)."""
        if not len(chosen):
            return np.zeros((0, self.directions.shape[1]), np.float32)
        return in_chunks(
            lambda part: ((spectra(images[chosen[part]]) - self.mean) @ self.directions).astype(np.float32),
            len(chosen),
            "describing images",
        )


def fit_descriptor(images: npt.NDArray[np.uint8], usable: npt.NDArray[np.int64]) -> Descriptor:
    """Fit the description to some images, at least two.

    Args:
        images: uint8 (N, S, S).
        usable: int64 (K,), which of them to choose from: none of these is blank.
    """
    sample = images[usable[np.random.default_rng(0).permutation(len(usable))[:SAMPLE]]]
    plain = _spectra_of(sample)
    copied, changes = _changes(sample, plain)
    fitted = max(2, 3 * len(sample) // 4)
    to_fit = changes[copied < fitted]
    within = to_fit.T @ to_fit / len(to_fit)
    between = (plain[:fitted] - plain[:fitted].mean(axis=0)) / np.sqrt(max(fitted - 1, 1))
    # A little of the mean variance everywhere, so that no direction counts as undisturbed for want of examples.
    within += _RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    directions = _discriminants(between, within)[:, :DIMENSIONS]
    # Copies of images that were fitted lie nearer than others do.
    others = changes[copied >= fitted] if len(sample) > fitted else to_fit
    reach = np.quantile(np.square(others @ directions).sum(axis=1), _REACHED)
    return Descriptor(plain.mean(axis=0), directions, float(reach))


def _discriminants(between: npt.NDArray[np.float64], within: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Directions v, best first, with (B'B) v = l W v and v' W v = 1, as far as l is above 0.

    Numpy alone has no eigenvectors of pencils, and scipy is not in the core: the problem is turned into an ordinary one
    by the Cholesky factor of W, or, of fewer images than features, into that of the smaller matrix B inv(W) B'.

    Args:
        between: B, float64 (images, F).
        within: W, float64 (F, F), positive definite.

    Returns:
        float64 (F, at most F).
    """
    if len(between) < len(within):
        solved = np.linalg.solve(within, between.T)
        values, vectors = np.linalg.eigh(between @ solved)
        positive = values > 1e-9 * values[-1]
        found = (solved @ vectors[:, positive] / np.sqrt(values[positive]))[:, ::-1]
    else:
        inverse = np.linalg.inv(np.linalg.cholesky(within))
        whitened = between @ inverse.T
        _, vectors = np.linalg.eigh(whitened.T @ whitened)
        found = (inverse.T @ vectors)[:, ::-1]
    # The sign of an eigenvector is free, and libraries differ in it.
    return np.asarray(found * np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])]))


def spectra(images: npt.NDArray[np.generic]) -> Floats32:
    """Roots of the magnitudes of local spectra, mirror-symmetric. (N, S, S) -> float32 (N, F).

    Each image is first scaled to mean 0 and deviation 1.
    """
    side = images.shape[1]
    scaled = images.astype(np.float32)
    scaled -= scaled.mean(axis=(1, 2), keepdims=True)
    scaled /= np.maximum(scaled.std(axis=(1, 2), keepdims=True), _FLAT)
    down, across = np.arange(_CYCLES + 1), np.arange(-_CYCLES, _CYCLES + 1)
    values = np.matmul(_waves(side, down), np.matmul(scaled.astype(np.complex64), _waves(side, across).T))
    magnitudes = np.sqrt(np.abs(values)).reshape(len(images), _WINDOWS, len(down), _WINDOWS, len(across))
    mirrored = magnitudes[:, :, :, ::-1, ::-1]
    squared = down[:, np.newaxis] ** 2 + across**2
    wanted = (squared > 0) & (squared <= _CYCLES**2)
    kept = [
        part.transpose(0, 1, 3, 2, 4)[:, :, :, wanted].reshape(len(images), -1)
        for part in (magnitudes + mirrored, np.abs(magnitudes - mirrored))
    ]
    return np.concatenate(kept, axis=1)


def _waves(side: int, cycles: npt.NDArray[np.int64]) -> npt.NDArray[np.complex64]:
    """Complex waves under Hann windows along one axis: (windows * frequencies, S)."""
    width = 0.75 * side
    at = np.arange(side) + 0.5
    centres = np.linspace(width / 2, side - width / 2, _WINDOWS)
    windows = np.array([np.clip(0.5 + 0.5 * np.cos(2 * np.pi * (at - c) / width), 0, 1) for c in centres])
    windows[np.abs(at - centres[:, np.newaxis]) >= width / 2] = 0
    waves = np.exp(-2j * np.pi * np.outer(cycles, np.arange(side)) / width)
    return np.asarray((windows[:, np.newaxis, :] * waves).reshape(-1, side), dtype=np.complex64)


def _changes(
    sample: npt.NDArray[np.uint8], plain: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """How copies differ from their images: which image, int64 (M,), and its spectra's change, float64 (M, F)."""
    disturbances = _disturbances(sample.shape[1])
    images_shown, changes = [], []
    for number, disturb in enumerate(disturbances):
        # Every image with a few of the disturbances, every disturbance on as many images.
        mine = np.flatnonzero((np.arange(len(sample)) + number) % len(disturbances) < _COPIES)
        if len(mine):
            images_shown.append(mine)
            changes.append(_spectra_of(disturb(sample[mine])) - plain[mine])
    return np.concatenate(images_shown), np.concatenate(changes)


def _disturbances(side: int) -> list[Callable[[npt.NDArray[np.uint8]], Floats32]]:
    """The hardest copies that shall be found: shifted by 3 px of 48 to every corner, cropped to 90%, both; too light
    or too dark by a fifth of the range.
    """
    far = 3 * side / 48
    zoom = 1 / 0.9
    edge = (side - 0.9 * side) / 2 * zoom  # moves a crop's corner into the image's
    found: list[Callable[[npt.NDArray[np.uint8]], Floats32]] = []
    for down in (-1, 1):
        for across in (-1, 1):
            for scale, by, fill in ((1.0, far, True), (1.0, far, False), (zoom, edge, True), (zoom, 0.5 * far, True)):
                rows, columns = (axis_matrix(side, scale, sign * by, fill) for sign in (down, across))
                found.append(partial(resample, rows=rows, columns=columns))
    found += [partial(_lighter, by=change) for change in (-51, 51)]
    return found


def _lighter(images: npt.NDArray[np.uint8], by: int) -> Floats32:
    return np.clip(images.astype(np.float32) + by, 0, 255)


def _spectra_of(images: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    return in_chunks(lambda part: spectra(images[part]), len(images), "describing images").astype(np.float64)
