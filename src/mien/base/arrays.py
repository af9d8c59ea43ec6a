"""Types of arrays by what they hold; groups of samples, joined from several groupings or from pairs."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Bools: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]
Floats32: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]
Pixels: TypeAlias = npt.NDArray[np.uint8]
"""Images, 0..255."""
Reals: TypeAlias = npt.NDArray[np.floating[Any]]
Texts: TypeAlias = npt.NDArray[np.str_]
Groups: TypeAlias = Ints
"""int64 (N,): samples with the same number form a group, such as images of one person or copies of one image."""


def connected_components(count: int, first: Ints, second: Ints) -> Groups:
    """Find the components of N nodes joined by P edges: int64 (N,), the smallest node of each node's component."""
    least = np.arange(count, dtype=np.int64)  # smallest node that each node is known to be connected to
    while True:
        before = least.copy()
        # Join the components, not only the two nodes: along a chain of N nodes that takes log N steps.
        one, other = least[first], least[second]
        np.minimum.at(least, one, np.minimum(one, other))
        np.minimum.at(least, other, np.minimum(one, other))
        least = least[least]
        if np.array_equal(least, before):
            return least


def join_groups(count: int, *groupings: Groups | None) -> Groups:
    """Join groupings (None is ignored): samples that share a group in any of them share one in the result."""
    given = [np.unique(each, return_inverse=True)[1] for each in groupings if each is not None]
    if not given or not count:
        return np.arange(count, dtype=np.int64)
    # Each group of each grouping is a node; a sample connects its groups.
    begins = np.cumsum([0, *(int(each.max()) + 1 for each in given)])
    nodes = np.concatenate([begin + each for begin, each in zip(begins, given, strict=False)])
    return connected_components(int(begins[-1]), np.tile(given[0], len(given)), nodes)[given[0]]


def evenly(values: Array, most: int) -> Array:
    """Choose at most ``most`` of the values (N, ...), evenly spread from the first to the last."""
    return np.asarray(values[np.unique(np.linspace(0, max(len(values) - 1, 0), min(most, len(values))).astype(int))])
