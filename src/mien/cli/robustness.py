"""``mien robustness``: how much accuracy bad pictures leave. Works without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import (
    CleanOption,
    DataOption,
    JsonOption,
    MapOption,
    ModelOption,
    OverwriteOption,
    QuietOption,
    SkipBadOption,
    check_overwrite,
    remark,
    show,
    show_json,
)
from mien.cli.source import Source

if TYPE_CHECKING:
    from mien.evaluation.robustness import RobustnessResult
    from mien.evaluation.robustness_file import Relative


def robustness(
    model: ModelOption,
    data: DataOption,
    split: Annotated[str, typer.Option(help="validation or train; only mien evaluate opens test.")] = "validation",
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="Another model's robustness.json, or its folder; gives the mean corruption error.", metavar="PATH"
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write robustness.json into this folder.", metavar="DIR")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many faces, drawn evenly at random.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the corruptions and of --limit.")] = 0,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure a model on faces with noise, blur, bad light, covered parts and more, at five strengths each."""
    import numpy as np

    from mien.errors import DataError, RunError
    from mien.evaluation.robustness import fingerprint_of_rows, measure_robustness
    from mien.evaluation.robustness_file import (
        NAME,
        Measurement,
        check_baseline,
        read_measurement,
        relative_to,
        write_measurement,
    )
    from mien.experiments.measure import faces_for
    from mien.inference.classifier import load

    if split == "test":
        raise DataError("Robustness is measured on validation or train; only mien evaluate opens the test split.")
    if out is not None and out.is_file():
        raise RunError(f"{out} is a file; --out names a folder.")
    check_overwrite(out, [NAME], overwrite)
    other = read_measurement(baseline) if baseline is not None else None
    classifier = load(model)
    result = Source(data, class_map, skip_bad, clean).read(classifier.manifest.input.size_px)
    faces = faces_for(classifier, result.faces).of_split(split)
    if limit is not None and limit < len(faces):
        faces = faces.subset(np.sort(np.random.default_rng(seed).choice(len(faces), limit, replace=False)))
    fingerprint = result.faces.fingerprint_for_scores(split)
    rows_fingerprint = fingerprint_of_rows(fingerprint, faces.rows, faces.labels, faces.classes)
    if other is not None:
        # Before minutes are spent on what could not be compared.
        check_baseline(other, str(baseline), faces.images, faces.labels, seed, rows_fingerprint)
    measured = measure_robustness(
        classifier.probabilities, faces.images, faces.labels, seed=seed, rows_fingerprint=rows_fingerprint
    )
    relative = relative_to(other, measured, str(baseline)) if other is not None else None
    measurement = Measurement(model, str(data), split, measured, relative, fingerprint)
    if out is not None:
        remark(f"written: {write_measurement(out, measurement)}")
    if json:
        show_json(measurement.to_dict())
    else:
        _show_table(measured, relative)


def _show_table(result: RobustnessResult, relative: Relative | None) -> None:
    from rich import box
    from rich.table import Table

    from mien.evaluation.corruptions import STRENGTHS
    from mien.report.wording import decimal, interval_text, percent, rows_text

    typer.echo(
        f"Clean accuracy {percent(result.clean_accuracy.value)} "
        f"({interval_text('accuracy', result.clean_accuracy)}), corrupted {percent(result.mean_accuracy.value)} "
        f"({interval_text('accuracy', result.mean_accuracy)}), on {rows_text(result.faces)}"
    )
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("accuracy % at strength")
    for header in (*map(str, STRENGTHS), "mean", *(("error / baseline's",) if relative is not None else ())):
        table.add_column(header, justify="right", no_wrap=True)
    for name, shares in zip(result.corruptions, result.accuracy, strict=True):
        ratio = (decimal(relative.errors.of[name]),) if relative is not None else ()
        table.add_row(name, *(f"{100 * share:.1f}" for share in (*shares, shares.mean())), *ratio)
    show(table)
    if relative is not None:
        typer.echo(
            f"Mean corruption error relative to the baseline: {decimal(relative.errors.mean)} (1 is as good as it)"
        )
