"""``mien predict``: the faces in photos, and what a model reads in them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from mien.cli.options import (
    ClassesOption,
    JsonOption,
    ModelOption,
    QuietOption,
    SkipBadOption,
    ThresholdOption,
    remark,
    show_json,
)
from mien.errors import DataError, MienError

if TYPE_CHECKING:
    from mien.cli.predict_view import Tally
    from mien.inference.classifier import Classifier
    from mien.inference.many import Wishes

    Answers: TypeAlias = Iterator[dict[str, Any]]

OUT_HELP = "Write the answers into this .jsonl, .csv or .parquet file; killed and run again, it goes on."
ANNOTATE_HELP = "Write each picture with its faces' boxes and readings into this folder."


def predict(
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    model: ModelOption = "default",
    crops: Annotated[bool, typer.Option("--crops", help="Each image is a face already; none is looked for.")] = False,
    annotate: Annotated[Path | None, typer.Option(help=ANNOTATE_HELP, metavar="DIR")] = None,
    out: Annotated[Path | None, typer.Option(help=OUT_HELP, metavar="FILE")] = None,
    workers: Annotated[int, typer.Option(min=1, help="How many images are worked on at a time.", metavar="N")] = 1,
    classes: ClassesOption = None,
    threshold: ThresholdOption = None,
    json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    skip_bad: SkipBadOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find the faces in photos, and read the expression in each."""
    from mien.cli.predict_view import Tally, show_answers
    from mien.faces.find import find_detector
    from mien.inference.annotate import Annotator
    from mien.inference.answer_files import write_csv
    from mien.inference.classifier import load
    from mien.inference.many import Wishes

    if json and as_csv:
        raise DataError("Give --json or --csv, not both.")
    if out is not None and (json or as_csv):
        raise DataError("--out says by its name what is written; leave out --json and --csv.")
    if crops and annotate is not None:
        raise DataError("--annotate draws faces into photos; with --crops each image is a face.")
    wishes = Wishes(
        detector=None if crops else find_detector(),
        classes=classes,
        threshold=threshold,
        annotator=None if annotate is None else Annotator(annotate, images),
        skip_bad=skip_bad,
    )
    classifier = load(model, threads=None if workers == 1 else 1)
    # All that can be refused is refused here, before anything is read or written.
    names = classifier.merging(classes, threshold)[1]
    total = _count(images, skip_bad)
    tally = Tally(wishes.detector)
    work = partial(_answers, classifier, wishes, workers)
    if out is not None:
        before = _write(out, _settings(model, wishes, images), names, images, total, work, tally)
        typer.echo(f"{out}: {tally}" + (f"; {before:,} done before" if before else ""))
        if tally.nothing_read:
            raise DataError(f"Not one picture of {total:,} could be read; {out} says why.")
        if annotate is not None:
            remark(f"drawn into: {annotate}")
        return
    # Collected before anything is printed: a bad image late in the list must leave no half of an answer on stdout, nor
    # of the pictures that are drawn.
    answers = []
    try:
        for answer in work(_files(images), total):
            tally.add(answer)
            if "error" not in answer:
                answers.append(answer)
    except MienError:
        if wishes.annotator is not None:
            wishes.annotator.take_back()
        raise
    if tally.nothing_read:
        raise DataError(f"Not one picture of {total:,} could be read.")
    if annotate is not None:
        remark(f"drawn into: {annotate}")
    if json:
        show_json(answers)
    elif as_csv:
        write_csv(sys.stdout, answers, names, crops)
    else:
        show_answers(answers, crops)
        if not crops:
            typer.echo(tally)


def _answers(classifier: Classifier, wishes: Wishes, workers: int, files: Iterable[Path], total: int) -> Answers:
    """The answers about files, with progress; what is left out is said."""
    from mien.inference.many import read_files
    from mien.progress import track

    if workers > 1:
        import cv2

        # Each worker is a thread; OpenCV's own would fight them for the cores.
        cv2.setNumThreads(1)
    stream = read_files(classifier, files, wishes, workers)
    for answer in track(stream, total, "reading", "faces" if wishes.detector is None else "pictures"):
        if "error" in answer:
            remark(f"left out: {answer['error']}")
        yield answer


def _write(
    out: Path,
    settings: dict[str, Any],
    names: tuple[str, ...],
    images: list[Path],
    total: int,
    work: Callable[[Iterable[Path], int], Answers],
    tally: Tally,
) -> int:
    """Write the answers about all images, and count them; how many there were already."""
    from mien.inference.answers import Journal

    with Journal(out, settings, names) as journal:
        if journal.found:
            remark(f"{journal.found:,} of {total:,} are done already; going on.")
        left = (file for file in _files(images) if not journal.holds(str(file)))
        try:
            for answer in work(left, max(total - journal.found, 0)):
                journal.add(answer)
        except KeyboardInterrupt:
            remark("stopped; what is done is kept, and the same command goes on.")
            raise
        journal.finish(tally.add)
        return journal.found


def _settings(model: str, wishes: Wishes, images: list[Path]) -> dict[str, Any]:
    """All that decides the answers: what a command must share to go on with another's work.

    Without ``--skip-bad``: pictures that could not be read are no work that is done.
    """
    from mien.faces.find import choose
    from mien.inference.locate import find_model
    from mien.version import __version__

    yunet = None if wishes.detector is None else choose()[0]
    annotator = wishes.annotator
    return {
        "mien": __version__,
        "images": sorted({str(path) for path in images}),
        # Pictures are known by the names that were given, which may say where from.
        "working folder": None if all(path.is_absolute() for path in images) else str(Path.cwd()),
        "model": _digest(find_model(model)),
        "detector": None if wishes.detector is None else wishes.detector.name,
        "detector's file": None if yunet is None else _digest(yunet),
        "crops": wishes.detector is None,
        "classes": wishes.classes,
        "threshold": wishes.threshold,
        "annotate": None if annotator is None else str(annotator.folder.resolve()),
        "annotated below": None if annotator is None else annotator.shared,
    }


def _digest(path: Path) -> str:
    from hashlib import sha256

    return f"sha256:{sha256(path.read_bytes()).hexdigest()[:16]}"


def _files(images: list[Path]) -> Iterator[Path]:
    from mien.inference.image_files import walk_images

    for path in dict.fromkeys(images):
        if path.is_dir():
            yield from walk_images(path)
        else:
            yield path


def _count(images: list[Path], skip_bad: bool) -> int:
    """How many files there are. Raises :class:`DataError` for a folder without any, and a file that is not there."""
    from mien.inference.image_files import no_images
    from mien.pictures import missing

    total = 0
    for path in dict.fromkeys(images):
        inside = sum(1 for _ in _files([path]))
        if not inside:
            raise no_images(path)
        if not skip_bad and not os.path.lexists(path):
            raise missing(path)
        total += inside
    return total
