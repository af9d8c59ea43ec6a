"""The colour of each class: the same on every page and chart, and in the browser page (``web/src/view/colours.ts``)."""

from __future__ import annotations

from collections.abc import Sequence

_EXPRESSIONS = {
    "angry": "#c4543a",
    "disgust": "#7f8c3b",
    "fear": "#7c5aa8",
    "happy": "#dfa426",
    "sad": "#3f74ad",
    "surprise": "#d07aa4",
    "neutral": "#8b939b",
    "contempt": "#4f8f8b",
    "unknown": "#a8906c",
    "not-a-face": "#825c5c",
    "positive": "#dfa426",
    "negative": "#3f74ad",
}

_OTHERS = ("#28666e", "#b5703c", "#5a6fb0", "#9a5b7d", "#5f8f5a", "#a08a3c")


def colour_of(name: str, index: int) -> str:
    """The colour of the class at ``index`` of its model; classes that are no known expression take turns."""
    return _EXPRESSIONS.get(name, _OTHERS[index % len(_OTHERS)])


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """The colour of each class by name."""
    return {name: colour_of(name, index) for index, name in enumerate(classes)}
