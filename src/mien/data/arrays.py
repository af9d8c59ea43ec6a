"""From arrays in memory to the parts of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.copy_groups import near_copy_groups
from mien.data.decode import only_grey
from mien.data.groups import GROUP_COLUMN, check_groups
from mien.data.splits import canonical_split, settle_splits
from mien.errors import DataError, nearest
from mien.labels import canonical_class, order_classes
from mien.preprocess import face_square


def dataset_parts(
    images: npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]],
    labels: npt.ArrayLike,
    classes: Sequence[str] | None,
    split: Sequence[str] | npt.NDArray[np.str_] | None,
    stored_as: tuple[int, int],
    sample_ids: npt.ArrayLike | None,
    groups: npt.ArrayLike | None,
) -> dict[str, Any]:
    """The fields of a :class:`mien.data.dataset.Dataset`, checked. Arguments and errors as its ``from_arrays``.

    ``stored_as`` are its ``size_px`` and ``channels``.
    """
    size_px, channels = stored_as
    if channels not in {1, 3}:
        raise DataError(f"Images have 1 channel (grey) or 3 (RGB); found channels={channels}.", code="image-channels")
    if not 8 <= size_px <= 1024:
        raise DataError(f"The size of the faces must be 8..1024 px; found {size_px}.", code="image-size")
    count = len(images)
    if not count:
        raise DataError("A data set needs images; found none.", code="data-empty")
    squares = np.stack([_square(image, index, stored_as) for index, image in enumerate(images)])
    given = _of_length(labels, count, "labels")
    numbers, names = _labels(given, classes)
    if len(names) < 2 or len(set(names)) < len(names):
        raise DataError(
            f"A data set needs two classes or more, each named once; found: {', '.join(names)}.", code="class-count"
        )
    found = np.full(count, "", dtype="<U10") if split is None else _splits(_of_length(split, count, "split"))
    ids = np.arange(count) if sample_ids is None else _of_length(sample_ids, count, "sample_ids")
    if ids.dtype.kind not in "iu" or len(np.unique(ids)) < count:
        raise DataError("sample_ids must be whole numbers, each used once.", code="sample-ids")
    column = None if groups is None else check_groups(groups, count)
    settled, _ = settle_splits(
        found, "as given", squares, numbers, copies=near_copy_groups, groups=column, classes=names
    )
    return {
        "images": squares,
        "labels": numbers,
        "classes": names,
        "split": settled,
        "source": np.array([f"images[{index}]" for index in range(count)], dtype=np.str_),
        "rows": ids.astype(np.int64),
        "columns": {} if column is None else {GROUP_COLUMN: column},
        "group_column": "" if column is None else GROUP_COLUMN,
    }


def _square(image: npt.NDArray[np.uint8], index: int, stored_as: tuple[int, int]) -> npt.NDArray[np.uint8]:
    array = np.asarray(image)
    if stored_as[1] == 3 and (array.ndim == 2 or array.shape[2:] == (1,)):
        raise only_grey(f"images[{index}]")
    try:
        return face_square(array, *stored_as)
    except DataError as error:
        raise DataError(f"images[{index}]: {error}", code="image-array") from None


def _of_length(values: npt.ArrayLike, count: int, name: str) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.shape != (count,):
        raise DataError(f"{name} must have shape ({count},), one for each image; found {array.shape}.", code="length")
    return array


def _labels(given: npt.NDArray[Any], classes: Sequence[str] | None) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    if given.dtype.kind in "iu":
        if classes is None:
            raise DataError("Labels that are numbers need classes=, the names in their order.", code="classes-missing")
        wrong = given[(given < 0) | (given >= len(classes))]
        if len(wrong):
            raise DataError(f"Labels must be 0..{len(classes) - 1}; found {wrong[0]}.", code="label-range")
        return given.astype(np.int64), tuple(classes)
    if given.dtype.kind not in "UO" or not all(isinstance(each, str) for each in given.tolist()):
        raise DataError(f"Labels must be whole numbers or class names; found {given.dtype}.", code="label-type")
    found = given.tolist()
    if classes is None:
        found = [canonical_class(name) for name in found]
        classes = order_classes(set(found))
    index_of = {name: index for index, name in enumerate(classes)}
    unknown = next((name for name in found if name not in index_of), None)
    if unknown is not None:
        raise DataError(f"'{unknown}' is not among the classes." + nearest(unknown, classes), code="label-unknown")
    return np.array([index_of[name] for name in found], dtype=np.int64), tuple(classes)


def _splits(given: npt.NDArray[Any]) -> npt.NDArray[np.str_]:
    meant = {str(name): canonical_split(str(name)) for name in set(given.tolist())}
    for name, split in meant.items():
        if split is None:
            raise DataError(f"'{name}' is not a split. Expected train, validation or test.", code="split-unknown")
    return np.array([meant[str(name)] for name in given.tolist()], dtype="<U10")
