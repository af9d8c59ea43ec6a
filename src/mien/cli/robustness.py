"""``mien robustness``: how accuracy drops on corrupted images. Works without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich import box
from rich.table import Table

from mien.cli.options import (
    DataOption,
    JsonOption,
    ModelArgument,
    OverwriteOption,
    QuietOption,
)
from mien.cli.output import check_overwrite, notice, show, show_json
from mien.cli.source import Source, SourceOptions
from mien.errors import DataError, RunError
from mien.evaluation.corruptions import STRENGTHS
from mien.evaluation.robustness import RobustnessResult, fingerprint_of_samples, measure_robustness
from mien.evaluation.robustness_file import (
    NAME,
    RelativeRobustness,
    RobustnessReport,
    check_baseline,
    read_robustness,
    relative_to,
    write_robustness,
)
from mien.inference.predictor import load
from mien.page.wording import counted, decimal, interval_text, percent, samples_text
from mien.pipeline.split_predictions import with_model_classes


@dataclass(frozen=True)
class _Options:
    model: str
    split: str
    baseline: Path | None
    limit: int | None
    seed: int


def robustness(
    model: ModelArgument,
    data: DataOption,
    split: Annotated[
        str, typer.Option("--split", help="validation or train. Only mien evaluate uses test.", metavar="SPLIT")
    ] = "validation",
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="The robustness.json of another model, or its folder, for the mean corruption error.",
            metavar="PATH",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write robustness.json to this folder.", metavar="DIR")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use at most N randomly chosen samples.", metavar="N")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the corruptions and of --limit.", metavar="N")] = 0,
    *,
    data_options: SourceOptions,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure a model on images with noise, blur, bad light, occlusion and more, at five strengths each."""
    if split == "test":
        raise DataError(
            "Robustness is measured on validation or train. Only mien evaluate uses the test split.", code="split-test"
        )
    data_options.at(data).check()
    if out is not None and out.is_file():
        raise RunError(f"{out} is a file; --out must name a folder.", code="out-is-file")
    check_overwrite(out, [NAME], overwrite)
    options = _Options(model, split, baseline, limit, seed)
    measurement = _measure(options, data_options.at(data))
    if out is not None:
        notice(f"written: {write_robustness(out, measurement)}")
    if json:
        show_json(measurement.to_dict())
    else:
        _show_table(measurement.result, measurement.relative)


def _measure(options: _Options, source: Source) -> RobustnessReport:
    other = read_robustness(options.baseline) if options.baseline is not None else None
    predictor = load(options.model).for_labels()
    result = source.read(*predictor.manifest.input.stored_as)
    faces = with_model_classes(predictor, result.faces).of_split(options.split)
    if options.limit is not None and options.limit < len(faces):
        chosen = np.random.default_rng(options.seed).choice(len(faces), options.limit, replace=False)
        faces = faces.subset(np.sort(chosen))
    fingerprint = result.faces.fingerprint_for_predictions(options.split)
    samples_fingerprint = fingerprint_of_samples(fingerprint, faces.rows, faces.labels, faces.classes)
    if other is not None:
        # Before minutes are spent on what could not be compared.
        check_baseline(other, str(options.baseline), faces.images, faces.labels, options.seed, samples_fingerprint)
    measured = measure_robustness(
        predictor.probabilities,
        faces.images,
        faces.labels,
        seed=options.seed,
        samples_fingerprint=samples_fingerprint,
        groups=faces.groups,
    )
    relative = relative_to(other, measured, str(options.baseline)) if other is not None else None
    return RobustnessReport(options.model, str(source.path), options.split, measured, relative, fingerprint)


def _show_table(result: RobustnessResult, relative: RelativeRobustness | None) -> None:
    typer.echo(
        f"Clean accuracy {percent(result.clean_accuracy.value)} "
        f"({interval_text('accuracy', result.clean_accuracy)}), corrupted {percent(result.mean_accuracy.value)} "
        f"({interval_text('accuracy', result.mean_accuracy)}), on {samples_text(result.faces)}"
        + ("" if result.groups is None else f"; intervals draw {counted(result.groups, 'group')}")
    )
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("accuracy % at strength")
    for header in (*map(str, STRENGTHS), "mean", *(("error / baseline's",) if relative is not None else ())):
        table.add_column(header, justify="right", no_wrap=True)
    for name, accuracies in zip(result.corruptions, result.accuracy, strict=True):
        ratio = (decimal(relative.errors.of[name]),) if relative is not None else ()
        table.add_row(name, *(f"{100 * each:.1f}" for each in (*accuracies, accuracies.mean())), *ratio)
    show(table)
    if relative is not None:
        typer.echo(
            f"Mean corruption error relative to the baseline: {decimal(relative.errors.mean)} (1 is equally robust)"
        )
