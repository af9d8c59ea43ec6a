"""Predictions as a table, and in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from mien.base.labels import NOT_A_FACE, UNSURE
from mien.cli.output import show
from mien.faces.face import Detector
from mien.inference.drawing import share_text
from mien.inference.prediction import answer_of
from mien.page.wording import counted


class Tally:
    """Counts answers as they pass: images, faces, what people would say of them, skipped images."""

    def __init__(self, detector: Detector | None) -> None:
        self._detector = detector
        self._images = self._faces = self._without = self._bad = 0
        self._said: Counter[str] = Counter()

    def add(self, answer: Mapping[str, Any]) -> None:
        """Count one answer."""
        if "error" in answer:
            self._bad += 1
            return
        found = answer["faces"] if self._detector is not None else [answer]
        self._images += 1
        self._faces += len(found)
        self._without += not found
        self._said.update(answer_of(each) for each in found)

    @property
    def nothing_predicted(self) -> bool:
        """Whether all images were skipped."""
        return self._bad > 0 and not self._images

    def __str__(self) -> str:
        said = "".join(f"; {self._said[each]:,} {each}" for each in (UNSURE, NOT_A_FACE) if self._said[each])
        rest = said + (f"; {self._bad:,} skipped" if self._bad else "")
        if self._detector is None:
            return f"{counted(self._faces, 'face')} classified{rest}"
        without = f", {self._without:,} without a face" if self._without and self._images > 1 else ""
        faces = counted(self._faces, "face") if self._faces else "no face"
        return f"{self._detector.name}: {faces} in {counted(self._images, 'image')}{without}{rest}"


def show_answers(answers: Iterable[Mapping[str, Any]], crops: bool) -> None:
    """Print a table: a line for each face, and one for each image without a face."""
    head = ("image",) if crops else ("image", "face", "box", "score")
    table = Table(*head, "expression", "probability", "others", box=None, pad_edge=False)
    for answer in answers:
        if "error" in answer:
            continue
        # A file's name may hold a line break, or an ESC that would steer the terminal.
        name = "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in answer["source"])
        if crops:
            table.add_row(name, *_cells(answer))
            continue
        for number, face in enumerate(answer["faces"], start=1):
            box = face["box"]
            place = f"{box['width']} x {box['height']} at {box['left']}, {box['top']}"
            table.add_row(name, str(number), place, _score(face), *_cells(face))
        if not answer["faces"]:
            table.add_row(name, "", "no face")
    # Paths of files are long, and programs that read a pipe need them whole.
    show(table, pipe_width=200)


def _score(face: Mapping[str, Any]) -> str:
    """The detector's own score."""
    return f"{face['detection_score']:.3g}" if "detection_score" in face else ""


def _cells(prediction: Mapping[str, Any]) -> tuple[str, str, str]:
    said, top = answer_of(prediction), prediction["top"]
    ranked = sorted(prediction["probabilities"].items(), key=lambda item: (item[0] != top, -item[1]))
    # Who is unsure has no answer that a probability could belong to: all classes are others.
    first = 0 if said == UNSURE else 1
    others = ", ".join(f"{name} {share_text(probability)}" for name, probability in ranked[first : first + 2])
    return said, share_text(prediction["confidence"]) if first else "", others
