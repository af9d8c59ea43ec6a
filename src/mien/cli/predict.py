"""``mien predict``: the faces in images, and the predicted expression of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.base.errors import DataError, without_password
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
from mien.cli.usage import leave_out
from mien.inference.annotate import Annotator
from mien.inference.bulk import predict_files, settings_of
from mien.inference.face_reader import FaceReader
from mien.inference.image_files import count_unread, is_address, walk_sources
from mien.inference.output_files import WRITERS, Columns, write_csv
from mien.inference.parts import PartsJob, count_finished, open_parts, write_parts
from mien.inference.predictor import load
from mien.inference.resumable_output import ResumableOutput
from mien.page.wording import counted


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
    _check(images, out, ray=engine == "ray")
    printed = {"--json": json, "--csv": as_csv}
    if crops:
        leave_out(
            "--crops takes each image as a face: nothing is detected", {"--annotate": annotate, **detection.given()}
        )
    if engine == "ray":
        leave_out("--engine ray writes tables into the folder --out", {"--annotate": annotate, **printed})
    if out is not None:
        leave_out("The suffix of --out decides the format", printed)
    if json:
        leave_out("--json is one form of output", {"--csv": as_csv})
    detector = None if crops else detection.detector()
    threads = None if engine == "local" and workers in {None, 1} else 1
    predictor = load(model, threads=threads, output=output, provider=provider)
    # Whatever can be refused is refused here, before anything is read or written.
    reader = FaceReader(predictor, detector, classes=classes, threshold=threshold)
    sources = [name if is_address(name) else str(Path(name)) for name in images]
    annotator = None if annotate is None else Annotator(annotate, [Path(name) for name in sources])
    settings = settings_of(sources, model, reader, crops=crops, annotator=annotator)
    try:
        if engine == "ray" and out is not None:
            of_reader = (detection.limits, output, classes, threshold, provider)
            job = PartsJob(out, (*sources,), Path.cwd(), model, crops, *of_reader)
            _predict_parts(job, settings, workers)
            return

        def files() -> Iterator[Path]:
            return map(Path, walk_sources(sources, Path(), missing_too=skip_bad))

        def results(of: Iterator[Path], count: int) -> Iterator[dict[str, Any]]:
            """With progress; skipped images are listed."""
            found = predict_files(reader, of, crops=crops, annotator=annotator, skip_bad=skip_bad, workers=workers or 1)
            for each in track(found, count, "predicting", "faces" if crops else "images"):
                if "error" in each:
                    notice(f"skipped: {each['error']}")
                yield each

        _note_unread(sources)
        total = sum(1 for _ in files())
        if crops:
            note_photos_as_crops(files())
        tally, columns = Tally(detector), Columns(reader.classes, crops, reader.fields)
        if out is None:
            # All of them before any is printed: a bad image late in the list leaves nothing half-written.
            answers = list(results(files(), total))
            for each in answers:
                tally.add(each)
        else:
            with ResumableOutput(out, settings, columns) as journal:
                if done := journal.found:
                    notice(f"{done:,} of {total:,} images are done already; resuming.")
                left = (file for file in files() if str(file) not in journal)
                for each in results(left, max(total - done, 0)):
                    journal.add(each)
                journal.finish(map(str, files()), tally.add)
            typer.echo(f"{out}: {tally}" + (f"; {done:,} done before" if done else ""))
    except KeyboardInterrupt:
        if out is not None:
            notice("Stopped. What is finished is kept; run the same command to resume.")
        raise
    if tally.nothing_predicted:
        reasons = "" if out is None else f"; {out} lists the reasons"
        raise DataError(f"None of {total:,} images could be read{reasons}.", code="no-images")
    if json:
        show_json(answers)
    elif as_csv:
        write_csv(sys.stdout, answers, columns)
    elif out is None:
        show_answers(answers)
        if not crops:
            typer.echo(tally)
    tally.note()
    if annotator is not None:
        notice(f"annotated images: {annotator.folder}")


def _check(images: list[str], out: Path | None, *, ray: bool) -> None:
    """Refuse addresses and folders that the engine does not read and write. Raises :class:`DataError`."""
    address = next(filter(is_address, images), "")
    if address.startswith(("http://", "https://")):
        raise missing_file(address)
    if address and not ray:
        words = f"{without_password(address)} is an address. To read it, give --engine ray and --out DIR."
        raise DataError(words, code="options")
    if ray and (out is None or out.suffix.lower() in WRITERS):
        raise DataError("--engine ray writes into a folder; give --out DIR.", code="options")


def _note_unread(sources: list[str]) -> None:
    """Name photos of formats that are not read: they would be missed in silence."""
    for folder in filter(os.path.isdir, dict.fromkeys(sources)):
        if unread := count_unread(folder):
            words = f"{folder}: {unread:,} of other formats left out; {UNREAD_ADVICE}"
            notice(words, "images-left-out")


def _predict_parts(job: PartsJob, settings: dict[str, Any], workers: int | None) -> None:
    """Predict what is pending of a job, and say what all of it came to."""
    with open_parts(job, settings) as (count, pending):
        if len(pending) < count:
            notice(f"Resuming: {count - len(pending):,} of {counted(count, 'part')} done already.")
        if pending:
            for _ in track(write_parts(job, pending, workers), len(pending), "predicting", "parts"):
                pass
        images, faces, bad = count_finished(job.folder)
    rest = f"; {bad:,} skipped, listed in {job.folder / 'images'}" if bad else ""
    # As without --engine ray: skipped images are not counted among the others.
    typer.echo(f"{job.folder}: {counted(faces, 'face')} in {counted(images - bad, 'image')}{rest}")
    if images and bad == images:
        raise DataError(f"None of {images:,} images could be read; {job.folder} lists the reasons.", code="no-images")
