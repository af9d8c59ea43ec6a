"""Class names and splits that the words of a data set mean."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from mien.base.arrays import Ints, is_missing
from mien.base.errors import DataError, Notice, nearest
from mien.base.labels import EXPRESSIONS, canonical_class, composed
from mien.data.splits import canonical_split

_NUMBERING = ", ".join(f"{index} {name}" for index, name in enumerate(EXPRESSIONS))
# pandas writes 3 as 3.0 in a column with gaps. Longer numbers could exceed Python's limit on digits.
_WHOLE = re.compile(r"\s*(\d{1,9})(?:\.0+)?\s*", re.ASCII)


def _key(label: str) -> str:
    return composed(label.strip()).casefold()


class ClassNames:
    """Maps labels in the data to class names, first by ``--map``, then by synonyms.

    Attributes:
        guessed: numbers that were read as classes in Kaggle's numbering.
    """

    def __init__(self, class_map: Mapping[str, str]) -> None:
        self._spelling: dict[str, str] = {}  # of names without a synonym, in data or map: the first one
        self._map = {_key(label): self._spelled(canonical_class(wanted)) for label, wanted in class_map.items()}
        self._unused = {_key(label): label for label in class_map}
        self.guessed: set[int] = set()
        self._seen: set[str] = set()
        self._labels_of: dict[str, dict[str, None]] = {}

    def _spelled(self, name: str) -> str:
        return self._spelling.setdefault(_key(name), name)

    def name(self, label: str) -> str:
        """Return the class that a label means: ``"Happiness"`` -> ``"happy"``."""
        canonical = canonical_class(label)
        mapped = self._mapped(label.strip(), canonical)
        name = self._spelled(mapped or canonical)
        if mapped is None:
            self._labels_of.setdefault(name, {})[_key(label)] = None
        return name

    def numbered(self, label: str, where: str) -> str:
        """Return the class of a number in Kaggle's numbering or of an expression's name, else raise DataError."""
        whole = _WHOLE.fullmatch(label)
        number = int(whole[1]) if whole else -1
        canonical = EXPRESSIONS[number] if 0 <= number < len(EXPRESSIONS) else canonical_class(label)
        mapped = self._mapped(label.strip(), *([str(number)] if whole else []), canonical)
        if mapped is None and whole:
            self.guessed.add(number)
        if mapped is None and canonical not in EXPRESSIONS:
            words = f"{where}: label {label.strip()[:40]} is not one of {_NUMBERING}. Name it with --map."
            raise DataError(words, code="labels")
        return mapped or canonical

    def finish(self, path: object, column: str = "", apart: str = "") -> list[Notice]:
        """Return notices about class names, after all labels have been mapped.

        Numbers in FER2013's own column of labels, ``emotion``, need no notice. ``apart`` says how to keep two names as
        two classes, without a map. Raises DataError for a name on the map's left side that never occurs.
        """
        for unused in self._unused.values():
            words = f"--map names a label '{unused}' that is not in {path}.{nearest(unused, self._seen)}"
            raise DataError(words, code="label-scheme")
        notices = []
        for name, given in self._labels_of.items():
            labels = sorted(given, key=name.__ne__)
            if len(labels) > 1:
                words = f"{' and '.join(map(repr, labels))} are one class, {name}. To keep them apart, give "
                words += apart or f"one another name: --map '{labels[-1]}=NAME'"
                notices.append(Notice(f"{words}.", code="classes-merged"))
        if self.guessed and column.strip().casefold() != "emotion":
            words = f"The numbers in '{column}' are read as FER2013's: {_NUMBERING}. Change: --map '0=NAME'."
            notices.append(Notice(words, code="labels-numbered"))
        return notices

    def _mapped(self, *names: str) -> str | None:
        self._seen.update(names)
        for name in names:
            key = _key(name)
            if key in self._map:
                self._unused.pop(key, None)
                return self._map[key]
        return None


def index_classes(names: Sequence[str], classes: Sequence[str]) -> Ints:
    """Return the index in ``classes`` of each name, int64 (N,)."""
    index_of = {name: index for index, name in enumerate(classes)}
    return np.array([index_of[name] for name in names], dtype=np.int64)


def split_of(word: str, where: str) -> str:
    """Return the split that a word means; ``""`` for a missing one. Raises DataError if it is not a split."""
    if is_missing(word):
        return ""
    split = canonical_split(word)
    if split is None:
        found = f"{where}: '{word.strip()}'"
        raise DataError(f"{found} is not a split. Expected train, validation or test.", code="split-unknown")
    return split
