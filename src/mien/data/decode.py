"""Decode many images into one array, the same way for every reader."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, Notice
from mien.base.images import open_image
from mien.base.preprocess import face_shape, face_square
from mien.base.processes import available_cores, ordered_map
from mien.base.progress import track
from mien.data.dataset import Dataset, FaceTable
from mien.data.face_table import ReadOptions, index_classes, only_grey
from mien.data.image_store import new_images

Content = str | os.PathLike[str] | bytes | npt.NDArray[np.uint8]
"""A path, the bytes of an image file, or pixels."""
Item = tuple[str, Content]
"""A name for messages, and the content of the image."""

_BLOCK = 16


def read_images(
    items: Iterable[Item], names: Sequence[str], options: ReadOptions, what: str, *, split: Sequence[str],
    split_origin: str, source: Sequence[str], columns: Mapping[str, npt.NDArray[Any]],
    rows: npt.NDArray[np.int64] | None = None, votes: npt.NDArray[Any] | None = None,
    vote_classes: tuple[str, ...] = (), group_column: str = "", notes: Sequence[Notice] = (),
    skipped: Sequence[tuple[str, str]] = (), complete: bool = False,
) -> FaceTable:  # fmt: skip
    """Decode N images of known classes to squares, in order, on all cores, and return their table.

    ``names`` are the classes, and ``split`` is ``""`` if the data has none. All other arguments are fields of
    :class:`FaceTable` and :class:`Dataset`, with N entries. Large data goes into a mapped file. With ``skip_bad``,
    images that cannot be decoded are listed and left out.

    Raises DataError: an image cannot be decoded (the message names it), or all images are grey but colour is asked for
    (``data-grey``).
    """
    images = [new_images(len(names), face_shape(*form)) for form in options.forms]
    places: list[int] = []
    bad = list(skipped)
    coloured = 0
    remaining = iter(items)
    blocks: Iterator[list[Item]] = iter(lambda: list(islice(remaining, _BLOCK)), [])
    # Pillow releases Python's lock while it decodes and resizes.
    opened = ordered_map(lambda block: [_open(item, options) for item in block], blocks, available_cores())
    done = track(chain.from_iterable(opened), len(names), what, "images")
    for index, (name, squares) in enumerate(done):
        if isinstance(squares, DataError):
            if not options.skip_bad:
                raise squares
            bad.append((name, str(squares)))
            continue
        for stored, square in zip(images, squares, strict=True):
            stored[len(places)] = square
        places.append(index)
        coloured += options.channels == 1 or bool((squares[0][..., :1] != squares[0][..., 1:]).any())
    if places and not coloured:
        raise only_grey()
    images = [stored[: len(places)] for stored in images]
    kept = np.array(places, dtype=np.int64)
    labels, classes = index_classes([names[index] for index in places])
    faces = Dataset(
        images=images[0],
        labels=labels,
        classes=classes,
        split=np.array(split, dtype="<U10")[kept],
        source=np.array(source)[kept],
        rows=kept if rows is None else rows[kept],
        columns={name: values[kept] for name, values in columns.items()},
        votes=None if votes is None else votes[kept],
        vote_classes=vote_classes,
        group_column=group_column,
    )
    if colourless := len(places) - coloured:
        words = f"{colourless:,} of {len(places):,} images are grey. A model may learn their source from this."
        notes = [*notes, Notice(words, code="images-mixed")]
    return FaceTable(faces, images[-1], split_origin, bad, notes, complete)


def _open(item: Item, options: ReadOptions) -> tuple[str, list[npt.NDArray[np.uint8]] | DataError]:
    """Return the name of an image, and its squares or an error that names it."""
    name, content = item
    try:
        if isinstance(content, str | os.PathLike) and Path(content).is_fifo():
            raise DataError(f"{name} is a pipe, not a file.", code="image-pipe")
        image = content if isinstance(content, np.ndarray) else open_image(content)
        return name, [face_square(image, *form) for form in options.forms]
    except DataError as error:
        reason = str(error)
        if isinstance(content, bytes):
            reason = reason.replace("the image", name, 1)
        elif name not in reason:
            reason = f"{name}: {reason}"
        advice = "" if options.skip_bad else " Replace it, or leave such images out with --skip-bad."
        return name, DataError(reason + advice, code="image-unreadable")
