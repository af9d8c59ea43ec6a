"""Types of arrays by what they hold; groups of samples; columns of text, as Excel, R, SPSS and databases write them."""

import re
from collections.abc import Sequence
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


MISSING = frozenset(
    {"", "na", "n/a", "n.a.", "nan", "-nan", "nat", "<na>", "none", "null", "(null)", "\\n", ".", "-", "–", "—", "?"}
    | {"#n/a", "#na", "#nv", "#null!", "#value!", "#div/0!", "#ref!", "#num!", "#name?"}  # of spreadsheets
)
"""Cells that stand for no value, in small letters."""

# An id such as 007, 1_0, 12e4 or +49 is text: programs write no number in this form.
_NUMBER = re.compile(r"-?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]\d+)?", re.ASCII)
_LONG = re.compile(r"-?\d{16,}", re.ASCII)  # more digits than a fraction keeps
# Not 1,234, which may be a thousand.
_DECIMAL_COMMA = re.compile(r"^(?![+-]?[1-9]\d{0,2},\d{3}$)([+-]?\d*),(\d+(?:[eE][+-]\d+)?)$", re.ASCII)


def is_missing(cell: object) -> bool:
    """Return whether a cell stands for no value: ``""``, ``"NA"``, ``"n/a"``, ``None``, NaN, ... (:data:`MISSING`)."""
    return cell is None or str(cell).strip().casefold() in MISSING


def missing(values: Array) -> Bools:
    """Return which cells of a column (N,) stand for no value, bool (N,)."""
    if values.dtype.kind in "iub":
        return np.zeros(len(values), dtype=np.bool_)
    distinct, number = np.unique(values.astype(np.str_), return_inverse=True)
    return np.asarray(np.array([is_missing(each) for each in distinct.tolist()], dtype=np.bool_)[number])


def parse_number(cell: str) -> float:
    """Return the number in a cell, also 0,5; NaN for a missing one; ValueError for text and the ambiguous 1,234."""
    return float("nan") if is_missing(cell) else float(_DECIMAL_COMMA.sub(r"\1.\2", cell.strip()))


def parse_column(values: Sequence[str]) -> Array:
    """Convert a column of text to whole numbers, else to numbers, else keep it, (N,). Leading zeros (001), ids of 20
    digits, and two texts for one number (1 and 1.0) stay text, because they may be names.
    """
    distinct = {value: _plain_number(value) for value in set(values)}
    if all(distinct.values()):
        texts = [distinct[value] or "" for value in values]
        for kind in (np.int64, np.float64)[: 1 if any(map(_LONG.fullmatch, texts)) else 2]:
            try:
                numbers = np.array(texts).astype(kind)
            except (ValueError, OverflowError):
                continue
            if len(np.unique(numbers)) == len(distinct):
                return numbers
    return np.array(values)


def _plain_number(cell: str) -> str | None:
    """Return a number as Python writes it, ``"nan"`` too; None for text."""
    cell = _DECIMAL_COMMA.sub(r"\1.\2", cell.strip())
    return cell if _NUMBER.fullmatch(cell) or cell.casefold() == "nan" else None
