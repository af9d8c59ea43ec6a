"""Groups of images that are the same or nearly so: what a cut keeps together, and what leaks across splits."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from mien.data.cache_folder import cache_folder
from mien.data.image_store import convert
from mien.data.splits import group_identical
from mien.errors import RunError
from mien.files import whole_file
from mien.near_copies.finder import find_near_copies
from mien.preprocess import grey_square

_SIDE_PX = 48
"""Larger images are compared at this size: coarse detail is enough to find copies, and it bounds time and memory."""

_CACHED_FROM = 200
"""Images; fewer are compared in less time than a person notices."""

_KEPT = 50
_FINDER_VERSION = 1
"""Counts up when the finder would find other copies: groups that were kept before are then not used."""


def near_copy_groups(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Number the groups of identical images and near-copies: mirrored, shifted, cropped, recompressed, lighter.

    Chains count: if A is near B, and B near C, all three are one group. FER2013 takes a minute or more the first
    time; then the groups come from the user's cache folder.

    Args:
        images: uint8 (N, S, S) or (N, S, S, 3).

    Returns:
        int64 (N,): identical and near images share a number.
    """
    small = _small(images)
    if len(small) < _CACHED_FROM:
        return _find(small)
    digest = hashlib.sha256(f"{_FINDER_VERSION} {small.shape}".encode())
    digest.update(np.ascontiguousarray(small).data)
    file = cache_folder().with_name("copies") / f"{digest.hexdigest()[:32]}.npy"
    with suppress(OSError, ValueError, EOFError):
        with file.open("rb") as stream:
            kept = np.load(stream, allow_pickle=False)
        if kept.shape == (len(small),) and kept.dtype == np.int64:
            return np.asarray(kept)
    groups = _find(small)
    # The cache is a convenience: without one the groups are found again.
    with suppress(RunError, OSError):
        with whole_file(file) as temporary, temporary.open("wb") as stream:
            np.save(stream, groups, allow_pickle=False)
        for old in sorted(file.parent.glob("*.npy"), key=lambda each: each.stat().st_mtime)[:-_KEPT]:
            old.unlink()
    return groups


def _find(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    images = np.asarray(images)  # a row of a memory map costs more to make than one of an array
    identical = group_identical(images)
    if len(images) < 2:
        return identical
    contrast = np.array([image.std(dtype=np.float64) for image in images])
    return find_near_copies(images, identical, contrast).groups


def _small(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Grey squares of at most 48 px."""
    if images.ndim == 3 and images.shape[1] == images.shape[2] <= _SIDE_PX:
        return images
    side = min(*images.shape[1:3], _SIDE_PX)
    return convert(images, lambda block: np.stack([grey_square(image, side) for image in block]), (side, side))
