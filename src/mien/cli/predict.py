"""``mien predict``: detect faces in images and classify the expression of each."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import typer

from mien.base.errors import DataError, RunError, share_text
from mien.base.images import UNREAD_ADVICE, StandardInput, find_images, missing_file
from mien.base.labels import NOT_A_FACE_CLASS, UNSURE
from mien.base.progress import is_terminal, track
from mien.cli.options import Positive
from mien.cli.output import leave_out, note_left_out, notice, read_stdin, show, show_json, show_notices, show_rows
from mien.faces.face import Detector, LimitedDetector, crop_as_photo, may_be_crop
from mien.faces.find import find_detector
from mien.inference.drawing import Annotator
from mien.inference.face_reader import FaceReader
from mien.inference.output_files import Columns, ResumableOutput, predict_files, predict_on_ray, settings_of, write_csv
from mien.inference.prediction import answer_text
from mien.inference.predictor import load, photos_as_crops
from mien.page.wording import counted


@dataclass(frozen=True, kw_only=True)
class DetectionOptions:
    """Limits of the faces to keep.

    Options:
        min_score (S): Leave out faces with a detector score below S, 0 to 1. The default is the detector's own, 0.56 in
            mien.
        min_size (PX): Leave out faces whose longer side is below PX pixels.
        max_faces (N): Keep the N largest faces of an image.
    """

    min_score: float | None = None
    min_size: Positive | None = None
    max_faces: Positive | None = None

    def detector(self) -> Detector:
        """Return the detector, limited by these options. Raises as :func:`mien.faces.find_detector`."""
        return LimitedDetector(find_detector(), self.min_score, self.min_size, self.max_faces)


def predict(
    images: list[str],
    *,
    model: str = "default",
    crops: bool = False,
    annotate: Path | None = None,
    out: Path | None = None,
    provider: str | None = None,
    workers: Positive | None = None,
    engine: Literal["local", "ray"] = "local",
    output: str | None = None,
    classes: str | None = None,
    by: Path | None = None,
    detection: DetectionOptions,
    json: bool = False,
    csv: bool = False,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> None:
    """Detect the faces in images, and classify the expression of each.

    Options:
        annotate (DIR): Write each image with boxes and predictions to this folder.
        out (FILE): Write the predictions to this .jsonl, .csv or .parquet file. If interrupted, the same command
            resumes.
        workers (N): Process N images at the same time. The default is 1, and one for each core with --engine ray.
        by (FILE): Compare groups of people by this CSV: a column of files, and columns such as age.
        csv: Print CSV instead of a table.
        skip_bad: Skip images that cannot be read, and list them.
    """
    given = {"--annotate": annotate, "--json": json, "--csv": csv, "--overwrite": overwrite, "--by": by}
    given |= {f"--{name.replace('_', '-')}": value is not None for name, value in vars(detection).items()}
    _check(images, out, given, crops=crops, ray=engine == "ray")
    threads = None if engine == "local" and workers in {None, 1} else 1

    def make_reader(threads: int | None = 1) -> FaceReader:
        predictor = load(model, threads=threads, output=output, provider=provider)
        return FaceReader(predictor, None if crops else detection.detector(), classes=classes)

    # Check all arguments before anything is read or written.
    reader = make_reader(threads)
    stdin, sources = read_stdin(images), tuple(str(Path(name)) for name in images)

    def opened(names: Iterable[str]) -> Iterator[Path | StandardInput]:
        return (Path(name) if stdin is None or name != "-" else stdin for name in names)

    annotator = None if annotate is None else Annotator(annotate, [*opened(sources)])
    settings = {} if out is None else settings_of([*opened(sources)], model, reader, crops=crops, annotator=annotator)
    tally = Tally(None if crops else reader.detector, by is not None)
    columns = Columns(reader.classes, crops, reader.fields)
    if engine == "ray":
        work = partial(predict_on_ray, make_reader, crops=crops, skip_bad=skip_bad, workers=workers)
    else:
        work = partial(predict_files, reader, crops=crops, annotator=annotator, skip_bad=skip_bad, workers=workers or 1)

    def results(names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield results with a progress bar, and list skipped images."""
        for each in track(work(opened(names)), len(names), "predicting", "faces" if crops else "images"):
            if "error" in each:
                notice(f"skipped: {each['error']}")
            yield each

    files, unread = find_images(sources, missing_too=skip_bad, stdin=stdin is not None)
    show_groups = None if by is None else tables_by(by, files)
    for folder in filter(unread.get, unread):
        notice(f"{folder}: files of other formats left out: {unread[folder]:,}; {UNREAD_ADVICE}", "files-skipped")
    if crops:
        show_notices(photos_as_crops(opened(files), "--crops"))
    if out is None:
        # Compute all results before printing, so that a bad image late in the list leaves no partial output.
        answers = list(results(files))
        for each in answers:
            tally.add(each)
    else:
        with ResumableOutput(out, settings, columns, overwrite=overwrite) as journal:
            unnamed = journal.done.difference(files)
            if left_out := sorted(filter(os.path.exists, unnamed)):
                words = f"{journal.part} has results of other images, such as {left_out[0]}. Add them or remove it."
                raise RunError(words, code="journal")
            if done := len(journal.done) - len(unnamed):
                notice(f"{done:,} of {len(files):,} images are done already; resuming.")
            try:
                for each in results([file for file in files if file not in journal.done]):
                    journal.add(each)
            except KeyboardInterrupt:
                notice("Stopped. Finished images are kept; run the same command to resume.")
                raise
            journal.finish(files, tally.add)
        typer.echo(f"{out}: {tally}" + (f"; {done:,} done before" if done else ""))
    tally.check_any(out)
    if show_groups is not None:
        show_groups(tally.faces, json)
    elif json:
        show_json(answers)
    elif csv:
        write_csv(sys.stdout, columns.names, columns.rows(answers))
    elif out is None:
        show_answers(answers, "" if crops else str(tally))
    tally.note()
    note_left_out(reader.left_out)
    if annotator is not None:
        notice(f"annotated images: {annotator.folder}")
        if others := {*annotator.folder.rglob("*.jpg")}.difference(map(annotator.path_of, opened(files))):
            notice(f"{annotator.folder} has {len(others):,} images of other photos, such as {min(others)}.", "no-photo")


