"""Class folders: folder names are the labels. Split folders may contain them, or lie in each of them."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mien.base.arrays import Array
from mien.base.errors import DataError, Notice
from mien.base.files import plain
from mien.base.images import IMAGE_SUFFIXES, UNREAD_ADVICE, UNREAD_SUFFIXES, is_folder, is_system_folder, walk
from mien.base.labels import EXPRESSIONS, canonical_class
from mien.data.splits import canonical_split, is_official
from mien.data.table import ReadOptions, Table

# msambare/fer2013 names its files Training_3908.jpg, PublicTest_4.jpg, PrivateTest_77.jpg.
_OFFICIAL_NAME = re.compile(r"(Training|PublicTest|PrivateTest)_\d+\.")
_SYSTEM_FILES = frozenset({"Thumbs.db", "thumbs.db", "Desktop.ini", "desktop.ini"})
_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+|[0-9]+")  # FER2013Train is split into three


class ClassFolder(NamedTuple):
    """A folder of images of one class, and of one split (``""`` if the data has none)."""

    path: Path
    name: str
    split: str


def is_image_name(name: str) -> bool:
    """Return whether a file name has the suffix of an image and is not hidden."""
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def holds_class_folders(folder: Path) -> bool:
    """Return whether the folder looks like a tree of at least two class folders, or of split folders."""
    below = subfolders(descend(folder))
    return len(below) > 1 or any(canonical_split(each.name) and subfolders(each) for each in below)


def metadata_files(folder: Path) -> list[tuple[str, Path]]:
    """Return Hugging Face's ``metadata.csv`` of each split folder, with its split, or that of all above; or none."""
    parts = [each for each in subfolders(folder) if canonical_split(each.name)]
    if not parts or any(holds_class_folders(each) for each in parts):
        return []
    for folders in (parts, [folder]):
        tables = {each: [file for file in each.iterdir() if file.name.lower() == "metadata.csv"] for each in folders}
        if all(len(files) == 1 for files in tables.values()):
            return [((folders is parts and canonical_split(each.name)) or "", tables[each][0]) for each in folders]
    return []


