"""Finder of near-copies: images that were mirrored, shifted, cropped, recompressed, made brighter or darker.

It avoids comparing all pairs, in three steps. :mod:`mien.near_copies.descriptor` computes a short descriptor of each
image. Tables that sort similar descriptors next to each other give candidate pairs. :mod:`mien.near_copies.alignment`
computes each candidate's correlation at the best alignment. Time grows as n log n (above 65,536 images as n^1.25 log
n), because of sorting.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mien.base.arrays import Floats, Floats32, Ints, Pixels, connected_components, join_groups
from mien.base.processes import available_cores, ordered_map
from mien.base.progress import slices, track
from mien.near_copies.alignment import aligned_correlation
from mien.near_copies.descriptor import Descriptor, fit_descriptor

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
    """Find near-copies among images, uint8 (N, S, S); one of each group of ``identical`` ones is compared.

    With numbers from :func:`mien.data.splits.group_identical`, the result does not depend on the order of the images.
    """
    _, representative = np.unique(identical, return_index=True)
    # Sort by number instead of position, so that the order of the files does not affect the result.
    kept = representative[contrast(images)[representative] >= MIN_CONTRAST]
    if len(kept) < 2:
        nothing = np.zeros(0, dtype=np.int64)
        return NearCopies(nothing, nothing, np.zeros(0, np.float32), connect(nothing, nothing, identical), identical)
    images = np.asarray(images)
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
    """Keep the pairs that are among the nearest few of one of their images, ascending, without repetition.

    A pair (first * count + second, distance) that is not among the nearest pairs so far is dropped at once.
    Memory therefore grows linearly with the images, and the result does not depend on the order of the parts.
    """
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
