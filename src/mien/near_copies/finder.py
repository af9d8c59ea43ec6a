"""The finder of near-copies: images that were mirrored, shifted, cropped, recompressed, made brighter or darker.

Three steps, none of which looks at all pairs: a short description of each image (:mod:`mien.near_copies.descriptor`);
candidates from tables in which like descriptions stand side by side; and of each candidate the correlation at the best
alignment (:mod:`mien.near_copies.alignment`). Time grows as n log n (above 65,536 images: n^1.25 log n), by sorting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.base.processes import available_cores, ordered_map
from mien.base.progress import slices, track
from mien.base.sample_groups import connected_components, join_groups
from mien.near_copies.alignment import aligned_correlation
from mien.near_copies.descriptor import Descriptor, fit_descriptor
from mien.near_copies.resampling import Floats32

LEAST_CORRELATION = 0.91
"""From here on two images count as copies. How it was chosen: docs/audit.md."""

LEAST_CONTRAST = 8.0
"""Images with less deviation of their pixels have too little in them to be compared."""

_TABLES = 64  # of _MANY images; twice as many of 16 times as many, so that copies are found as well among a million
_MANY = 1 << 16
_NEIGHBOURS = 8  # on either side, in each table
_CODE_DIMENSIONS = 24  # the first ones: those that copies disturb least
_MOST_CANDIDATES = 3  # of each image, the nearest: what is compared grows no faster than the images
_FIRST_DIMENSIONS = 16  # compared first, which rules most pairs out
_BLOCK = 1 << 12  # images whose distances are taken at a time: their descriptions fit the cache
_SEED = 0

Found = tuple[npt.NDArray[np.int64], Floats32]
"""Pairs, int64 (P,), the first position * the number of images + the second; and their distances (P,)."""


@dataclass(frozen=True, eq=False)
class NearCopies:
    """Pairs of images that are near-copies, and what follows for all samples.

    Attributes:
        first: int64 (P,), positions of one image of each pair.
        second: int64 (P,), of the other, greater than ``first``.
        correlation: float32 (P,), at their best alignment, :data:`LEAST_CORRELATION`..1.
        groups: int64 (N,): samples share a number that a chain of identical or near images connects.
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    correlation: Floats32
    groups: npt.NDArray[np.int64]


