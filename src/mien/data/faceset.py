"""FaceSet: one table of faces in memory, made by every reader and taken by every later step."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError, nearest
from mien.labels import LabelScheme

SPLITS = ("train", "validation", "test")
"""FER2013's Training, PublicTest and PrivateTest are ``train``, ``validation`` and ``test``."""

FINGERPRINT_PX = 48
"""Whatever size faces are read at, their fingerprint is that of squares of this side: models of every size then know
the same data again."""


@dataclass(frozen=True, repr=False)
class FaceSet:
    """Faces with their labels.

    Attributes:
        images: uint8, (N, H, W) grey or (N, H, W, 3) RGB, 0..255. May be a read-only memory map.
        labels: int64 (N,), each the index of a name in ``classes``.
        classes: class names, in the order of the labels.
        split: str (N,), each one of :data:`SPLITS`.
        source: str (N,), where each face came from: a file, or a file and a row.
        rows: int64 (N,), a number that names the face within its data, kept by every subset. For Kaggle's CSV
            and the parquet with a ``row`` column it is the image's row in ``fer2013.csv``; otherwise the
            position in which the face was read.
        columns: anything else the data says about each face, arrays with N entries, e.g. ``ferplus_votes``
            int64 (N, 10).
        cleaned_from: both fingerprints of the data that a list of changes was applied to, that of all faces and that
            without test; none where none was.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    split: npt.NDArray[np.str_]
    source: npt.NDArray[np.str_]
    rows: npt.NDArray[np.int64]
    columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    cleaned_from: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.images)
        if self.images.dtype != np.uint8 or self.images.ndim not in {3, 4}:
            raise DataError(f"Images must be uint8 (N, H, W[, 3]); found {self.images.dtype} {self.images.shape}.")
        named = {"labels": self.labels, "split": self.split, "source": self.source, "rows": self.rows}
        for name, values in (*named.items(), *self.columns.items()):
            if len(values) != count:
                raise DataError(f"{count} images but {len(values)} entries in '{name}'.")
        if count and not (int(self.labels.min()) >= 0 and int(self.labels.max()) < len(self.classes)):
            raise DataError(f"Labels must be 0..{len(self.classes) - 1} for the classes {', '.join(self.classes)}.")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} {(self.split == name).sum():,}" for name in SPLITS if (self.split == name).any())
        shape = " x ".join(str(side) for side in self.images.shape[1:])
        return f"<FaceSet: {len(self):,} faces of {shape}, classes {', '.join(self.classes)}; {splits or 'no split'}>"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over pixels, labels, classes and splits, as ``"sha256:..."``: the same content, the same print.

        Of faces that were read from data it is that of the data at :data:`FINGERPRINT_PX`, of all others that of their
        own pixels.
        """
        return self._own_fingerprint()

    @cached_property
    def fingerprint_without_test(self) -> str:
        """The fingerprint of the faces that learning and choosing see: all but the test split.

        FER2013 is the same to a model with PrivateTest and without. Where all are of the test split, or none is, it is
        :attr:`fingerprint`.
        """
        learnt = self.split != "test"
        return self.subset(learnt)._own_fingerprint() if learnt.any() and not learnt.all() else self.fingerprint

    def fingerprint_for_scores(self, split: str) -> str:
        """The fingerprint that scores of a split go by, which are matched by their rows.

        :attr:`fingerprint_without_test`; but :attr:`fingerprint` for test, and where rows are positions that would be
        others without test, as in class folders.
        """
        rows = self.rows[self.split != "test"]
        shifted = np.array_equal(self.rows, np.arange(len(self))) and not np.array_equal(rows, np.arange(len(rows)))
        return self.fingerprint if split == "test" or shifted else self.fingerprint_without_test

    def with_fingerprints(self, fingerprint: str, without_test: str) -> FaceSet:
        """The same faces under fingerprints that are known already, or that are of the same faces at another size."""
        same = replace(self)
        # Where functools.cached_property keeps its value; hashing 80 MB again would take longer than opening them.
        vars(same).update(fingerprint=fingerprint, fingerprint_without_test=without_test)
        return same

    def is_of(self, fingerprint: str) -> bool:
        """Whether a fingerprint is of these faces: theirs, or that of their own pixels, which older files hold."""
        return fingerprint == self.fingerprint or fingerprint == self._own_fingerprint()

    def is_learnt_as(self, fingerprint: str) -> bool:
        """Whether a fingerprint is of faces that are the same to a model: of these, or of these without test."""
        return fingerprint == self.fingerprint_without_test or self.is_of(fingerprint)

    @property
    def provenance(self) -> dict[str, Any]:
        """What a run and its model remember of the data that they learnt from, JSON-ready. Test has no part in it."""
        own = self.fingerprint_without_test
        return {"data_fingerprint": own, "cleaned_from": [each for each in self.cleaned_from[1::2] if each != own]}

    def _own_fingerprint(self) -> str:
        digest = hashlib.sha256()
        digest.update(repr((self.images.shape, self.classes)).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").data)
        digest.update("\n".join(self.split.tolist()).encode())
        return f"sha256:{digest.hexdigest()}"

    def places(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where faces of these row numbers stand, int64 (K,), in their order; each must be here."""
        order = np.argsort(self.rows, kind="stable")
        return np.asarray(order[np.searchsorted(self.rows[order], rows)], dtype=np.int64)

    def subset(self, chosen: npt.NDArray[Any]) -> FaceSet:
        """The faces that ``chosen`` (bool (N,) or indices) picks, in that order."""
        return replace(
            self,
            images=self.images[chosen],
            labels=self.labels[chosen],
            split=self.split[chosen],
            source=self.source[chosen],
            rows=self.rows[chosen],
            columns={name: values[chosen] for name, values in self.columns.items()},
        )

    def of_split(self, split: str) -> FaceSet:
        """The faces of one split.

        Raises:
            DataError: ``split`` is not a split, or this data has no face in it.
        """
        if split not in SPLITS:
            raise DataError(f"There is no split '{split}'." + nearest(split, SPLITS))
        chosen = self.split == split
        if not chosen.any():
            present = [name for name in SPLITS if (self.split == name).any()]
            raise DataError(f"The data has no '{split}' split; it has: {', '.join(present) or 'no faces'}.")
        return self.subset(chosen)

    def with_scheme(self, scheme: LabelScheme | None) -> FaceSet:
        """The faces under another label scheme; faces of dropped classes are left out. None changes nothing.

        Raises:
            DataError: the scheme names a class that this data does not have, or leaves no face.
        """
        if scheme is None:
            return self
        merged = scheme.merge_labels(self.labels, self.classes)
        if len(self) and not (merged >= 0).any():
            splits = ", ".join(split for split in SPLITS if (self.split == split).any())
            raise DataError(
                f"The label scheme '{scheme.name}' leaves no face in: {splits}. Choose classes that these faces have."
            )
        kept = self.subset(merged >= 0)
        return replace(kept, labels=merged[merged >= 0], classes=scheme.classes)

    def with_classes(self, classes: tuple[str, ...]) -> FaceSet:
        """The same faces, with labels that count in another order of classes, of which there may be more.

        Raises:
            DataError: a class of this data is not among ``classes``.
        """
        if classes == self.classes:
            return self
        missing = [name for name in self.classes if name not in classes]
        if missing:
            raise DataError(f"The class '{missing[0]}' is not among: {', '.join(classes)}.")
        index = np.array([classes.index(name) for name in self.classes], dtype=np.int64)
        return replace(self, labels=index[self.labels], classes=classes)

    def counts(self, split: str | None = None) -> npt.NDArray[np.int64]:
        """Number of faces of each class, int64 (C,), in all the data or in one split."""
        labels = self.labels if split is None else self.labels[self.split == split]
        return np.bincount(labels, minlength=len(self.classes)).astype(np.int64)

    def counts_by_split(self) -> dict[str, list[int]]:
        """Number of faces of each class in each split that has any."""
        return {split: self.counts(split).tolist() for split in SPLITS if (self.split == split).any()}
