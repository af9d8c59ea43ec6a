"""Labelled images as a reader finds them, and the one function that makes a data set of them."""

import os
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.arrays import Array, Texts, is_missing
from mien.base.errors import DataError, Notice
from mien.base.labels import order_classes
from mien.data.class_names import index_classes, name_classes, split_of
from mien.data.csv_file import normalize_header
from mien.data.dataset import SPLITS, Dataset
from mien.data.image_store import FINGERPRINT_PX, Content, check_form, decode_images, only_grey
from mien.data.splits import OFFICIAL_ORIGIN, group_column, group_identical, is_official, settle_splits
from mien.data.votes import gather_votes, rating_notices, vote_columns

LABEL_HEADERS = ("label", "emotion", "class", "expression")
SPLIT_HEADERS = ("split", "usage", "set")
MANY_REPEATED = 0.5
"""From this share of the rows on, equal images with different labels are taken for votes. FER2013 has a twentieth."""

OWN_HEADERS = ("image", "label", "split", "row", "source")
"""Columns of mien's own parquet files. The user's columns with these names get an underscore."""


@dataclass(frozen=True)
class ReadOptions:
    """How to read data; the fields are the arguments of :func:`mien.load_dataset`.

    Raises:
        DataError: an argument of a wrong type or range.
    """

    size_px: int = 48
    channels: int = 1
    class_map: Mapping[str, str] = field(default_factory=dict)
    skip_bad: bool = False
    group: str | None = None
    votes: str | os.PathLike[str] | None = None
    clean: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        check_form(self.size_px, self.channels)
        names: object = self.class_map
        if not (isinstance(names, Mapping) and all(isinstance(each, str) for pair in names.items() for each in pair)):
            raise DataError(f"class_map must be a dict of names; found {names!r:.80}.", code="label-scheme")


