"""Answers about pictures as a table, and in one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mien.cli.options import show
from mien.report.wording import counted

if TYPE_CHECKING:
    from mien.faces.face import Detector


class Tally:
    """Counts answers as they pass: pictures, faces, pictures without, left out."""

    def __init__(self, detector: Detector | None) -> None:
        self._detector = detector
        self._pictures = self._faces = self._without = self._bad = 0

    def add(self, answer: Mapping[str, Any]) -> None:
        """Count one answer."""
        if "error" in answer:
            self._bad += 1
            return
        found = len(answer["faces"]) if self._detector is not None else 1
        self._pictures += 1
        self._faces += found
        self._without += not found

    @property
    def nothing_read(self) -> bool:
        """Whether all that there was is left out."""
        return self._bad > 0 and not self._pictures

    def __str__(self) -> str:
        left_out = f"; {self._bad:,} left out" if self._bad else ""
        if self._detector is None:
            return f"{counted(self._faces, 'face')} read{left_out}"
        without = f", {self._without:,} without a face" if self._without and self._pictures > 1 else ""
        faces = counted(self._faces, "face") if self._faces else "no face"
        pictures = counted(self._pictures, "picture")
        return f"{self._detector.name}: {faces} in {pictures}{without}{left_out}"


def show_answers(answers: Iterable[Mapping[str, Any]], crops: bool) -> None:
    """Print a table: a line for each face, and one for each picture without."""
    from rich.table import Table

    head = ("image",) if crops else ("image", "face", "box")
    table = Table(*head, "expression", "share", "then", box=None, pad_edge=False)
    for answer in answers:
        if crops:
            table.add_row(answer["source"], *_reading(answer))
            continue
        for number, face in enumerate(answer["faces"], start=1):
            box = face["box"]
            place = f"{box['width']} x {box['height']} at {box['left']}, {box['top']}"
            table.add_row(answer["source"], str(number), place, *_reading(face))
        if not answer["faces"]:
            table.add_row(answer["source"], "", "no face")
    show(table)


def _reading(reading: Mapping[str, Any]) -> tuple[str, str, str]:
    shares = reading["probabilities"].items()
    ranked = sorted(shares, key=lambda item: (item[0] != reading["top"], -item[1]))
    others = ", ".join(f"{name} {share:.0%}" for name, share in ranked[1:3])
    return reading["top"], f"{reading['confidence']:.0%}", others
