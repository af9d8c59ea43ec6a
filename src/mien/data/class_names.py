"""Class names and splits that the words of a data set mean."""

import re
from collections.abc import Iterable, Mapping, Sequence

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


def name_classes(
    locations: Mapping[str | float, str], class_map: Mapping[str, str], path: object, column: str = "",
    *, numbered: bool = False, foreign: bool = False, apart: str = "",
) -> tuple[dict[str | float, str], list[Notice]]:  # fmt: skip
    """Return the class that each label means, by ``--map``, then by synonyms: ``"Happiness"`` -> ``"happy"``.

    Args:
        locations: labels, each with the name of the place where it occurs first. Numbers are read as Kaggle's.
        class_map: names on the left side must occur. It comes before synonyms.
        path: name of the data.
        column: column of labels. Numbers in FER2013's own, ``emotion``, need no notice.
        numbered: True if text is numbers of FER2013 too.
        foreign: True if numbers in the data cannot be FER2013's, so that each needs a name.
        apart: how to keep two names as two classes, without a map.

    Raises:
        DataError: a number without a name (``labels``, ``labels-numbered``), or a name in the map that never occurs.
    """
    spelling: dict[str, str] = {}  # of names without a synonym, in data or map: the first one
    wanted = {}
    for given, to in class_map.items():
        name = canonical_class(to)
        wanted[_key(given)] = spelling.setdefault(_key(name), name)
    names, labels_of = dict[str | float, str](), dict[str, dict[str, None]]()
    seen, used, guessed = set[str](), set[str](), set[int]()
    for label, place in locations.items():
        text, is_number = str(label).strip(), numbered or not isinstance(label, str)
        whole = _WHOLE.fullmatch(text) if is_number else None
        number = int(whole[1]) if whole else -1
        canonical = EXPRESSIONS[number] if 0 <= number < len(EXPRESSIONS) else canonical_class(text)
        known = [text, *([str(number)] if whole else []), canonical]
        seen.update(known)
        if keys := [key for key in map(_key, known) if key in wanted]:
            used.add(keys[0])
            names[label] = wanted[keys[0]]
            continue
        if is_number and canonical not in EXPRESSIONS:
            words = f"{place}: label {text[:40]} is not one of {_NUMBERING}. Name it with --map."
            raise DataError(words, code="labels")
        names[label] = spelling.setdefault(_key(canonical), canonical)
        if whole:
            guessed.add(number)
        if not is_number:
            labels_of.setdefault(names[label], {})[_key(text)] = None
    if unused := [given for given in class_map if _key(given) not in used]:
        words = f"--map names a label '{unused[0]}' that is not in {path}.{nearest(unused[0], seen)}"
        raise DataError(words, code="label-scheme")
    if guessed and foreign:
        pairs = ",".join(f"{each}=NAME" for each in sorted(guessed))
        raise DataError(f"{path} has numbers as labels. Name them: --map '{pairs}'.", code="labels-numbered")
    notices = _merged(labels_of, apart)
    if guessed and column.strip().casefold() != "emotion":
        words = f"The numbers in '{column}' are read as FER2013's: {_NUMBERING}. Change: --map '0=NAME'."
        notices.append(Notice(words, code="labels-numbered"))
    return names, notices


def _merged(labels_of: Mapping[str, Iterable[str]], apart: str) -> list[Notice]:
    """Return a notice for each class that several labels mean, as "joy" and "happy" do."""
    notices = []
    for name, own in labels_of.items():
        labels = sorted(own, key=name.__ne__)
        if len(labels) > 1:
            words = f"{' and '.join(map(repr, labels))} are one class, {name}. To keep them apart, give "
            words += apart or f"one another name: --map '{labels[-1]}=NAME'"
            notices.append(Notice(f"{words}.", code="classes-merged"))
    return notices


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
