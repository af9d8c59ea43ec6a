"""Expressions, their synonyms, and label schemes that merge or drop classes."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mien.base.arrays import Array, Floats, Ints
from mien.base.errors import DataError, nearest

EXPRESSIONS: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The seven expressions in the order of FER2013's labels: ``EXPRESSIONS[3] == "happy"``."""

NOT_A_FACE_CLASS = "not-a-face"
"""Answer of an annotator who sees no face; models trained on such votes have it as a class."""

NO_EXPRESSION: tuple[str, ...] = ("unknown", NOT_A_FACE_CLASS)
"""Annotators' answers that are not expressions."""

UNSURE = "unsure"
"""Answer of a model when no class is likely enough."""

FERPLUS_CLASSES: tuple[str, ...] = (
    *("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt"),
    *("unknown", NOT_A_FACE_CLASS),
)
"""Answers of FER+'s ten annotators, in the order of the file: eight expressions and two other answers."""

_SYNONYMS: dict[str, tuple[str, ...]] = {
    "angry": ("anger", "ang", "an", "mad"),
    "disgust": ("disgusted", "dis", "di"),
    "fear": ("fearful", "afraid", "scared", "fea", "fe"),
    "happy": ("happiness", "joy", "hap", "ha"),
    "sad": ("sadness", "sa"),
    "surprise": ("surprised", "sur", "su", "suprise", "astonished"),
    "neutral": ("neutrality", "neu", "ne"),
    "contempt": (),
    "unknown": (),
    NOT_A_FACE_CLASS: ("not_a_face", "not a face", "notface", "nf"),
}
_CANONICAL = {word: name for name, words in _SYNONYMS.items() for word in (name, *words)}


def composed(text: str) -> str:
    """Return the text in Unicode's composed form (NFC), so that equal-looking texts are equal."""
    return unicodedata.normalize("NFC", text)


def canonical_class(name: str) -> str:
    """Return mien's name of a class: ``"Happiness"`` -> ``"happy"``. An unknown name is returned without outer spaces.

    Case, outer spaces and a leading number (``"3_happy"``, ``"03-Happy"``) are ignored. Composed and decomposed
    accents, as in macOS file names, are equal.
    """
    word = composed(name.strip())
    return _CANONICAL.get(word.lower().lstrip("0123456789").lstrip("_-. "), word)


def order_classes(names: set[str]) -> tuple[str, ...]:
    """Order class names: the known expressions in Kaggle's order, then all others by name."""
    known = [name for name in EXPRESSIONS if name in names]
    return (*known, *sorted(names - set(known)))


def parse_map(text: str) -> dict[str, str]:
    """Parse ``"contempt=disgust,0=angry"``, names in the data to new ones; the last ``=`` divides; else DataError."""
    mapping: dict[str, str] = {}
    for part in text.split(","):
        found, equals, wanted = (piece.strip() for piece in part.rpartition("="))
        if not (found and equals and wanted):
            raise DataError(f"--map '{part.strip()}' is not of the form 'joy=happy,0=angry'.", code="label-scheme")
        if found in mapping:
            raise DataError(f"--map gives '{found}' twice.", code="label-scheme")
        mapping[found] = wanted
    return mapping