def contrast(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Standard deviation of each image's pixels (RMS contrast): uint8 (N, S, S) -> (N,), 0..127.5."""
    return np.array([image.std(dtype=np.float64) for image in images], dtype=np.float64)


def find_near_copies(
    images: npt.NDArray[np.uint8], identical: npt.NDArray[np.int64], deviation: npt.NDArray[np.float64]
) -> NearCopies:
    """Find near-copies among images.

    Args:
        images: uint8 (N, S, S).
        identical: int64 (N,), identical images share a number; one of each group is compared. Numbers that follow from
            the pixels (:func:`mien.data.splits.group_identical`) make the groups the same in any order of the images.
        deviation: float (N,), from :func:`contrast`.
    """
    _, representative = np.unique(identical, return_index=True)
    # In the order of their numbers, not of their positions: what is found does not depend on the order of the files.
    kept = representative[deviation[representative] >= LEAST_CONTRAST]
    if len(kept) < 2:
        nothing = np.zeros(0, dtype=np.int64)
        return NearCopies(nothing, nothing, np.zeros(0, np.float32), connect(nothing, nothing, identical))
    images = np.asarray(images)
    descriptor = fit_descriptor(images, kept)
    one, other = (kept[each] for each in candidate_pairs(descriptor.of(images, kept), descriptor))
    correlation = aligned_correlation(images, one, other)
    near = np.flatnonzero(correlation >= LEAST_CORRELATION)
    first, second = np.minimum(one[near], other[near]), np.maximum(one[near], other[near])
    return NearCopies(first, second, correlation[near], connect(first, second, identical))


def candidate_pairs(described: Floats32, descriptor: Descriptor) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs within the descriptor's reach that stand near each other in one of the tables.

    A table is an order of the images by the signs of random rotations of their descriptions, the first sign counting
    most (as in an LSH forest: Bawa, Condie & Ganesan, WWW 2005). A pair is kept where it is among the nearest few of
    one of its images.

    Returns:
        Positions of the first and the second of each pair, int64 (P,) each, ascending; no pair twice.
    """
    count = len(described)
    rotations = _rotations(count, min(_CODE_DIMENSIONS, described.shape[1]))

    def of_table(rotation: Floats32) -> Found:
        return _nearest_pairs(_pairs_of_table(described, rotation, descriptor.reach), count)

    # A thread takes 140 bytes an image, for its table and those that wait: of many images, two are searched at once.
    tables = ordered_map(of_table, rotations, min(available_cores(), max(2, 8 * _MANY // count)))
    pairs, _ = _nearest_pairs(track(tables, len(rotations), "finding near-copies", "tables"), count)
    return pairs // count, pairs % count


def _pairs_of_table(described: Floats32, rotation: Floats32, reach: float) -> Iterator[Found]:
    """The pairs within reach that stand near each other in one table; a block of the table at a time."""
    count = len(described)
    order = _order(described, rotation)
    for block in slices(count, _BLOCK):
        places = order[block.start : block.stop + _NEIGHBOURS]
        rows = described[places]
        leading = rows[:, :_FIRST_DIMENSIONS].copy()
        for step in range(1, min(_NEIGHBOURS, len(places) - 1) + 1):
            pairs = min(block.stop - block.start, len(places) - step)
            near = np.flatnonzero(_distance(leading[:pairs], leading[step : step + pairs]) <= reach)
            distance = _distance(rows[near], rows[near + step])
            within = distance <= reach
            one, other = places[near[within]], places[near[within] + step]
            yield np.minimum(one, other) * count + np.maximum(one, other), distance[within]


def _nearest_pairs(parts: Iterable[Found], count: int) -> Found:
    """The pairs that are among the nearest few of one of their images, ascending, each once, and their distances.

    Who is not among the nearest so far will not be in the end: what one table keeps grows no faster than the images,
    and does not depend on the order of the parts.

    Args:
        parts: pairs, int64 (P,), first * count + second; and their distances, float32 (P,).
        count: of images.
    """
    kept: list[Found] = [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))]
    new = 0
    for part in parts:
        kept.append(part)
        new += len(part[0])
        # Sorting takes several times the memory of what is sorted.
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
    near[order] = rank < _MOST_CANDIDATES
    nearest = near.reshape(2, -1).any(axis=0)
    return pairs[nearest], distances[nearest]


def connect(
    first: npt.NDArray[np.int64], second: npt.NDArray[np.int64], identical: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Number the groups of samples that pairs and identical images connect. -> int64 (N,).

    Args:
        first: int64 (P,), a sample of each pair.
        second: int64 (P,).
        identical: int64 (N,), identical images share a number.
    """
    count = len(identical)
    groups = join_groups(count, identical, connected_components(count, first, second))
    return np.unique(groups, return_inverse=True)[1]


def _rotations(count: int, dimensions: int) -> list[Floats32]:
    generator = np.random.default_rng(_SEED)
    tables = round(_TABLES * max(1.0, count / _MANY) ** 0.25)
    return [np.linalg.qr(generator.normal(size=(dimensions, dimensions)))[0].astype(np.float32) for _ in range(tables)]


def _order(described: Floats32, rotation: Floats32) -> npt.NDArray[np.int64]:
    """A table: the images' positions in the order of the signs of their rotated descriptions, the first one first."""
    turned = described[:, : len(rotation)] @ rotation
    middles = np.median(turned[:: -(-len(turned) // _MANY)], axis=0)  # the images stand in a random order
    code = np.zeros(len(turned), dtype=np.int32)
    for column, middle in zip(turned.T, middles, strict=True):
        code = 2 * code + (column > middle)
    return np.argsort(code, kind="stable").astype(np.int64)


def _distance(one: Floats32, other: Floats32) -> Floats32:
    """Squared distances of the lines of one from those of the other."""
    difference = one - other
    return np.asarray(np.einsum("ij,ij->i", difference, difference))
