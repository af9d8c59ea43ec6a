"""A short descriptor of an image that is similar for copies and different for other images, fitted to the data.

The descriptor uses local spectra: magnitudes of low frequencies under overlapping windows. They hardly change under
shifts of a few pixels, and not at all with brightness. A mirrored image has the spectra of the mirrored window. The
features are sums and absolute differences of both, which mirroring does not change.

The fit is linear discriminant analysis (Fisher 1936) with every image as its own class. It chooses the linear
combinations that differ most between images and least between an image and its shifted or cropped copies.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from mien.base.arrays import Floats, Floats32, Ints, Pixels
from mien.near_copies.alignment import axis_matrix, in_chunks, resample

DIMENSIONS = 64
SAMPLE = 4000
"""Number of images used by the fit. A quarter of these only serve to measure the distance between copies."""

_WINDOWS = 3  # windows per axis; each is 3/4 of the side wide
_CYCLES = 7  # highest frequency, in cycles per window
_RIDGE = 1e-2
_REACHED = 0.995
_COPIES = 4  # copies of each image in the sample
_FLAT = 1e-3


@dataclass(frozen=True, eq=False)
class Descriptor:
    """A fitted descriptor.

    Attributes:
        mean: float64 (F,), mean of the raw spectra.
        directions: float64 (F, D), scaled so that an image and its disturbed copies differ by 1 on average in each of
            the D values (root mean square).
        reach: squared distance that contains 99.5% of the disturbed copies.
    """

    mean: Floats
    directions: Floats
    reach: float

    def of(self, images: Pixels, chosen: Ints) -> Floats32:
        """Compute descriptors of the images at ``chosen``, int64 (K,), of uint8 (N, S, S) -> float32 (K, D)."""
        return in_chunks(
            lambda part: ((spectra(images[chosen[part]]) - self.mean) @ self.directions).astype(np.float32),
            len(chosen),
            "describing images",
        )


def fit_descriptor(images: Pixels, usable: Ints) -> Descriptor:
    """Fit the descriptor to at least two of the ``usable`` images (indices), none of them blank."""
    sample = images[usable[np.random.default_rng(0).permutation(len(usable))[:SAMPLE]]]
    plain = _spectra_of(sample)
    copied, changes = _changes(sample, plain)
    fitted = max(2, 3 * len(sample) // 4)
    to_fit = changes[copied < fitted]
    within = to_fit.T @ to_fit / len(to_fit)
    between = (plain[:fitted] - plain[:fitted].mean(axis=0)) / np.sqrt(max(fitted - 1, 1))
    # Add a little of the mean variance in all directions, so that none has variance 0 for lack of examples.
    within += _RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    directions = _discriminants(between, within)[:, :DIMENSIONS]
    # Measure with images that were not used in the fit, because copies of fitted images are closer.
    others = changes[copied >= fitted] if len(sample) > fitted else to_fit
    reach = np.quantile(np.square(others @ directions).sum(axis=1), _REACHED)
    return Descriptor(plain.mean(axis=0), directions, float(reach))


def _discriminants(between: Floats, within: Floats) -> Floats:
    """Return the directions v with (B'B) v = l W v, v' W v = 1 and l above 0, the largest l first: (F, at most F).

    B is ``between`` (images, F) and W ``within`` (F, F), positive definite. NumPy cannot solve generalised
    eigenproblems and SciPy is not in the core install. The Cholesky factor of W gives an ordinary problem. With fewer
    images than features, the smaller matrix B inv(W) B' is solved.
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
    # The sign of an eigenvector is arbitrary and differs between libraries, so fix it.
    return np.asarray(found * np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])]))


def spectra(images: npt.NDArray[np.generic]) -> Floats32:
    """Compute square roots of the magnitudes of local spectra, mirror-symmetric. (N, S, S) -> float32 (N, F).

    Each image is first scaled to mean 0 and standard deviation 1.
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


def _waves(side: int, cycles: Ints) -> npt.NDArray[np.complex64]:
    """Return complex waves under Hann windows along one axis: (windows * frequencies, S)."""
    width = 0.75 * side
    at = np.arange(side) + 0.5
    centres = np.linspace(width / 2, side - width / 2, _WINDOWS)
    windows = np.array([np.clip(0.5 + 0.5 * np.cos(2 * np.pi * (at - c) / width), 0, 1) for c in centres])
    windows[np.abs(at - centres[:, np.newaxis]) >= width / 2] = 0
    waves = np.exp(-2j * np.pi * np.outer(cycles, np.arange(side)) / width)
    return np.asarray((windows[:, np.newaxis, :] * waves).reshape(-1, side), dtype=np.complex64)


def _changes(sample: Pixels, plain: Floats) -> tuple[Ints, Floats]:
    """Measure how M copies differ: index of their image, int64 (M,), and change of spectra, float64 (M, F)."""
    disturbances = _disturbances(sample.shape[1])
    images_shown, changes = [], []
    for number, disturb in enumerate(disturbances):
        # Each image gets a few of the disturbances, and each disturbance goes to equally many images.
        mine = np.flatnonzero((np.arange(len(sample)) + number) % len(disturbances) < _COPIES)
        if len(mine):
            images_shown.append(mine)
            changes.append(_spectra_of(disturb(sample[mine])) - plain[mine])
    return np.concatenate(images_shown), np.concatenate(changes)


def _disturbances(side: int) -> list[Callable[[Pixels], Floats32]]:
    """Return copies with the largest changes that must still be found.

    They are shifted by 3 px of 48 to every corner, cropped to 90%, both, or a fifth of the range lighter or darker.
    """
    far = 3 * side / 48
    zoom = 1 / 0.9
    edge = (side - 0.9 * side) / 2 * zoom  # shift that moves a crop's corner to the image's
    found: list[Callable[[Pixels], Floats32]] = []
    for down in (-1, 1):
        for across in (-1, 1):
            for scale, by, fill in ((1.0, far, True), (1.0, far, False), (zoom, edge, True), (zoom, 0.5 * far, True)):
                rows, columns = (axis_matrix(side, scale, sign * by, fill) for sign in (down, across))
                found.append(partial(resample, rows=rows, columns=columns))
    lighter = (lambda images, by=change: np.clip(images.astype(np.float32) + by, 0, 255) for change in (-51, 51))
    return [*found, *lighter]


def _spectra_of(images: npt.NDArray[np.generic]) -> Floats:
    return in_chunks(lambda part: spectra(images[part]), len(images), "describing images").astype(np.float64)
