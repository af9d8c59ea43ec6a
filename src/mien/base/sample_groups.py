"""Groups of samples, as numbers: which samples belong together by any of several groupings, or by pairs."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Groups: TypeAlias = npt.NDArray[np.int64]
"""int64 (N,): samples of one number belong together, such as the images of a person, or copies of an image."""


def connected_components(count: int, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> Groups:
    """The components of a graph: nodes share a number that edges connect, in however many steps.

    Args:
        count: N nodes.
        first: int64 (P,), 0..N-1, one node of each edge.
        second: int64 (P,), the other.

    Returns:
        int64 (N,), the least node of each node's component.
    """
    least = np.arange(count, dtype=np.int64)  # the least node known to be connected
    while True:
        before = least.copy()
        smaller = np.minimum(least[first], least[second])
        np.minimum.at(least, first, smaller)
        np.minimum.at(least, second, smaller)
        least = least[least]
        if np.array_equal(least, before):
            return least


def join_groups(count: int, *groupings: Groups | None) -> Groups:
    """Groups in which samples stay together that any of the groupings keeps together, such as people and copies.

    Args:
        count: N samples.
        groupings: int64 (N,) each; None is left out.

    Returns:
        int64 (N,), the connected components; each sample by itself where there is no grouping.
    """
    given = [np.unique(each, return_inverse=True)[1] for each in groupings if each is not None]
    if not given or not count:
        return np.arange(count, dtype=np.int64)
    # A node for each group of each grouping; a sample connects its groups.
    begins = np.cumsum([0, *(int(each.max()) + 1 for each in given)])
    nodes = np.concatenate([begin + each for begin, each in zip(begins, given, strict=False)])
    return connected_components(int(begins[-1]), np.tile(given[0], len(given)), nodes)[given[0]]
