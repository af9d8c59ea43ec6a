"""``mien predict --engine ray``: millions of images, in parts, by workers on one machine or many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from mien.cli.output import notice
from mien.errors import DataError
from mien.inference.parts import PartsJob, finished_counts, open_parts, pending_parts, write_parts
from mien.page.wording import counted
from mien.progress import track


def predict_parts(job: PartsJob, settings: dict[str, Any], workers: int | None) -> None:
    """Predict what is pending of a job, and say what all of it came to.

    Raises:
        MienError: as :func:`mien.inference.parts.open_parts` and :func:`mien.inference.parts.write_parts`.
        DataError: no image could be read (``no-images``).
    """
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
        totals = finished_counts(job.folder, count)
    images, faces, bad = (sum(getattr(each, name) for each in totals) for name in ("images", "faces", "unreadable"))
    rest = f"; {bad:,} skipped, listed in {job.folder / 'unreadable'}" if bad else ""
    # As without --engine ray: skipped images are not counted among the others.
    typer.echo(f"{job.folder}: {counted(faces, 'face')} in {counted(images - bad, 'image')}{rest}")
    if images and bad == images:
        raise DataError(f"None of {images:,} images could be read; {job.folder} lists the reasons.", code="no-images")


def check_parts_options(out: Path | None, **refused: bool) -> Path:
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
