"""clean.toml: rows of a data set to drop or relabel, each with a reason.

``mien audit`` writes the file and a person reviews it. Other commands apply it with ``--clean``. The file identifies
its data by fingerprint. The data itself is never changed.

A model's predictions must not change the data that models are measured on. Rows of validation and test are therefore
never relabelled, and dropped only if images and labels prove the fault.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field, StrictInt, ValidationError

from mien.base.errors import DataError, fault_text, nearest
from mien.base.files import expand_home, refuse_pointer, write_text
from mien.base.spec_file import dump_toml, parse_toml
from mien.data.dataset import Dataset
from mien.data.splits import group_identical
from mien.version import __version__

Kind = Literal["blank", "no-face", "conflict", "leak", "copy", "doubt"]
"""Kinds of reasons. ``doubt``: a model contradicts the label. Changes that you add by hand need one of these kinds."""

PROVABLE_KINDS = ("blank", "conflict")
"""Kinds that the data itself proves; only these may drop rows of validation and test."""

BLANK_BELOW = 1.0
"""An image is blank if the standard deviation of its pixels is below this, in grey levels."""

_HEAD = """\
# Samples that could be dropped or relabelled, found by mien {version}: one sample per line. The data is not changed.
# Review it: delete the lines that you disagree with, then give the file to any command except audit as --clean {name}.
# Samples of validation and test can only be dropped, and only if they are blank or identical with different labels.
"""


class Change(BaseModel, extra="forbid", frozen=True):
    """A change of a row: ``to`` is the new class, or None to drop it; ``split`` and ``label`` its current values."""

    row: Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)]
    split: Literal["train", "validation", "test"]
    label: str
    to: str | None = None
    kind: Kind
    reason: str
    source: str


class _Drop(Change, extra="forbid", frozen=True):
    to: None = None


class _Relabel(Change, extra="forbid", frozen=True):
    to: str


class _File(BaseModel, extra="forbid", frozen=True):
    version: Literal[1]
    data_fingerprint: str
    drop: tuple[_Drop, ...] = ()
    relabel: tuple[_Relabel, ...] = ()


@dataclass(frozen=True)
class Clean:
    """A reviewed list of changes for the data with this fingerprint; DataError: two of one row, or an unproven one."""

    data_fingerprint: str
    changes: tuple[Change, ...]

    def __post_init__(self) -> None:
        seen: set[int] = set()
        for change in self.changes:
            where = f"row {change.row} of the list of changes"
            if change.row in seen:
                raise DataError(f"{where} is listed twice. Keep one of the two lines.", code="clean")
            seen.add(change.row)
            if change.split != "train" and (change.to is not None or change.kind not in PROVABLE_KINDS):
                kinds = " or ".join(PROVABLE_KINDS)
                words = f"{where}: in {change.split} rows are only dropped, as {kinds}; found '{change.kind}'."
                raise DataError(words, code="clean-unproved")


def write_clean(path: str | os.PathLike[str], clean: Clean) -> None:
    """Write the list as TOML, whole or not at all. Raises :class:`mien.base.errors.RunError`."""
    about = dump_toml({"version": 1, "data_fingerprint": clean.data_fingerprint}).strip()
    lines = [_HEAD.format(version=__version__, name=Path(path).name), about]
    for name, wanted in (("drop", False), ("relabel", True)):
        chosen = [each for each in clean.changes if (each.to is not None) == wanted]
        rows = (dump_toml(each.model_dump(exclude_none=True)).strip().replace("\n", ", ") for each in chosen)
        lines += ["", f"{name} = [", *(f"    {{{row}}}," for row in rows), "]"]
    write_text(path, "\n".join(lines) + "\n")


def read_clean(path: str | os.PathLike[str]) -> Clean:
    """Read a list of changes; DataError: missing, not TOML, an unknown key or kind, or refused by :class:`Clean`."""
    refuse_pointer(path, DataError)
    try:
        file = _File.model_validate(parse_toml(expand_home(path).read_text(encoding="utf-8-sig")))
        return Clean(file.data_fingerprint, tuple(Change(**each.model_dump()) for each in (*file.drop, *file.relabel)))
    except ValidationError as error:
        raise DataError(f"{path} is not a clean.toml: it {fault_text(error.errors()[0])}.", code="clean") from None
    except DataError as error:
        raise DataError(f"{path}: {error}", code=error.code) from None
    except (OSError, ValueError) as error:  # ValueError: no text, no TOML, or a number of too many digits
        words = f"{path} is not a clean.toml that mien audit PATH writes: {getattr(error, 'strerror', None) or error}."
        raise DataError(words, code="clean") from None


def apply_clean(dataset: Dataset, clean: Clean, reference: Dataset | None = None) -> Dataset:
    """Drop and relabel faces as listed.

    The new fingerprint is computed from the data's fingerprint and the changes, so it is the same for every image size.
    ``reference`` are the faces at :data:`mien.data.dataset.FINGERPRINT_PX`, which must prove changes of validation and
    test; None uses ``dataset``.

    Raises DataError: the list was made for other data; the data lacks a row, class or label of it; a row of validation
    or test is dropped for a reason that the data does not prove; or no face is left.
    """
    if clean.data_fingerprint != dataset.fingerprint:
        prints = f"{clean.data_fingerprint[:19]}..., found {dataset.fingerprint[:19]}..."
        raise DataError(f"made for data {prints}. Give the --map of the audit, or repeat it.", code="data-differs")
    position = {row: at for at, row in enumerate(dataset.rows.tolist())}
    labels, kept = dataset.labels.copy(), np.ones(len(dataset), dtype=np.bool_)
    classes = dataset.classes
    for change in clean.changes:
        place = position.get(change.row)
        found = None if place is None else (str(dataset.split[place]), classes[dataset.labels[place]])
        if place is None or found != (change.split, change.label):
            own = f"{found[1]} of {found[0]}" if found else "no such row"
            words = f"The changes say row {change.row} is {change.label} of {change.split}; the data has {own}."
            raise DataError(words, code="data-differs")
        if change.to is None:
            kept[place] = False
        elif change.to not in classes:
            words = f"Row {change.row} is relabelled '{change.to}', not a class.{nearest(change.to, classes)}"
            raise DataError(words, code="clean")
        else:
            labels[place] = classes.index(change.to)
    if not kept.any():
        raise DataError("The list of changes drops every row.", code="clean")
    _prove(dataset if reference is None else reference, [(each, position[each.row]) for each in clean.changes])
    before = (*dataset.cleaned_from, dataset.fingerprint, dataset.fingerprint_without_test)
    cleaned = replace(dataset, labels=labels, cleaned_from=before).subset(kept)
    trained_on = [each for each in clean.changes if each.split != "test"]
    return cleaned.with_fingerprints(
        _fingerprint(dataset.fingerprint, clean.changes), _fingerprint(dataset.fingerprint_without_test, trained_on)
    )


def _fingerprint(before: str, changes: Sequence[Change]) -> str:
    if not changes:
        return before
    digest = hashlib.sha256(before.encode())
    for change in sorted(changes, key=lambda each: each.row):
        digest.update(f"\n{change.row} {change.to or ''}".encode())
    return f"sha256:{digest.hexdigest()}"


def _prove(dataset: Dataset, changes: Sequence[tuple[Change, int]]) -> None:
    """Check that images and labels prove the changes of validation and test rows, given as (change, index)."""
    groups = None
    for change, place in changes:
        if change.split == "train":
            continue
        if change.kind == "blank":
            is_true = float(np.asarray(dataset.images[place]).std(dtype=np.float64)) < BLANK_BELOW
        else:
            groups = group_identical(np.asarray(dataset.images)) if groups is None else groups
            is_true = bool((dataset.labels[groups == groups[place]] != dataset.labels[place]).any())
        if not is_true:
            found = "it is not blank" if change.kind == "blank" else "no identical image has another label"
            words = f"row {change.row} of {change.split} is dropped as '{change.kind}', but {found}. Delete the line."
            raise DataError(words, code="clean-unproved")
