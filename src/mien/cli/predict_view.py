"""Output of predictions as a table, and their summary in one line."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from mien.base.errors import DataError
from mien.base.labels import NOT_A_FACE_CLASS, UNSURE
from mien.base.progress import is_terminal
from mien.cli.output import notice, show, show_json, show_notices, show_rows
from mien.faces.crop import crop_as_photo, may_be_crop
from mien.faces.face import Detector
from mien.inference.drawing import share_text
from mien.inference.prediction import answer_text
from mien.page.wording import counted


class Tally:
    """Counts images, faces, "unsure" and "not-a-face" answers, and skipped images; ``keep`` keeps the largest faces."""

    def __init__(self, detector: Detector | None, keep: bool) -> None:
        self.faces: list[tuple[str, dict[str, Any] | None]] = []
        self._detector, self._keep = detector, keep
        self._images = self._faces = self._without = self._bad = 0
        self._said: Counter[str] = Counter()
        # Number of images without a face that look like face crops.
        self._crops = 0
        self._first_crop = ""

    def add(self, answer: Mapping[str, Any]) -> None:
        """Count an answer of a face."""
        if "error" in answer:
            self._bad += 1
            return
        found = answer["faces"] if self._detector is not None else [answer]
        if self._keep:
            first = {name: found[0][name] for name in ("answer", "in_doubt", "confidence")} if found else None
            self.faces.append((answer["source"], first))
        self._images += 1
        self._faces += len(found)
        self._said.update(each["answer"] for each in found)
        self._without += not found
        if not found and may_be_crop(answer["image"]["width"], answer["image"]["height"], 0):
            self._crops += 1
            self._first_crop = self._first_crop or answer["source"]

    def check_any(self, out: Path | None) -> None:
        """Raise :class:`DataError` (``no-images``) if all images were skipped."""
        if self._bad and not self._images:
            reasons = f"; {out} lists the reasons" if out is not None and out.suffix == ".jsonl" else ""
            raise DataError(f"Of {counted(self._bad, 'image')} none could be read{reasons}.", code="no-images")

    def note(self) -> None:
        """Print the likely reason why no face was detected in some images."""
        if self._crops:
            names = f"{counted(self._crops, 'small image')}, such as {self._first_crop}"
            notice(crop_as_photo(names, option="--crops").line)

    def __str__(self) -> str:
        said = "".join(f"; {self._said[each]:,} {each}" for each in (UNSURE, NOT_A_FACE_CLASS) if self._said[each])
        rest = said + (f"; {self._bad:,} skipped" if self._bad else "")
        if self._detector is None:
            return f"{counted(self._faces, 'face')} classified{rest}"
        without = f", {self._without:,} without a face" if self._without and self._faces else ""
        faces = counted(self._faces, "face") if self._faces else "no face"
        return f"{self._detector.name}: {faces} in {counted(self._images, 'image')}{without}{rest}"


def show_answers(answers: Iterable[Mapping[str, Any]], total: str) -> None:
    """Print a table with a line for each face and each image without faces, then the summary, if given."""
    rows: list[dict[str, Any]] = []
    for answer in answers:
        if "error" in answer:
            continue
        name = answer["source"]
        if "faces" not in answer:
            rows.append({"image": name, **_said(answer)})
            continue
        for number, face in enumerate(answer["faces"], start=1):
            box = "{width} x {height} at {left}, {top}".format(**face["box"])
            rows.append({"image": name, "face": number, "box": box, **_said(face)})
        if not answer["faces"]:
            rows.append(dict.fromkeys(_COLUMNS, "") | {"image": name, "box": "no face"})
    # Programs that read a pipe need whole paths. On several drives (ValueError), no folder is common.
    with suppress(ValueError):
        if rows and is_terminal(sys.stdout):
            folder = os.path.commonpath([Path(row["image"]).absolute().parent for row in rows])
            rows = [row | {"image": os.path.relpath(row["image"], folder)} for row in rows]
    show_rows(rows, pipe_width=200)
    if total:
        typer.echo(total)


def tables_by(table: Path, images: Sequence[str]) -> Callable[[Sequence[tuple[str, Any]], bool], None]:
    """Read the groups of the images from a CSV, and return a function that prints a table for each column, or JSON."""
    # Imported here, because predictions alone start faster without it.
    from mien.evaluation.results import json_ready
    from mien.page.terminal import group_text
    from mien.pipeline.groups_of_people import compare_groups, read_groups

    images = list(dict.fromkeys(images))
    groups, notices = read_groups(table, images)
    show_notices(notices)
    if named := len(images) - len(set().union(*groups.values())):
        notice(f"{table} names no group of {counted(named, 'image')}, which the tables leave out.", "images-left-out")

    def show_tables(faces: Sequence[tuple[str, Any]], as_json: bool) -> None:
        found = {column: compare_groups(column, group_of, faces) for column, group_of in groups.items()}
        if as_json:
            tables = {column: {"groups": rows.records(), "gaps": gaps} for column, (rows, gaps) in found.items()}
            show_json(json_ready(tables))
            return
        for column, (rows, gaps) in found.items():
            show(group_text(rows, column, gaps))
        notice("A difference may lie in how these people look into the camera, or in the model.", "groups-unlabelled")

    return show_tables


_COLUMNS = ("image", "face", "box", "expression", "probability", "others")


def _said(prediction: Mapping[str, Any]) -> dict[str, str]:
    said, top = prediction["answer"], prediction["top"]
    ranked = sorted(prediction["probabilities"].items(), key=lambda item: (item[0] != top, -item[1]))
    # "unsure" has no probability of its own, so every class is listed under others.
    first = 0 if said == UNSURE else 1
    others = ", ".join(f"{name} {share_text(probability)}" for name, probability in ranked[first : first + 2])
    probability = share_text(prediction["confidence"]) if first else ""
    return {"expression": answer_text(said, prediction["alternatives"]), "probability": probability, "others": others}
