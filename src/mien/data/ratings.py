"""Ratings of images as columns of numbers, such as ``valence`` and ``arousal``; blank where nobody rated an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.data.dataset import Dataset


def read_ratings(dataset: Dataset, names: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """The ratings of a data set.

    Args:
        dataset: N images.
        names: of E columns.

    Returns:
        float64 (N, E), -1..1, NaN where a value is blank; None where a column is missing.

    Raises:
        DataError: a value that is no number from -1 to 1 (``ratings-range``).
    """
    if not set(names) <= set(dataset.columns):
        return None
    ratings = np.full((len(dataset), len(names)), np.nan)
    for at, name in enumerate(names):
        for row, value in enumerate(dataset.columns[name].tolist()):
            try:
                ratings[row, at] = value if str(value).strip() not in {"", "None", "nan"} else np.nan
            except (TypeError, ValueError):
                ratings[row, at] = np.inf
    wrong = np.argwhere(np.abs(ratings) > 1)
    if len(wrong):
        row, at = wrong[0]
        raise DataError(
            f"{names[at]} must be a number from -1 to 1, or blank; {dataset.source[row]} has "
            f"{str(dataset.columns[names[at]][row])[:40]!r}. Wrong values: {len(wrong)}.",
            code="ratings-range",
        )
    return ratings
