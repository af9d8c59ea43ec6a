"""Finder of near-copies: images that were mirrored, shifted, cropped, recompressed, made brighter or darker.

It avoids comparing all pairs. A short descriptor of each image is similar for copies and different for other images;
tables that sort similar descriptors next to each other give candidate pairs; :mod:`mien.near_copies.alignment` computes
the correlation of each at the best alignment. Time grows as n log n (above 65,536 images as n^1.25 log n).

The descriptor uses local spectra: magnitudes of low frequencies under overlapping windows. They hardly change under
shifts of a few pixels, and not at all with brightness; mirroring does not change sums and absolute differences of those
of a window and its mirrored one. It is fitted to the data by linear discriminant analysis (Fisher 1936) with every
image as its own class: linear combinations that differ most between images and least between an image and its copies.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from mien.base.arrays import Floats, Floats32, Ints, Pixels, connected_components, join_groups
from mien.base.processes import available_cores, ordered_map
from mien.base.progress import slices, track
from mien.near_copies.alignment import aligned_correlation, axis_matrix, in_chunks, resample

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
        directions: float64 (F, D), scaled so that an image and its disturbed copies differ by 1 on average in each.
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
    plain = spectra_of(sample)
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
    """Return the directions v with (B'B) v = l W v, v' W v = 1 and l above 0, the largest l first: (F, at most F)."""
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
    """Compute roots of magnitudes of local, mirror-symmetric spectra of standardised (N, S, S): float32 (N, F)."""
    side = images.shape[1]
    scaled = images.astype(np.float32)
    scaled -= scaled.mean(axis=(1, 2), keepdims=True)
    scaled /= np.maximum(scaled.std(axis=(1, 2), keepdims=True), _FLAT)
    down, across = np.arange(_CYCLES + 1), np.arange(-_CYCLES, _CYCLES + 1)
    # Two large products: a product of each image alone would start BLAS's threads for nothing.
    rows = scaled.astype(np.complex64).reshape(-1, side) @ _waves(side, across).T
    columns = rows.reshape(len(images), side, -1).swapaxes(1, 2).reshape(-1, side) @ _waves(side, down).T
    values = columns.reshape(len(images), -1, _WINDOWS * len(down)).swapaxes(1, 2)
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
            changes.append(spectra_of(disturb(sample[mine])) - plain[mine])
    return np.concatenate(images_shown), np.concatenate(changes)


def _disturbances(side: int) -> list[Callable[[Pixels], Floats32]]:
    """Return copies with the largest changes to find: shifted by 3 px of 48, cropped to 90%, lighter or darker."""
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


def spectra_of(images: npt.NDArray[np.generic]) -> Floats:
    """Compute :func:`spectra` in chunks: float64 (N, F)."""
    return in_chunks(lambda part: spectra(images[part]), len(images), "describing images").astype(np.float64)


MIN_CORRELATION = 0.91
"""Smallest correlation of near-copies. docs/audit.md says how it was chosen."""

MIN_CONTRAST = 8.0
"""Smallest standard deviation of the pixels of an image; images with less contrast cannot be compared."""

_TABLES = 64  # number of tables up to _MANY images; it doubles with every 16 times as many images
_MANY = 1 << 16
_NEIGHBOURS = 8  # neighbours on either side, in each table
_CODE_DIMENSIONS = 24  # first dimensions, which differ least between copies
_MAX_CANDIDATES = 3  # nearest candidates kept per image, so that the work grows linearly
_FIRST_DIMENSIONS = 16  # dimensions compared first, which rule out most pairs
_BLOCK = 1 << 12  # images per block, so that their descriptors fit the CPU cache
_SEED = 0

Found = tuple[Ints, Floats32]
"""Pairs, int64 (P,), encoded as first index * number of images + second index; and their distances (P,)."""


@dataclass(frozen=True, eq=False)
class NearCopies:
    """Pairs of images that are near-copies, and the resulting groups.

    Attributes:
        first: int64 (P,), index of the first image of each pair.
        second: int64 (P,), index of the second image, greater than ``first``.
        correlation: float32 (P,), correlation at the best alignment, :data:`MIN_CORRELATION`..1.
        groups: int64 (N,), equal for samples connected by a chain of identical images or near-copies.
        identical: int64 (N,), equal for identical images.
    """

    first: Ints
    second: Ints
    correlation: Floats32
    groups: Ints
    identical: Ints


def contrast(images: Pixels) -> Floats:
    """Compute the standard deviation of each image's pixels (RMS contrast): uint8 (N, S, S) -> (N,), 0..127.5."""
    return np.array([image.std(dtype=np.float64) for image in images], dtype=np.float64)


def find_near_copies(images: Pixels, identical: Ints) -> NearCopies:
    """Find near-copies among images, uint8 (N, S, S); one of each group of ``identical`` ones is compared."""
    _, representative = np.unique(identical, return_index=True)
    # Sort by number instead of position, so that the order of the files does not affect the result.
    kept = representative[contrast(images)[representative] >= MIN_CONTRAST]
    images, one, other = np.asarray(images), kept[:0], kept[:0]
    if len(kept) > 1:
        descriptor = fit_descriptor(images, kept)
        one, other = (kept[each] for each in candidate_pairs(descriptor.of(images, kept), descriptor))
    correlation = aligned_correlation(images, one, other)
    near = np.flatnonzero(correlation >= MIN_CORRELATION)
    first, second = np.minimum(one[near], other[near]), np.maximum(one[near], other[near])
    return NearCopies(first, second, correlation[near], connect(first, second, identical), identical)


def candidate_pairs(described: Floats32, descriptor: Descriptor) -> tuple[Ints, Ints]:
    """Return pairs within the descriptor's reach that are close to each other in one of the tables.

    A table sorts the images by the signs of randomly rotated descriptors, with the first sign as the first key (as in
    an LSH forest: Bawa, Condie & Ganesan, WWW 2005). A pair is kept if it is among the nearest few of one of its
    images. Returns indices of the first and second images, int64 (P,) each, ascending, without repetition.
    """
    count = len(described)
    rotations = _rotations(count, min(_CODE_DIMENSIONS, described.shape[1]))

    def of_table(rotation: Floats32) -> Found:
        return _nearest_pairs(_pairs_of_table(described, rotation, descriptor.reach), count)

    # Each thread needs 140 bytes per image for its table and those in the queue, so large data uses two threads.
    tables = ordered_map(of_table, rotations, min(available_cores(), max(2, 8 * _MANY // count)))
    pairs, _ = _nearest_pairs(track(tables, len(rotations), "finding near-copies", "tables"), count)
    return pairs // count, pairs % count


def _pairs_of_table(described: Floats32, rotation: Floats32, reach: float) -> Iterator[Found]:
    """Yield the pairs within reach that are close in one table, one block of the table at a time."""
    count = len(described)
    order = _order(described, rotation)
    for block in slices(count, _BLOCK):
        window = order[block.start : block.stop + _NEIGHBOURS]
        rows = described[window]
        leading = rows[:, :_FIRST_DIMENSIONS].copy()
        for step in range(1, min(_NEIGHBOURS, len(window) - 1) + 1):
            pairs = min(block.stop - block.start, len(window) - step)
            near = np.flatnonzero(_distance(leading[:pairs], leading[step : step + pairs]) <= reach)
            distance = _distance(rows[near], rows[near + step])
            within = distance <= reach
            one, other = window[near[within]], window[near[within] + step]
            yield np.minimum(one, other) * count + np.maximum(one, other), distance[within]


def _nearest_pairs(parts: Iterable[Found], count: int) -> Found:
    """Keep the pairs that are among the nearest few of one of their images, ascending; memory grows with the images."""
    kept: list[Found] = [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))]
    new = 0
    for part in parts:
        kept.append(part)
        new += len(part[0])
        # Merge rarely, because sorting needs several times the memory of its input.
        if new > count // 2:
            kept, new = [_merged(kept, count)], 0
    return _merged(kept, count)


def _merged(parts: list[Found], count: int) -> Found:
    pairs, first_of = np.unique(np.concatenate([pairs for pairs, _ in parts]), return_index=True)
    distances = np.concatenate([distances for _, distances in parts])[first_of]
    own = np.concatenate(np.divmod(pairs, count)).astype(np.int32)
    order = np.lexsort((np.tile(distances, 2), own))
    begins = np.flatnonzero(np.diff(own[order], prepend=-1))
    rank = np.arange(len(own)) - np.repeat(begins, np.diff(begins, append=len(own)))
    near = np.zeros(len(own), dtype=np.bool_)
    near[order] = rank < _MAX_CANDIDATES
    nearest = near.reshape(2, -1).any(axis=0)
    return pairs[nearest], distances[nearest]


def connect(first: Ints, second: Ints, identical: Ints) -> Ints:
    """Number the groups of samples, int64 (N,), connected by pairs (P,) and identical images."""
    count = len(identical)
    return np.unique(join_groups(count, identical, connected_components(count, first, second)), return_inverse=True)[1]


def _rotations(count: int, dimensions: int) -> list[Floats32]:
    generator = np.random.default_rng(_SEED)
    tables = round(_TABLES * max(1.0, count / _MANY) ** 0.25)
    return [np.linalg.qr(generator.normal(size=(dimensions, dimensions)))[0].astype(np.float32) for _ in range(tables)]


def _order(described: Floats32, rotation: Floats32) -> Ints:
    """Build a table: indices of the images, sorted by the signs of rotated descriptors; the first sign counts most."""
    turned = described[:, : len(rotation)] @ rotation
    middles = np.median(turned[:: -(-len(turned) // _MANY)], axis=0)  # the rows are in random order
    code = np.zeros(len(turned), dtype=np.int32)
    for column, middle in zip(turned.T, middles, strict=True):
        code = 2 * code + (column > middle)
    return np.argsort(code, kind="stable").astype(np.int64)


def _distance(one: Floats32, other: Floats32) -> Floats32:
    difference = one - other
    return np.asarray(np.einsum("ij,ij->i", difference, difference))
