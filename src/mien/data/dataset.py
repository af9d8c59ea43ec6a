"""The table of faces that every reader returns and every later step uses."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from mien.base.arrays import Array, Ints, Pixels, Texts, is_missing
from mien.base.errors import DataError, nearest
from mien.base.images import open_image_source
from mien.base.labels import LabelScheme, order_classes
from mien.base.preprocess import face_square
from mien.base.progress import slices
from mien.data.class_names import index_classes, name_classes, split_of
from mien.data.image_store import FINGERPRINT_PX as FINGERPRINT_PX
from mien.data.image_store import check_form, only_grey, take
from mien.data.splits import GROUP_COLUMN, check_groups, settle_splits

SPLITS = ("train", "validation", "test")
"""FER2013's Training, PublicTest and PrivateTest are ``train``, ``validation`` and ``test``."""
ALL = "all"
"""Name that stands for all faces where a split is expected."""


class Sample(NamedTuple):
    """One face of a :class:`Dataset`: uint8 image, class name, split, origin, and the number that identifies it."""

    image: Pixels
    label: str
    split: str
    source: str
    sample_id: int


@dataclass(frozen=True, repr=False)
class Dataset:
    """Faces with labels, splits and further columns.

    Attributes:
        images: uint8, (N, H, W) grey or (N, H, W, 3) RGB, 0..255. The array may be a read-only memory map.
        labels: int64 (N,), each the index of a name in ``classes``.
        classes: class names, in the order of the labels.
        split: str (N,), each one of :data:`SPLITS`.
        source: str (N,), origin of each face: a file, or a file and a row.
        rows: int64 (N,), a number that identifies each face in its data and stays in subsets. For Kaggle's CSV and a
            parquet file with a ``row`` column, it is the row in ``fer2013.csv``; otherwise the order of reading.
        columns: further columns of the data, arrays with N entries.
        group_column: column whose equal values form a group, such as a person; ``""`` without groups. Splits, folds and
            bootstrap resamples keep groups together.
        votes: int64 or float64 (N, V), number of annotators who chose each of ``vote_classes``; all 0 for a face
            without votes. None if the data has no votes.
        vote_classes: names of the V classes that annotators could choose; () without votes.
        cleaned_from: the two fingerprints (all faces; without test) of the data before a list of changes was applied;
            empty if none was.
    """

    images: Pixels
    labels: Ints
    classes: tuple[str, ...]
    split: Texts
    source: Texts
    rows: Ints
    columns: Mapping[str, Array] = field(default_factory=dict)
    cleaned_from: tuple[str, ...] = ()
    votes: Array | None = None
    vote_classes: tuple[str, ...] = ()
    group_column: str = ""

    @classmethod
    def from_arrays(
        cls, images: Pixels | Sequence[Pixels], labels: npt.ArrayLike,
        classes: Sequence[str] | None = None, split: Sequence[str] | Texts | None = None,
        size_px: int = 48, sample_ids: npt.ArrayLike | None = None, groups: npt.ArrayLike | None = None,
        channels: int = 1,
    ) -> "Dataset":  # fmt: skip
        """Create a data set from face crops in memory.

        Args:
            images: uint8 (N, H, W) grey or (N, H, W, 3) RGB, 0..255; or a list of N images of various sizes,
                as arrays or of Pillow.
            labels: (N,) class names, or integers that index ``classes``.
            classes: two or more class names in the order of the labels; required for integer labels. None uses the
                names in ``labels``, known expressions first.
            split: (N,) train, validation or test. None cuts a validation split from all faces, without a test split.
            size_px: side of the stored squares, 8..1024 px.
            sample_ids: int (N,), unique ids that match samples with predictions. None: 0..N-1.
            groups: (N,) text or whole numbers. A group, such as a person, stays in one split. None: near-copies.
            channels: 1 stores grey squares, 3 RGB squares; RGB needs all images in colour.

        Raises:
            DataError: wrong shapes, types or lengths; unknown labels or splits; repeated ids; a group that holds every
                face of a class, if a validation split is cut.
        """
        check_form(size_px, channels)
        if not hasattr(images, "__len__"):
            raise DataError(f"images must be an array or a list; found {type(images).__name__}.", code="image-type")
        count = len(images)
        if not count:
            raise DataError("A data set needs images; found none.", code="data-empty")
        squares = np.stack([_square(image, index, (size_px, channels)) for index, image in enumerate(images)])
        indices, names = _labels(_of_length(labels, count, "labels"), classes)
        if len(names) < 2 or len(set(names)) < len(names):
            words = f"A data set needs two classes or more, each named once; found: {', '.join(names)}."
            raise DataError(words, code="too-few-classes")
        given = [""] * count if split is None else _of_length(split, count, "split").tolist()
        splits = np.array([split_of(str(word), f"split[{at}]") for at, word in enumerate(given)], dtype="<U10")
        if split is not None and (splits == "").any():
            unsaid = int(np.argmax(splits == ""))
            raise DataError(f"split[{unsaid}] is missing. Give every image a split, or none.", code="split-unknown")
        ids = np.arange(count) if sample_ids is None else _of_length(sample_ids, count, "sample_ids")
        if ids.dtype.kind not in "iu" or len(np.unique(ids)) < count or (ids > np.iinfo(np.int64).max).any():
            raise DataError("sample_ids must be whole numbers, each used once.", code="sample-ids")
        column = None if groups is None else check_groups(groups, count)
        settled, _ = settle_splits(splits, "as given", squares, indices, groups=column, classes=names)
        return cls(
            images=squares,
            labels=indices,
            classes=names,
            split=settled,
            source=np.array([f"images[{index}]" for index in range(count)], dtype=np.str_),
            rows=ids.astype(np.int64),
            columns={} if column is None else {GROUP_COLUMN: column},
            group_column="" if column is None else GROUP_COLUMN,
        )

    def __post_init__(self) -> None:
        count = len(self.images)
        named = {"labels": self.labels, "split": self.split, "source": self.source, "rows": self.rows}
        for name, values in (*named.items(), *self.columns.items()):
            if len(values) != count:
                raise DataError(f"{count} images but {len(values)} entries in '{name}'.", code="length")
        if "" in self.classes:
            found = ", ".join(self.source[self.labels == self.classes.index("")][:3]) or "none"
            raise DataError(f"A class has an empty name. Give its samples a label: {found}.", code="labels")
        if self.votes is not None:
            _check_votes(self)

    @property
    def groups(self) -> Ints | None:
        """Number of each sample's group, int64 (N,), 0..G-1 in the order of the sorted values; None without groups."""
        if not self.group_column:
            return None
        return np.asarray(np.unique(self.columns[self.group_column], return_inverse=True)[1], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} {sum(counts):,}" for name, counts in self.counts_by_split().items())
        shape = " x ".join(str(side) for side in self.images.shape[1:])
        return f"<Dataset: {len(self):,} faces of {shape}, classes {', '.join(self.classes)}; {splits or 'no split'}>"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over pixels, labels, classes and splits, as ``"sha256:..."``; equal for equal content.

        For faces that were loaded from data, the pixels are those at :data:`FINGERPRINT_PX`; otherwise their own.
        """
        return self._fingerprint_of(np.arange(len(self)))

    @cached_property
    def fingerprint_without_test(self) -> str:
        """Fingerprint of all faces except the test split, which training and model selection never see.

        FER2013 has the same value with and without PrivateTest. Without one, or without others, the same.
        """
        trained_on = self.split != "test"
        all_or_none = trained_on.all() or not trained_on.any()
        return self.fingerprint if all_or_none else self._fingerprint_of(np.flatnonzero(trained_on))

    def fingerprint_for_predictions(self, split: str) -> str:
        """Return the fingerprint that identifies the data of a split's predictions.

        This is :attr:`fingerprint_without_test`. Two cases use :attr:`fingerprint`: the splits ``test`` and ``all``,
        and data whose ``rows`` would shift without the test split, as in class folders.
        """
        rows = self.rows[self.split != "test"]
        shifted = np.array_equal(self.rows, np.arange(len(self))) and not np.array_equal(rows, np.arange(len(rows)))
        return self.fingerprint if split in {"test", ALL} or shifted else self.fingerprint_without_test

    def with_fingerprints(self, fingerprint: str, without_test: str) -> "Dataset":
        """Return the same faces with given fingerprints, such as those of the faces at another size."""
        same = replace(self)
        # Store the values where functools.cached_property looks for them; hashing 80 MB again would be slow.
        vars(same).update(fingerprint=fingerprint, fingerprint_without_test=without_test)
        return same

    def matches_training_data(self, fingerprint: str) -> bool:
        """Return whether a model was trained on these faces, by its fingerprint; the test split is ignored."""
        return fingerprint == self.fingerprint_without_test

    @property
    def provenance(self) -> dict[str, Any]:
        """Identity of the training data for a run and its model, JSON-ready. The test split is ignored."""
        own = self.fingerprint_without_test
        return {"data_fingerprint": own, "cleaned_from": [each for each in self.cleaned_from[1::2] if each != own]}

    def _fingerprint_of(self, chosen: Ints) -> str:
        """Compute the fingerprint of the faces at ``chosen``; a memory-mapped file is hashed without copying it."""
        digest = hashlib.sha256()
        digest.update(repr(((len(chosen), *self.images.shape[1:]), self.classes)).encode())
        for block in slices(len(chosen), 1000):
            digest.update(np.ascontiguousarray(self.images[chosen[block]]).data)
        digest.update(np.ascontiguousarray(self.labels[chosen], dtype="<i8").data)
        digest.update("\n".join(self.split[chosen].tolist()).encode())
        return f"sha256:{digest.hexdigest()}"

    def places(self, rows: Ints) -> Ints:
        """Return the indices of the faces with these row numbers, int64 (K,); each row must exist."""
        order = np.argsort(self.rows, kind="stable")
        return np.asarray(order[np.searchsorted(self.rows[order], rows)], dtype=np.int64)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "Dataset": ...
    def __getitem__(self, index: int | slice) -> "Sample | Dataset":
        """Return one sample; for a slice, a data set of its samples."""
        if isinstance(index, slice):
            return self.subset(np.arange(len(self))[index])
        label = self.classes[self.labels[index]]
        return Sample(self.images[index], label, str(self.split[index]), str(self.source[index]), int(self.rows[index]))

    def subset(self, chosen: Array | Sequence[int] | str) -> "Dataset":
        """Return the faces that ``chosen`` selects: bool (N,), indices in their order, or the name of a split."""
        if isinstance(chosen, str):
            return self.of_split(chosen)
        chosen = np.asarray(chosen)
        arrays = {name: getattr(self, name)[chosen] for name in ("labels", "split", "source", "rows")}
        columns = {name: values[chosen] for name, values in self.columns.items()}
        votes = None if self.votes is None else self.votes[chosen]
        return replace(self, images=take(self.images, chosen), columns=columns, votes=votes, **arrays)

    def votes_on(self, index: int) -> str:
        """Return the votes on a face, most frequent first: ``"fear 6, surprise 4"``; ``""`` without votes."""
        if self.votes is None:
            return ""
        votes = self.votes[index]
        ranked = np.argsort(-votes, kind="stable")
        return ", ".join(f"{self.vote_classes[at]} {votes[at]:.3g}" for at in ranked if votes[at] > 0)

    def of_split(self, split: str) -> "Dataset":
        """Return the faces of one split; ``"all"`` returns all faces.

        Raises:
            DataError: no split has this name (``split-unknown``), or this data has no face in it (``split-missing``).
        """
        if split == ALL:
            return self
        if split not in SPLITS:
            raise DataError(f"There is no split '{split}'." + nearest(split, (*SPLITS, ALL)), code="split-unknown")
        chosen = self.split == split
        if not chosen.any():
            how = f"Name its faces by a folder {split}/, or '{split}' in a column 'split'."
            if split == "validation":
                how = "Part of train becomes it where a class has two different images."
            words = f"The data has no '{split}' split; it has: {', '.join(self.counts_by_split()) or 'none'}. {how}"
            raise DataError(words, code="split-missing")
        return self.subset(chosen)

    def with_scheme(self, scheme: LabelScheme | None) -> "Dataset":
        """Apply a label scheme. Faces of dropped classes are left out. None changes nothing.

        Raises:
            DataError: the scheme names a class that this data does not have, or no face is left.
        """
        if scheme is None:
            return self
        merged = scheme.merge_labels(self.labels, self.classes)
        if len(self) and not (merged >= 0).any():
            words = f"The label scheme '{scheme.name}' leaves no face in: {', '.join(self.counts_by_split())}."
            raise DataError(words, code="label-scheme")
        return replace(self.subset(merged >= 0), labels=merged[merged >= 0], classes=scheme.classes)

    def with_classes(self, classes: tuple[str, ...]) -> "Dataset":
        """Renumber the labels for another order of classes, which may include additional ones.

        Raises:
            DataError: a class of this data is not among ``classes`` (``class-unknown``).
        """
        if classes == self.classes:
            return self
        if unknown := [name for name in self.classes if name not in classes]:
            alike = {name: get_close_matches(name.lower(), classes, 1) for name in unknown}
            such = ", ".join(f"{name} to {close[0]}" for name, close in alike.items() if close)
            words = f"The data has {', '.join(unknown)}, which is not among {', '.join(classes)}. Rename it with --map"
            without = ", or leave it out: --classes seven" if unknown == ["contempt"] else ""
            raise DataError(f"{words}{f', such as {such}' if such else ''}{without}.", code="class-unknown")
        return replace(self, labels=index_classes(self.classes, classes)[self.labels], classes=classes)

    def counts(self, split: str | None = None) -> Ints:
        """Count the faces of each class, int64 (C,), in all the data or in one split."""
        labels = self.labels if split is None else self.labels[self.split == split]
        return np.bincount(labels, minlength=len(self.classes)).astype(np.int64)

    def counts_by_split(self) -> dict[str, list[int]]:
        """Count the faces of each class in each split that has faces."""
        return {split: self.counts(split).tolist() for split in SPLITS if (self.split == split).any()}


def _square(image: Pixels, index: int, size_and_channels: tuple[int, int]) -> Pixels:
    array: Any = image if hasattr(image, "getbands") else np.asarray(image)
    mode = getattr(array, "mode", "")  # of Pillow
    is_grey = mode[0] != "P" and len(array.getbands()) < 3 if mode else array.ndim == 2 or array.shape[2:] == (1,)
    if size_and_channels[1] == 3 and is_grey:
        raise only_grey(f"images[{index}]")
    try:
        return face_square(open_image_source(array), *size_and_channels)
    except DataError as error:
        raise DataError(f"images[{index}]: {error}", code="image-type") from None


def _of_length(values: npt.ArrayLike, count: int, name: str) -> Array:
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(f"{name} holds lists of different lengths.", code="length") from None
    if array.shape != (count,):
        raise DataError(f"{name} must have shape ({count},), one for each image; found {array.shape}.", code="length")
    return array


def _labels(given: Array, classes: Sequence[str] | None) -> tuple[Ints, tuple[str, ...]]:
    if given.dtype.kind in "iu":
        if classes is None:
            raise DataError("Labels that are numbers need classes=, the names in their order.", code="labels")
        wrong = given[(given < 0) | (given >= len(classes))]
        if len(wrong):
            raise DataError(f"Labels must be 0..{len(classes) - 1}; found {wrong[0]}.", code="labels")
        return given.astype(np.int64), tuple(classes)
    if given.dtype.kind not in "UO" or not all(isinstance(each, str) for each in given.tolist()):
        raise DataError(f"Labels must be whole numbers or class names; found {given.dtype}.", code="labels")
    found = given.tolist()
    known = {"none", "None", *(classes or ())}  # a class may be called "none"
    if gaps := [index for index, label in enumerate(found) if is_missing(label) and label not in known]:
        raise DataError(f"labels[{gaps[0]}] is missing, as {len(gaps):,} of {len(found):,} are.", code="labels")
    if classes is None:
        names, notices = name_classes(dict.fromkeys(found, ""), {}, "", apart="classes=, the unchanged names")
        found = [names[name] for name in found]
        classes = order_classes(set(found))
        for each in notices:
            each.warn(stacklevel=4)
    if unknown := [name for name in found if name not in classes]:
        raise DataError(f"'{unknown[0]}' is not among the classes." + nearest(unknown[0], classes), code="labels")
    return index_classes(found, classes), tuple(classes)


def _check_votes(faces: Dataset) -> None:
    votes, classes = np.asarray(faces.votes), faces.vote_classes
    if len(set(classes)) < len(classes):
        raise DataError(f"A class of the votes is named twice: {', '.join(classes)}.", code="votes")
    if votes.dtype.kind not in "iuf" or votes.shape != (len(faces), len(classes)):
        words = f"Votes must be numbers ({len(faces)}, {len(classes)}); found {votes.dtype} {votes.shape}."
        raise DataError(words, code="votes")
    for at in np.flatnonzero(~(np.isfinite(votes) & (votes >= 0)).all(axis=1)):
        words = f"Votes must be 0 or more; those of row {faces.rows[at]} ({faces.source[at]}) are {votes[at]}."
        raise DataError(words, code="votes")
