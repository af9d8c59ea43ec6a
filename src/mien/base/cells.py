"""Cells of tables: no value, a number or text, as Excel, R, SPSS, pandas and databases write them."""

import re
from collections.abc import Sequence

import numpy as np

from mien.base.arrays import Array, Bools

MISSING = frozenset(
    {"", "na", "n/a", "n.a.", "nan", "-nan", "nat", "<na>", "none", "null", "(null)", "\\n", ".", "-", "–", "—", "?"}
    | {"#n/a", "#na", "#nv", "#null!", "#value!", "#div/0!", "#ref!", "#num!", "#name?"}  # of spreadsheets
)
"""Cells that stand for no value, in small letters."""

# An id such as 007, 1_0, 12e4 or +49 is text: programs write no number in this form.
_NUMBER = re.compile(r"-?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]\d+)?", re.ASCII)
_LONG = re.compile(r"-?\d{16,}", re.ASCII)  # more digits than a fraction keeps
_DECIMAL_COMMA = re.compile(r"([+-]?\d*),(\d+(?:[eE][+-]\d+)?)", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)


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
    cell = cell.strip()
    if is_missing(cell):
        return float("nan")
    comma = None if _THOUSANDS.fullmatch(cell) else _DECIMAL_COMMA.fullmatch(cell)
    return float(f"{comma[1] or 0}.{comma[2]}" if comma else cell)


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
    cell = cell.strip()
    if not _THOUSANDS.fullmatch(cell):
        cell = _DECIMAL_COMMA.sub(r"\1.\2", cell) if _DECIMAL_COMMA.fullmatch(cell) else cell
    return cell if _NUMBER.fullmatch(cell) or cell.casefold() == "nan" else None