def file_state(path: str | os.PathLike[str]) -> str:
    """Describe a file for the cache's key; a missing one, such as a broken link, gives its error when it is read."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path for each of many files would take longer
    except (OSError, ValueError):  # ValueError: the file name is impossible
        return f"{path}\tmissing"
    return f"{path}\t{status.st_size}\t{status.st_mtime_ns}\t{status.st_ctime_ns}"


def read_folders(folder: Path, options: ReadOptions) -> Table:
    """Read ``<class>/*.png``, ``<split>/<class>/*.png`` or ``<class>/<split>/*.png``, with the folders in a class
    folder.

    If all files are named as in msambare/fer2013 (Training_1.jpg), their names give FER2013's official splits. Raises
    DataError: no class folders, or no images.
    """
    class_folders, left_out = _tree(folder)
    images: list[tuple[str, ClassFolder]] = []
    others: list[str] = []
    notes: list[Notice] = []
    for path in (path for path in left_out if not is_image_name(path.name)):
        reason = "has no class folders" if canonical_split(path.name) else "is not in a split folder"
        reason = "is beside class folders" if path.is_file() else reason
        notes.append(Notice(f"{path.relative_to(folder).as_posix()} {reason} and was left out.", code="files-skipped"))
    for each in class_folders:
        entries = [entry for entry in walk(each.path) if entry.name not in _SYSTEM_FILES]
        inside = [(entry.path, each) for entry in entries if is_image_name(entry.name)]
        others += [entry.path for entry in entries if not is_image_name(entry.name)]
        if not inside:
            words = f"The class folder {each.path.relative_to(folder).as_posix()} has no images and was left out."
            notes.append(Notice(words, code="files-skipped"))
        images += inside
    others.sort(key=lambda file: not file.lower().endswith(UNREAD_SUFFIXES))
    unread = sum(file.lower().endswith(UNREAD_SUFFIXES) for file in others)
    advice = f" {unread:,} are photos of other formats: {UNREAD_ADVICE}." if unread else ""
    if not images:
        raise DataError(f"{folder} has class folders but no images in them.{advice}", code="data-empty")
    beside = [str(path) for path in left_out if is_image_name(path.name)]
    for what, names, more in (
        ("Files without the suffix of an image", others, advice),
        ("Images in no folder of a class, or of a split", beside, ""),
    ):
        if names:
            notes.append(Notice(f"{what} were left out: {len(names):,}, e.g. {names[0]}.{more}", code="files-skipped"))
    files = [file for file, _ in images]
    below = [Path(file).parent.relative_to(of.path).parts for file, of in images]
    sources = [plain(Path(file).relative_to(folder).as_posix()) for file in files]
    # folder1 is the folder below the class, folder2 the path of two, ...
    columns: dict[str, Array] = {
        f"folder{level}": np.array([plain("/".join(each[:level])) if len(each) >= level else "" for each in below])
        for level in range(1, max(map(len, below)) + 1)
    }
    return Table(
        path=folder,
        locations=sources,
        images=files,
        labels=[of.name for _, of in images],
        splits=_official_splits(files) or [of.split for _, of in images],
        source=sources,
        columns=columns,
        split_origin="as in the folders",
        notes=tuple(notes),
    )


def _tree(folder: Path) -> tuple[list[ClassFolder], list[Path]]:
    """Return the class folders; and folders that are not in a split, and images beside the class folders."""
    root = descend(folder)
    below = subfolders(root)
    split_folders = [each for each in below if canonical_split(each.name) and subfolders(each)]
    # Tables too: a table of people beside the class folders is easily believed to be read.
    images = _beside((root, *split_folders), (*IMAGE_SUFFIXES, ".csv", ".tsv"))
    if split_folders:
        for each in split_folders:
            _check_classes(each, subfolders(each))
        classes = [
            ClassFolder(each, plain(each.name), canonical_split(split.name) or "")
            for split in split_folders
            for each in subfolders(split)
        ]
        return classes, [*(each for each in below if each not in split_folders), *images]
    if not below:
        count = sum(is_image_name(entry.name) for entry in walk(root))
        words = f"{folder} has {count:,} images but no class folders such as {folder.name}/happy, no CSV or parquet."
        raise DataError(words, code="data-unknown")
    _check_classes(folder, below)
    inner = {each: subfolders(each) for each in below}
    parts = [part for parts in inner.values() for part in parts]
    if "train" in (splits := {_split_named(part) for part in parts}) and splits & {"validation", "test"}:
        if others := [part for part in parts if not canonical_split(part.name)]:
            raise DataError(f"{others[0]} is no split. Name it train, validation or test.", code="data-unknown")
        images += _beside([each for each in below if inner[each]], IMAGE_SUFFIXES)
        return [
            ClassFolder(part, plain(each.name), canonical_split(part.name) or "")
            for each in below
            for part in (inner[each] or [each])
        ], images
    return [ClassFolder(each, plain(each.name), "") for each in below], images


def _beside(folders: Iterable[Path], suffixes: tuple[str, ...]) -> list[Path]:
    files = (each for folder in folders for each in sorted(folder.glob("[!.]*")))
    return [each for each in files if each.name.lower().endswith(suffixes)]


def _split_named(folder: Path) -> str | None:
    """Return the split that the first or last word of a folder's name means, as in FER2013Train."""
    words = _WORD.findall(folder.name) or [folder.name]
    return canonical_split(words[0]) or canonical_split(words[-1])


def _check_classes(folder: Path, below: Sequence[Path]) -> None:
    """Raise a DataError if the folders are splits or people, because a model would learn them as classes."""
    splits = [each.name for each in below if _split_named(each)]
    if len(splits) > 1 or len(splits) == len(below):
        fault = "are splits, not classes. Name them train, validation and test, with classes or metadata.csv in each."
        raise DataError(f"{folder}: {' and '.join(splits[:2])} {fault}", code="data-unknown")
    inner = {
        each.name: {canonical_class(inside.name) for inside in subfolders(each)} & set(EXPRESSIONS)
        for each in below
        if canonical_class(each.name) not in EXPRESSIONS
    }
    above = [name for name, expressions in inner.items() if len(expressions) > 1]
    if len(above) > 1:
        fault = "hold class folders. Put people below classes: --group folder1."
        raise DataError(f"{folder}: {' and '.join(above[:2])} {fault}", code="data-unknown")


def descend(folder: Path) -> Path:
    """Descend through folders that contain only one folder, as unpacked archives often do."""
    while True:
        below = subfolders(folder)
        if len(below) != 1 or not subfolders(below[0]):
            return folder
        name = below[0].name
        if canonical_split(name) or canonical_class(name) in EXPRESSIONS:
            return folder
        folder = below[0]


def subfolders(folder: Path) -> list[Path]:
    """Return the direct subfolders by name, without system folders."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if is_folder(entry) and not is_system_folder(entry.name)]
    return [folder / name for name in sorted(names)]


def _official_splits(files: list[str]) -> list[str]:
    """Return FER2013's name of each file's split; empty unless all files are named that way."""
    words = [match[1] for match in [_OFFICIAL_NAME.match(Path(file).name) for file in files] if match is not None]
    return words if len(words) == len(files) and is_official(words) else []
