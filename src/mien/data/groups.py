"""Groups of samples that belong together, such as images of one person, video or session.

``--group`` gives a column of the data or a pattern. Class folders have columns ``folder1``, ``folder2``, ... for the
folders below the class. A pattern is a regular expression with one group, searched in each file name.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.cells import missing
from mien.base.errors import DataError, nearest
from mien.base.labels import composed

GROUP_COLUMN = "group"
"""Name of the column for groups that come from a pattern or from arrays."""


def group_column(
    group: str, columns: Mapping[str, npt.NDArray[Any]], source: npt.NDArray[np.str_]
) -> tuple[str, dict[str, npt.NDArray[Any]]]:
    """Add the column of the groups that ``group`` specifies; return its name and all columns.

    ``group`` is the name of a column, or a pattern such as ``"(p[0-9]+)_"``, which is searched in ``source``. Raises
    DataError: no such column; a pattern without one group, or that does not match every name; a missing value.
    """
    if "(" not in str(group) and group not in columns:
        words = f"The data has no column '{group}' to group by.{nearest(group, columns) if columns else ''} "
        raise DataError(f"{words}A pattern of file names has parentheses: '(p[0-9]+)_'.", code="column-missing")
    name = group if group in columns else GROUP_COLUMN
    values = columns[group] if group in columns else _matches(group, source)
    if values.dtype.kind == "U":  # compose Unicode, so that an accent in macOS's form makes no other group
        values = np.array([composed(each) for each in values.tolist()])
    _check_values(group, values, source)
    return name, {**columns, name: values}


def check_groups(values: npt.ArrayLike, count: int) -> npt.NDArray[Any]:
    """Check the groups given with arrays, and return them as a column: text or whole numbers (N,). Raises DataError."""
    column = np.asarray(values)
    if column.dtype.kind == "O" and all(isinstance(each, str) for each in column.tolist()):
        column = column.astype(np.str_)
    if column.shape != (count,) or column.dtype.kind not in "iuU":
        words = f"groups must be text or whole numbers of shape ({count},); found {column.dtype} {column.shape}."
        raise DataError(words, code="length" if column.shape != (count,) else "group-type")
    _check_values("groups", column, np.array([f"images[{index}]" for index in range(count)]))
    return column


def _check_values(name: str, values: npt.NDArray[Any], source: npt.NDArray[np.str_]) -> None:
    if values.ndim != 1:
        words = f"The column '{name}' has {values.shape[1]} values per sample; --group needs one."
        raise DataError(words, code="column-shape")
    unknown = np.flatnonzero(missing(values))
    if len(unknown):
        words = f"{source[unknown[0]]}: no value in '{name}', as in {len(unknown):,} of {len(values):,} samples."
        raise DataError(words, code="group-incomplete")


def _matches(pattern: str, source: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        words = f"--group '{pattern}' is not a regular expression: {error}."
        raise DataError(words, code="group-pattern") from None
    if expression.groups != 1:
        words = (
            f"--group '{pattern}' needs one pair of parentheses, found {expression.groups}. Write others as (?:...)."
        )
        raise DataError(words, code="group-pattern")
    found = [expression.search(name) for name in source.tolist()]
    # A pattern such as '(a)|b' may match without a value for its group.
    names = [(match[1] or "") if match else "" for match in found]
    if not any(names):
        words = f"--group '{pattern}' matches none of {len(names):,} file names, such as {source[0]}."
        raise DataError(words, code="group-pattern")
    return np.array(names, dtype=np.str_)