@dataclass(frozen=True)
class LabelScheme:
    """A mapping of the data's classes to new classes. Classes that are in no group are dropped.

    ``groups`` maps each new class to the classes it merges, in order: ``{"positive": ("happy", "surprise"), "negative":
    ("angry", "fear", "sad")}``.
    """

    name: str
    groups: Mapping[str, tuple[str, ...]]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the new classes, in order."""
        return tuple(self.groups)

    def mapping(self, classes: Sequence[str], owner: str = "the data") -> Ints:
        """Return the index of the new class for each class of the data (C,), -1 if it is dropped; merged ones stay.

        Raises DataError, which names the ``owner``, if the scheme names a class that is not in ``classes``.
        """
        for wanted in (name for group in self.groups.values() for name in group):
            if wanted not in classes:
                if {*classes} == {*self.classes}:
                    return np.array([self.classes.index(name) for name in classes])
                words = f"The label scheme '{self.name}' uses the class '{wanted}', which {owner} does not have."
                raise DataError(words + nearest(wanted, classes), code="label-scheme")
        index_of = {old: new for new, group in enumerate(self.groups.values()) for old in group}
        return np.array([index_of.get(name, -1) for name in classes], dtype=np.int64)

    def merge_labels(self, labels: Ints, classes: Sequence[str]) -> Ints:
        """Map labels to the new classes, -1 if dropped. (N,) int64 -> (N,) int64."""
        return self.mapping(classes)[labels]

    def merge_probabilities(self, probabilities: Array, classes: Sequence[str]) -> Floats:
        """Sum (N, C) in each group, rescaled to sum to 1: float64 (N, G); uniform where all kept classes have 0."""
        merged = np.zeros((len(probabilities), len(self.groups)), dtype=np.float64)
        for old, new in enumerate(self.mapping(classes)):
            if new >= 0:
                merged[:, new] += probabilities[:, old]
        total = merged.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(merged, total, out=np.full_like(merged, 1.0 / merged.shape[1]), where=total > 0))


def _keep(name: str, *classes: str) -> LabelScheme:
    return LabelScheme(name, {each: (each,) for each in classes})


_POSITIVE = ("happy", "surprise")
_NEGATIVE = ("angry", "fear", "sad")

SCHEMES: dict[str, LabelScheme] = {
    scheme.name: scheme
    for scheme in (
        _keep("seven", *EXPRESSIONS),
        _keep("six", "angry", "fear", "happy", "sad", "surprise", "neutral"),
        _keep("five", "angry", "fear", "happy", "sad", "surprise"),
        _keep("three", "happy", "sad", "neutral"),
        LabelScheme("binary", {"negative": _NEGATIVE, "positive": _POSITIVE}),
        LabelScheme("binary-with-disgust", {"negative": ("disgust", *_NEGATIVE), "positive": _POSITIVE}),
    )
}
"""Label schemes by name. ``six`` drops disgust, ``five`` also neutral; both binary schemes drop neutral."""


def parse_scheme(text: str) -> LabelScheme | None:
    """Parse a scheme: ``"all"`` (returns None, keeps all classes), a name of :data:`SCHEMES`, or a custom scheme.

    A custom scheme is written ``"positive=happy+surprise,negative=angry+fear+sad"``. Raises DataError: unknown name,
    malformed group, a class in two groups, or fewer than two groups.
    """
    if text == "all":
        return None
    if "=" not in (text := str(text)):
        if text not in SCHEMES:
            raise DataError(f"There is no scheme '{text}'." + nearest(text, ["all", *SCHEMES]), code="label-scheme")
        return SCHEMES[text]
    groups: dict[str, tuple[str, ...]] = {}
    seen: list[str] = []
    for part in text.split(","):
        new, equals, members = (composed(piece.strip()) for piece in part.partition("="))
        names = tuple(canonical_class(member) for member in members.split("+"))
        if not (new and equals and all(names)):
            raise DataError(f"'{part.strip()}' is not of the form 'positive=happy+surprise'.", code="label-scheme")
        seen += [f"{new} =", *names]
        groups[new] = names
    if repeated := [name for name in seen if seen.count(name) > 1]:
        raise DataError(f"The scheme '{text}' has '{repeated[0].removesuffix(' =')}' twice.", code="label-scheme")
    if len(groups) < 2:
        raise DataError(f"The label scheme '{text}' has one class; it needs at least two.", code="too-few-classes")
    return LabelScheme(text, groups)


_EXPRESSIONS = {
    **{"angry": "#c4543a", "disgust": "#7f8c3b", "fear": "#7c5aa8", "happy": "#dfa426", "sad": "#3f74ad"},
    **{"surprise": "#d07aa4", "neutral": "#848d97", "contempt": "#4f8f8b", "unknown": "#9a9169"},
    **{"not-a-face": "#825c5c", "positive": "#dfa426", "negative": "#3f74ad"},
}

_OTHERS = ("#28666e", "#b5703c", "#5a6fb0", "#9a5b7d", "#5f8f5a", "#a08a3c")


def colour_of(name: str, index: int) -> str:
    """Return the colour of a class; unknown classes cycle through further colours by ``index``."""
    return _EXPRESSIONS.get(name, _OTHERS[index % len(_OTHERS)])


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """Return the colour of each class by name."""
    return {name: colour_of(name, index) for index, name in enumerate(classes)}
