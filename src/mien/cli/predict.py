"""``mien predict``: the faces in images, and the predicted expression of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.base.errors import DataError, Notice, without_password
from mien.base.images import UNREAD_ADVICE, missing_file
from mien.base.progress import track
from mien.cli.detection import DetectionOptions, ImagesWithoutFaces, note_photos_as_crops
from mien.cli.options import (
    ClassesOption,
    CropsOption,
    Engine,
    EngineOption,
    JsonOption,
    ModelOption,
    OutputOption,
    ProviderOption,
    QuietOption,
    ThresholdOption,
)
from mien.cli.output import notice, show_json
from mien.cli.predict_view import Tally, show_answers
from mien.faces.find import limit_opencv_threads
from mien.inference.annotate import Annotator
from mien.inference.bulk import predict_files, settings_of
from mien.inference.face_reader import FaceReader
from mien.inference.image_files import count_unread, is_address, no_images, walk_images
from mien.inference.output_files import write_csv
from mien.inference.parts import PartsJob, count_finished, open_parts, pending_parts, write_parts
from mien.inference.predictor import load
from mien.inference.resumable_output import ResumableOutput
from mien.page.wording import counted

Answers = Iterator[dict[str, Any]]
"""As :mod:`mien.inference.resumable_output` describes them."""


@dataclass(frozen=True, eq=False)
class _Job:
    """Images to predict, found and checked: files and folders, how many there are, and how they are predicted."""

    images: list[Path]
    total: int
    model: str
    reader: FaceReader
    crops: bool
    annotator: Annotator | None
    skip_bad: bool
    workers: int


def predict(
    # As text: a path would make one slash of the two in s3://bucket.
    images: Annotated[list[str], typer.Argument(help="Images, or folders of images.", metavar="IMAGE")],
    model: ModelOption = "default",
    crops: CropsOption = False,
    annotate: Annotated[
        Path | None,
        typer.Option(help="Write each image with boxes and predictions to this folder.", metavar="DIR"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the predictions to this .jsonl, .csv or .parquet file. With --engine ray: write tables to this "
            "folder. To resume after an interruption, run the same command again.",
            metavar="FILE",
        ),
    ] = None,
    provider: ProviderOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Process N images at the same time. The default is 1, and one for each core with --engine ray.",
            metavar="N",
        ),
    ] = None,
    engine: EngineOption = Engine.LOCAL,
    output: OutputOption = None,
    classes: ClassesOption = None,
    threshold: ThresholdOption = None,
    *,
    detection: DetectionOptions,
    json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            help="Skip images that cannot be read, and list them. With --engine ray they always are.",
        ),
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Detect the faces in images, and classify the expression of each.

    With --engine ray, images are files, folders, or addresses such as s3://bucket/folder.
    """
    _check_options(images, detection, crops=crops, annotates=annotate is not None)
    if engine == Engine.RAY:
        folder = _check_parts_options(out, annotate=annotate is not None, json=json, csv=as_csv)
        limits = (detection.min_score, detection.min_size, detection.max_faces)
        sources = tuple(name if is_address(name) else str(Path(name)) for name in images)
        parts = PartsJob(folder, sources, Path.cwd(), model, crops, *limits, output, classes, threshold, provider)
        _predict_parts(parts, detection, workers)
        return
    paths = _local_paths(images)
    workers = workers or 1
    if json and as_csv:
        raise DataError("Give either --json or --csv.", code="options")
    if out is not None and (json or as_csv):
        raise DataError("The suffix of --out decides the format; leave out --json and --csv.", code="options")
    detector = None if crops else detection.detector()
    annotator = None if annotate is None else Annotator(annotate, paths)
    predictor = load(model, threads=None if workers == 1 else 1, output=output, provider=provider)
    # Whatever can be refused is refused here, before anything is read or written.
    reader = FaceReader(predictor, detector, classes=classes, threshold=threshold)
    job = _Job(paths, _count(paths, skip_bad), model, reader, crops, annotator, skip_bad, workers)
    tally = Tally(detector)
    if out is not None:
        _write(out, job, tally)
        return
    answers = _collect(job, tally)
    if json:
        show_json(answers)
    elif as_csv:
        write_csv(sys.stdout, answers, reader.classes, crops, reader.fields)
    else:
        show_answers(answers, crops)
        if not crops:
            typer.echo(tally)


def _check_options(images: list[str], detection: DetectionOptions, *, crops: bool, annotates: bool) -> None:
    if crops and detection != DetectionOptions():
        text = "--min-score, --min-size and --max-faces limit the faces found in photos; leave out --crops."
        raise DataError(text, code="options")
    if crops and annotates:
        raise DataError("--annotate draws boxes into photos; leave out --crops.", code="options")
    for name in images:
        if name.startswith(("http://", "https://")):
            raise missing_file(name)


def _local_paths(images: list[str]) -> list[Path]:
    """Raises :class:`DataError` for an address, which Ray's workers alone read (``options``)."""
    for name in images:
        if is_address(name):
            text = f"{without_password(name)} is an address. To read it, give --engine ray and --out DIR."
            raise DataError(text, code="options")
    return [Path(name) for name in images]