def _check(images: list[str], out: Path | None, given: Mapping[str, object], *, crops: bool, ray: bool) -> None:
    address = next((name for name in images if "://" in name), None)
    if address is not None:
        raise missing_file(address)
    limits = ("--annotate", "--min-score", "--min-size", "--max-faces")
    for applies, why, names in (
        (crops, "--crops treats images as face crops and detects no faces", limits),
        (ray, "--engine ray writes a table", ("--annotate",)),
        (out is not None, "The suffix of --out sets the format already", ("--json", "--csv")),
        (out is None, "--overwrite is for --out", ("--overwrite",)),
        (given["--json"], "--json is already an output format", ("--csv",)),
        (given["--by"], "--by prints tables of groups", ("--csv",)),
    ):
        if applies:
            leave_out(why, {name: given[name] for name in names})
    if ray and out is None:
        raise DataError("--engine ray writes into a file; give --out FILE.", code="options")


class Tally:
    """Counts images, faces, "unsure" and "not-a-face" answers, and skipped images; ``keep`` keeps the largest faces."""

    def __init__(self, detector: Detector | None, keep: bool) -> None:
        self.faces: list[tuple[str, dict[str, Any] | None]] = []
        self._detector, self._keep = detector, keep
        self._images = self._without = self._bad = 0
        self._said: Counter[str] = Counter()
        # Images without a face that look like face crops.
        self._crops: list[str] = []

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
        self._said.update(each["answer"] for each in found)
        self._without += not found
        if not found and may_be_crop(answer["image"]["width"], answer["image"]["height"], 0):
            self._crops.append(answer["source"])

    def check_any(self, out: Path | None) -> None:
        """Raise :class:`DataError` (``no-images``) if all images were skipped."""
        if self._bad and not self._images:
            reasons = f"; {out} lists the reasons" if out is not None and out.suffix == ".jsonl" else ""
            raise DataError(f"Of {counted(self._bad, 'image')} none could be read{reasons}.", code="no-images")

    def note(self) -> None:
        """Print the likely reason why no face was detected in some images."""
        if self._crops:
            names = f"{counted(len(self._crops), 'small image')}, such as {self._crops[0]}"
            notice(crop_as_photo(names, option="--crops").line)

    def __str__(self) -> str:
        said = "".join(f"; {self._said[each]:,} {each}" for each in (UNSURE, NOT_A_FACE_CLASS) if self._said[each])
        rest, total = said + (f"; {self._bad:,} skipped" if self._bad else ""), self._said.total()
        if self._detector is None:
            return f"{counted(total, 'face')} classified{rest}"
        without = f", {self._without:,} without a face" if self._without and total else ""
        faces = counted(total, "face") if total else "no face"
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
        if rows and is_terminal(sys.stdout) and all(row["image"] != "-" for row in rows):
            folder = os.path.commonpath([Path(row["image"]).absolute().parent for row in rows])
            rows = [row | {"image": os.path.relpath(row["image"], folder)} for row in rows]
    show_rows(rows, pipe_width=200)
    if total:
        typer.echo(total)


def tables_by(table: Path, images: Sequence[str]) -> Callable[[Sequence[tuple[str, Any]], bool], None]:
    """Read the groups of the images from a CSV, and return a function that prints a table for each column, or JSON."""
    from mien.evaluation.results import json_ready
    from mien.page.terminal import group_text
    from mien.pipeline.user_tables import compare_groups, read_groups

    images = list(dict.fromkeys(images))
    groups, notices = read_groups(table, images)
    show_notices(notices)
    if named := len(images) - len(set().union(*groups.values())):
        notice(f"{table} names no group of {counted(named, 'image')}, which the tables leave out.", "values-missing")

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
