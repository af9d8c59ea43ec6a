"""What a data set holds, in plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.data.dataset import Dataset
from mien.data.read import ReadResult


def group_info(faces: Dataset) -> dict[str, Any] | None:
    """The column of the groups, how many groups it has, and the sizes of the smallest and largest; None without."""
    groups = faces.groups
    if groups is None:
        return None
    sizes = np.bincount(groups)
    return {
        "column": faces.group_column,
        "count": len(sizes),
        "smallest": int(sizes.min()),
        "largest": int(sizes.max()),
    }


def dataset_info(result: ReadResult) -> dict[str, Any]:
    """What ``mien data info`` shows of a data set, JSON-ready.

    ``groups`` is None without groups, ``files`` without image files.
    """
    faces = result.faces
    counts = faces.counts_by_split()
    return {
        "shape": result.shape,
        "faces": len(faces),
        "size_px": list(faces.images.shape[1:]),
        "files": result.files or None,
        "classes": list(faces.classes),
        "counts": {split: dict(zip(faces.classes, each, strict=True)) for split, each in counts.items()},
        "splits": result.split_origin,
        "columns": sorted(faces.columns),
        "groups": group_info(faces),
        "skipped": [list(each) for each in result.skipped],
        "notes": list(result.notes),
        "fingerprint": result.fingerprint,
        "fingerprint_without_test": faces.fingerprint_without_test,
    }