def _collect(job: _Job, tally: Tally) -> list[dict[str, Any]]:
    """All answers, before any is printed: a bad image late in the list leaves nothing half-written.

    Raises:
        DataError: an image that cannot be read, without ``--skip-bad``; no image could be read.
    """
    answers = []
    for answer in _predict(job, _files(job.images), job.total):
        tally.add(answer)
        answers.append(answer)
    if tally.nothing_predicted:
        raise DataError(f"None of {job.total:,} images could be read.", code="no-images")
    _report_annotated(job)
    return answers


def _write(out: Path, job: _Job, tally: Tally) -> None:
    """Write the answers to a file that a killed command can resume."""
    settings = settings_of(
        [str(path) for path in job.images], job.model, job.reader, crops=job.crops, annotator=job.annotator
    )
    with ResumableOutput(out, settings, job.reader.classes, job.reader.fields) as journal:
        if journal.found:
            notice(f"{journal.found:,} of {job.total:,} images are done already; resuming.")
        left = (file for file in _files(job.images) if str(file) not in journal)
        try:
            for answer in _predict(job, left, max(job.total - journal.found, 0)):
                journal.add(answer)
        except KeyboardInterrupt:
            notice("Stopped. Finished images are kept; run the same command to resume.")
            raise
        journal.finish((str(file) for file in _files(job.images)), tally.add)
    typer.echo(f"{out}: {tally}" + (f"; {journal.found:,} done before" if journal.found else ""))
    if tally.nothing_predicted:
        raise DataError(f"None of {job.total:,} images could be read; {out} lists the reasons.", code="no-images")
    _report_annotated(job)


def _report_annotated(job: _Job) -> None:
    if job.annotator is not None:
        notice(f"annotated images: {job.annotator.folder}")


def _predict(job: _Job, files: Iterable[Path], total: int) -> Answers:
    """The answers for files, with progress; skipped files are listed."""
    if job.workers > 1:
        limit_opencv_threads(1)  # each worker is a thread
    if job.crops:
        note_photos_as_crops(_files(job.images))
    without_faces = ImagesWithoutFaces()
    stream = predict_files(
        job.reader, files, crops=job.crops, annotator=job.annotator, skip_bad=job.skip_bad, workers=job.workers
    )
    for answer in track(stream, total, "predicting", "faces" if job.crops else "images"):
        if "error" in answer:
            notice(f"skipped: {answer['error']}")
        without_faces.add(answer)
        yield answer
    without_faces.note()


def _files(images: list[Path]) -> Iterator[Path]:
    for path in dict.fromkeys(images):
        if path.is_dir():
            yield from walk_images(path)
        else:
            yield path


def _count(images: list[Path], skip_bad: bool) -> int:
    """The number of files. Raises :class:`DataError` for a folder without images, and for a missing file.

    Photos of formats that are not read are named: they would be missed in silence.
    """
    total = 0
    for path in dict.fromkeys(images):
        inside = sum(1 for _ in _files([path]))
        if not inside:
            raise no_images(path)
        if path.is_dir() and (unread := count_unread(path)):
            text = f"{path}: {unread:,} of other formats left out; {UNREAD_ADVICE}"
            notice(Notice(text, code="images-left-out").line)
        if not skip_bad and not os.path.lexists(path):
            raise missing_file(path)
        total += inside
    return total


def _predict_parts(job: PartsJob, detection: DetectionOptions, workers: int | None) -> None:
    """Predict what is pending of a job, and say what all of it came to. What workers would refuse is refused before."""
    detector = None if job.crops else detection.detector()
    predictor = load(job.model, threads=1, output=job.output, provider=job.provider)
    reader = FaceReader(predictor, detector, classes=job.classes, threshold=job.threshold)
    settings = settings_of(job.sources, job.model, reader, crops=job.crops)
    with open_parts(job, settings) as count:
        pending = pending_parts(job.folder, count)
        if len(pending) < count:
            notice(f"Resuming: {count - len(pending):,} of {counted(count, 'part')} done already.")
        try:
            if pending:
                for _ in track(write_parts(job, pending, workers), len(pending), "predicting", "parts"):
                    pass
        except KeyboardInterrupt:
            notice("Stopped. Finished parts are kept; run the same command to resume.")
            raise
        images, faces, bad = count_finished(job.folder)
    rest = f"; {bad:,} skipped, listed in {job.folder / 'images'}" if bad else ""
    # As without --engine ray: skipped images are not counted among the others.
    typer.echo(f"{job.folder}: {counted(faces, 'face')} in {counted(images - bad, 'image')}{rest}")
    if images and bad == images:
        raise DataError(f"None of {images:,} images could be read; {job.folder} lists the reasons.", code="no-images")


def _check_parts_options(out: Path | None, **refused: bool) -> Path:
    """The folder of ``--out``, or a :class:`DataError` for what does not go with ``--engine ray`` (``options``)."""
    for name, is_given in refused.items():
        if is_given:
            option = "--" + name.replace("_", "-")
            raise DataError(f"--engine ray writes tables into the folder --out; leave out {option}.", code="options")
    if out is None:
        raise DataError("--engine ray writes into a folder; give --out DIR.", code="options")
    if out.suffix.lower() in {".jsonl", ".csv", ".parquet"}:
        raise DataError(f"--engine ray writes into a folder; {out} names a file. Give --out DIR.", code="options")
    return out
