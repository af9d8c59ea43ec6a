"""``mien predict``: the faces in images, and the predicted expression of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.base.errors import DataError, Notice, without_password
from mien.base.images import UNREAD_ADVICE, missing_file
from mien.base.progress import track
from mien.cli.detection import DetectionOptions, note_photos_as_crops
from mien.cli.options import (
    ClassesOption,
    CropsOption,
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
from mien.inference.output_files import WRITERS, Columns, write_csv
from mien.inference.parts import PartsJob, count_finished, open_parts, pending_parts, write_parts
from mien.inference.predictor import load
from mien.inference.resumable_output import ResumableOutput
from mien.page.wording import counted

Answers = Iterator[dict[str, Any]]
"""As :mod:`mien.inference.resumable_output` describes them."""


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
    engine: EngineOption = "local",
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
    given = {"--annotate": annotate is not None, "--json": json, "--csv": as_csv}
    _check_options(images, out, detection, given, crops=crops, ray=engine == "ray")
    detector = None if crops else detection.detector()
    threads = None if engine == "local" and workers in {None, 1} else 1
    predictor = load(model, threads=threads, output=output, provider=provider)
    # Whatever can be refused is refused here, before anything is read or written.
    reader = FaceReader(predictor, detector, classes=classes, threshold=threshold)
    if engine == "ray" and out is not None:
        limits = (detection.min_score, detection.min_size, detection.max_faces)
        sources = tuple(name if is_address(name) else str(Path(name)) for name in images)
        job = PartsJob(out, sources, Path.cwd(), model, crops, *limits, output, classes, threshold, provider)
        _predict_parts(job, reader, workers)
        return
    paths = [Path(name) for name in images]
    annotator = None if annotate is None else Annotator(annotate, paths)
    total = _count(paths, skip_bad)
    settings = settings_of([str(path) for path in paths], model, reader, crops=crops, annotator=annotator)
    if crops:
        note_photos_as_crops(_files(paths))
    answers = partial(_predict, reader, crops=crops, annotator=annotator, skip_bad=skip_bad, workers=workers or 1)
    tally, columns = Tally(detector), Columns(reader.classes, crops, reader.fields)
    if out is not None:
        with ResumableOutput(out, settings, columns) as journal:
            _write(journal, paths, total, answers, tally)
    else:
        found = _collect(answers(_files(paths), total), tally)
        if json:
            show_json(found)
        elif as_csv:
            write_csv(sys.stdout, found, columns)
        else:
            show_answers(found)
            if not crops:
                typer.echo(tally)
    tally.note()
    if annotator is not None:
        notice(f"annotated images: {annotator.folder}")


def _check_options(
    images: list[str], out: Path | None, detection: DetectionOptions, given: dict[str, bool], *, crops: bool, ray: bool
) -> None:
    """Refuse what does not go together. Raises :class:`DataError`."""
    address = next(filter(is_address, images), "")
    if address.startswith(("http://", "https://")):
        raise missing_file(address)
    prints = given["--json"] or given["--csv"]
    named = " and ".join(name for name, is_given in given.items() if is_given)
    for is_wrong, text in (
        (
            crops and detection != DetectionOptions(),
            "--min-score, --min-size and --max-faces limit the faces found in photos; leave out --crops.",
        ),
        (crops and given["--annotate"], "--annotate draws boxes into photos; leave out --crops."),
        (given["--json"] and given["--csv"], "Give either --json or --csv."),
        (ray and named, f"--engine ray writes tables into the folder --out; leave out {named}."),
        (
            ray and (out is None or out.suffix.lower() in WRITERS),
            "--engine ray writes into a folder; give --out DIR.",
        ),
        (prints and out is not None, "The suffix of --out decides the format; leave out --json and --csv."),
        (
            address and not ray,
            f"{without_password(address)} is an address. To read it, give --engine ray and --out DIR.",
        ),
    ):
        if is_wrong:
            raise DataError(text, code="options")


def _collect(answers: Answers, tally: Tally) -> list[dict[str, Any]]:
    """All answers, before any is printed: a bad image late in the list leaves nothing half-written.

    Raises:
        DataError: an image that cannot be read, without ``--skip-bad``; no image could be read.
    """
    found = []
    for answer in answers:
        tally.add(answer)
        found.append(answer)
    if tally.nothing_predicted:
        raise DataError(f"None of {len(found):,} images could be read.", code="no-images")
    return found


def _write(
    journal: ResumableOutput,
    images: list[Path],
    total: int,
    answers: Callable[[Iterable[Path], int], Answers],
    tally: Tally,
) -> None:
    """Write the answers to a file that a killed command can resume."""
    if journal.found:
        notice(f"{journal.found:,} of {total:,} images are done already; resuming.")
    try:
        left = (file for file in _files(images) if str(file) not in journal)
        for answer in answers(left, max(total - journal.found, 0)):
            journal.add(answer)
    except KeyboardInterrupt:
        notice("Stopped. Finished images are kept; run the same command to resume.")
        raise
    journal.finish((str(file) for file in _files(images)), tally.add)
    typer.echo(f"{journal.out}: {tally}" + (f"; {journal.found:,} done before" if journal.found else ""))
    if tally.nothing_predicted:
        raise DataError(f"None of {total:,} images could be read; {journal.out} lists the reasons.", code="no-images")


def _predict(
    reader: FaceReader, files: Iterable[Path], total: int, *, crops: bool, workers: int, **how: Any
) -> Answers:
    """The answers for files, with progress; skipped files are listed."""
    if workers > 1:
        limit_opencv_threads(1)  # each worker is a thread
    stream = predict_files(reader, files, crops=crops, workers=workers, **how)
    for answer in track(stream, total, "predicting", "faces" if crops else "images"):
        if "error" in answer:
            notice(f"skipped: {answer['error']}")
        yield answer


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


def _predict_parts(job: PartsJob, reader: FaceReader, workers: int | None) -> None:
    """Predict what is pending of a job, and say what all of it came to. What workers would refuse is refused before."""
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