@dataclass(frozen=True)
class Table:
    """N labelled images as they are in the data, before classes are named and splits are cut.

    Attributes:
        path: file or folder that was read.
        locations: names of the rows in messages.
        images: contents of the images, opened one after the other.
        labels: classes as written: text, or numbers.
        splits: splits as written; ``""`` where the data has none.
        source: origin of each image.
        columns: further columns, N entries each. A column ``row`` of different whole numbers identifies the faces.
        label_column: name of the column of labels; ``""`` for folders.
        split_origin: text that says where the splits are written.
        numbered: True if labels are numbers of FER2013, also where they are text.
        classes: class names in their order, to be used unchanged; () to name them by the labels.
        group_column: see :class:`mien.data.dataset.Dataset`.
        complete: True if mien wrote this data, so its splits are final even if one is missing.
        notes: notices for the user.
        skipped: rows that were left out, as (name, reason).
    """

    path: Path
    locations: Sequence[str]
    images: Iterable[Content]
    labels: Sequence[str | float]
    splits: Sequence[str]
    source: Sequence[str]
    columns: dict[str, Array]
    label_column: str = ""
    split_origin: str = ""
    numbered: bool = False
    classes: tuple[str, ...] = ()
    group_column: str = ""
    complete: bool = False
    notes: tuple[Notice, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ReadResult:
    """Faces, and how they were read.

    Attributes:
        faces: faces with read-only ``images``.
        shape: kind of source, e.g. ``"Kaggle CSV"``.
        split_origin: text that says how the splits were formed.
        skipped: corrupted images that ``skip_bad`` left out, as (source, reason).
        notes: further notices for the user.
        cached: True if the faces came from the cache.
        uncleaned: faces before a list of changes was applied; None if there was no list.
    """

    faces: Dataset
    shape: str
    split_origin: str
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[Notice, ...]
    cached: bool
    uncleaned: Dataset | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content, independent of ``size_px``; already known for cached faces."""
        return self.faces.fingerprint


def free_name(name: str) -> str:
    """Return ``name`` with an underscore added if mien's own parquet columns use it."""
    return f"{name}_" if normalize_header(name) in OWN_HEADERS else name


def join_tables(tables: Sequence[Table], path: Path) -> Table:
    """Join tables of one shape. Columns that one of them lacks go. Raises :class:`DataError` if they are votes."""
    first = tables[0]
    columns = {}
    names = list(dict.fromkeys(name for table in tables for name in table.columns))
    for name in names:
        parts = [table.columns[name] for table in tables if name in table.columns]
        if len(parts) == len(tables) and len({(part.shape[1:], part.dtype.kind == "U") for part in parts}) == 1:
            columns[name] = np.concatenate(parts)
        elif name in vote_columns(names):
            raise DataError(f"'{name}' is missing or of another type in some of the files.", code="votes")

    def joined(name: str) -> list[Any]:
        return [each for table in tables for each in getattr(table, name)]

    return replace(
        first,
        path=path,
        images=chain.from_iterable(table.images for table in tables),
        columns=columns,
        locations=joined("locations"),
        labels=joined("labels"),
        splits=joined("splits"),
        source=joined("source"),
        split_origin=min(table.split_origin for table in tables),
        notes=tuple(joined("notes")),
        skipped=tuple(joined("skipped")),
    )


def make_dataset(table: Table, options: ReadOptions, shape: str) -> ReadResult:
    """Name the classes, settle the splits, gather votes, groups and ratings, and decode the images of a table.

    Raises DataError: unknown labels or splits, fewer than two classes, an image that cannot be decoded, only grey
    images where colour is asked for.
    """
    words = {word: split_of(word, place) for word, place in zip(table.splits, table.locations, strict=True)}
    official = is_official(words)
    names, notes = _class_names(table, options, foreign=any(words.values()) and not official)
    columns, votes, vote_classes = gather_votes(dict(table.columns), table.locations)
    rows = np.arange(len(names))
    if (own := columns.pop("row", None)) is not None:
        if own.dtype.kind == "i" and len(np.unique(own)) == len(own):
            rows = own.astype(np.int64)
        else:
            columns["row_"] = own
    items, reading = zip(table.locations, table.images, strict=True), f"reading {table.path.name}"
    # Size and channels of each image's squares: as requested, then as for the fingerprint.
    forms = list(dict.fromkeys([(options.size_px, options.channels), (FINGERPRINT_PX, 1)]))
    images, kept, bad = decode_images(items, len(names), forms, reading, skip_bad=options.skip_bad)
    if options.channels == 3 and len(kept):
        coloured = sum(bool((image[..., :1] != image[..., 1:]).any()) for image in images[0])
        if not coloured:
            raise only_grey()
        if coloured < len(kept):
            said = f"{len(kept) - coloured:,} of {len(kept):,} images are grey. A model may learn their source."
            notes.append(Notice(said, code="images-mixed"))
    shown = [names[index] for index in kept.tolist()]
    classes = table.classes or order_classes(set(shown))
    labels = index_classes(shown, classes)
    if len(kept) and not any(each.code == "images-repeated" for each in table.notes):
        notes += repeat_notice(group_identical(images[-1]).tolist(), labels.tolist(), MANY_REPEATED)
    split = np.array([words[word] for word in table.splits], dtype="<U10")[kept]
    source = np.array(table.source, dtype=np.str_)[kept]
    _check_classes_and_splits(
        table.path, [classes[index] for index in np.unique(labels)], source[split == ""], len(kept)
    )
    columns = {name: values[kept] for name, values in columns.items()}
    grouped = table.group_column if table.group_column in columns else ""
    if options.group is not None:
        grouped, columns = group_column(options.group, columns, source)
    origin = OFFICIAL_ORIGIN if official else table.split_origin
    if not table.complete:
        groups = columns[grouped] if grouped else None
        split, origin = settle_splits(split, origin, images[-1], labels, groups=groups, classes=classes)
    faces = Dataset(
        images=images[0],
        labels=labels,
        classes=classes,
        split=split,
        source=source,
        rows=rows[kept],
        columns=columns,
        votes=None if votes is None else votes[kept],
        vote_classes=vote_classes,
        group_column=grouped,
    )
    if len(images) > 1:
        at_fingerprint = replace(faces, images=images[-1])
        faces = faces.with_fingerprints(at_fingerprint.fingerprint, at_fingerprint.fingerprint_without_test)
    # Read-only as from the cache, so that code that writes to the images fails in the first run already.
    faces.images.setflags(write=False)
    found = (*table.notes, *notes, *rating_notices(faces), *_crossing(faces))
    return ReadResult(faces, shape, origin, (*table.skipped, *bad), found, cached=False)


def repeat_notice(images: Sequence[Hashable], labels: Sequence[object], share: float = 0.0) -> list[Notice]:
    """Return a notice about images in several rows, if more than this share of the rows are theirs, as votes are."""
    found: dict[Hashable, list[object]] = {}
    for image, label in zip(images, labels, strict=True):
        found.setdefault(image, []).append(label)
    again = [labels for labels in found.values() if len(labels) > 1]
    differ = sum(len(set(labels)) > 1 for labels in again)
    if sum(map(len, again)) <= share * len(labels) or (share and not differ):
        return []
    words = f"{len(again):,} images are in several rows, {differ:,} with different labels. If these are votes, "
    return [Notice(f"{words}write one row for each image, with columns votes_CLASS.", code="images-repeated")]


def _class_names(table: Table, options: ReadOptions, *, foreign: bool) -> tuple[list[str], list[Notice]]:
    """Return the class of each row, and notices. Numbers in data with splits of its own (``foreign``) need names."""
    if table.classes:
        return [str(label) for label in table.labels], []
    first_at = dict[str | float, str]()
    for label, place in zip(table.labels, table.locations, strict=True):
        # A class may be called "none", and a folder by any name.
        if table.label_column and is_missing(label) and str(label).strip().casefold() != "none":
            raise DataError(f"{place}: the label is missing. Give every row one.", code="labels")
        first_at.setdefault(label, place)
    numbered = table.numbered
    names, notes = name_classes(
        first_at, options.class_map, table.path.name, table.label_column, numbered=numbered,
        foreign=foreign and not numbered,
    )  # fmt: skip
    return [names[label] for label in table.labels], notes


def _check_classes_and_splits(path: Path, present: Sequence[str], unsaid: Texts, count: int) -> None:
    """Check the classes that have a face, and the origin of faces without a split (``unsaid``), of ``count``."""
    if len(present) < 2:
        found = f"only '{present[0]}'" if present else "none"
        example = f" Expected folders such as {path.name}/happy/face.png." if path.is_dir() else ""
        raise DataError(f"{path} must have at least two classes; found {found}.{example}", code="too-few-classes")
    if 0 < len(unsaid) < count:
        raise DataError(f"{unsaid[0]} has no split. Give every row a split, or none.", code="split-unknown")


def _crossing(faces: Dataset) -> Iterator[Notice]:
    """Return a notice about groups that the data's own splits divide."""
    if (groups := faces.groups) is None:
        return
    apart = int((np.bincount(np.concatenate([np.unique(groups[faces.split == name]) for name in SPLITS])) > 1).sum())
    if apart:
        words = f"{apart:,} of {int(groups.max()) + 1:,} groups of '{faces.group_column}' have faces in more than one "
        yield Notice(f"{words}split. The splits of the data are kept.", code="groups-cross-splits")
