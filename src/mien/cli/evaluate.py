"""``mien evaluate``: models on labelled images, or predictions of any model. Works without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.api.evaluate import evaluate_read, run_with_ledger
from mien.api.text import evaluated_texts
from mien.cli.options import (
    MODEL_HELP,
    TTA_HELP,
    ClassesOption,
    JsonOption,
    OptionalDataOption,
    OverwriteOption,
    ProviderOption,
    QuietOption,
    ThresholdOption,
)
from mien.cli.output import check_out, check_overwrite, note, notice, page_metadata, show, show_json
from mien.cli.source import Source, SourceVotesOptions, absolute
from mien.errors import DataError
from mien.evaluation.predictions import read_predictions
from mien.inference.predictor import Predictor, load
from mien.inference.tta import check_tta
from mien.labels import parse_scheme
from mien.pipeline.evaluate import (
    EvaluatedSplit,
    EvaluateOptions,
    check_options,
    evaluate_predictions_only,
)
from mien.pipeline.evaluation_files import write_evaluation
from mien.run_folder import RunFolder


@dataclass(frozen=True)
class _Output:
    """Where to write. ``check`` refuses to replace files before anything is computed."""

    folder: Path | None
    overwrite: bool

    def check(self, split: str) -> None:
        names = [RunFolder(Path()).predictions(split).name, "metrics.json", "report.html"]
        check_overwrite(self.folder, names, self.overwrite)


@dataclass(frozen=True)
class _Result:
    """An evaluation, and what its page says beside the metrics."""

    measured: EvaluatedSplit
    name: str
    metadata: Mapping[str, str]
    history: Sequence[Mapping[str, Any]] = field(default=())
    best_epoch: int | None = None
    models: tuple[str, ...] = ()
    data_options: tuple[str, ...] = ()


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(help=f"{MODEL_HELP} With several models, their probabilities are averaged.", metavar="MODEL"),
    ] = None,
    data: OptionalDataOption = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            help="train, validation (the default; PublicTest of FER2013) or test (PrivateTest).",
            metavar="SPLIT",
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Also compute metrics for each value of this column.", metavar="COLUMN")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write predictions_SPLIT.npz, metrics.json and report.html to this folder.", metavar="DIR"),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Evaluate this predictions file (docs/predictions.md) instead of a model.", metavar="FILE"),
    ] = None,
    tta: Annotated[int, typer.Option(help=TTA_HELP, metavar="N")] = 1,
    classes: ClassesOption = None,
    threshold: ThresholdOption = None,
    *,
    data_options: SourceVotesOptions,
    provider: ProviderOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Evaluate models on one split of labelled images, or evaluate the predictions of any model.

    With --classes, probabilities are summed over merged classes, and samples of dropped classes are left out. Only this
    command uses the test split, and the model's run folder records each use.
    """
    if data is not None and predictions is None:
        data_options.at(data).check()
    check_out(out)
    scheme = parse_scheme("all" if classes is None else classes)
    options = EvaluateOptions(split or "validation", by, tta, scheme, threshold)
    output = _Output(out, overwrite)
    if predictions is not None:
        reading = data_options != SourceVotesOptions()
        told = {
            "MODEL": models,
            "--data": data,
            "--split": split,
            "--by": by,
            "--tta": tta != 1,
            "--provider": provider,
        }
        told["--map, --skip-bad, --clean, --votes or --group"] = reading
        if any(told.values()):
            raise DataError(
                "--predictions FILE already holds labels and probabilities of one split. Leave out "
                f"{' and '.join(name for name, given in told.items() if given)}.",
                code="options",
            )
        result = _of_predictions(predictions, options, output)
    elif not models or data is None:
        raise DataError("mien evaluate needs MODEL and --data PATH, or --predictions FILE alone.", code="options")
    else:
        result = _of_models(models, data_options.at(data), options, output, provider)
    for each in result.measured.notices:
        notice(each.line)
    if result.measured.merged:
        note(f"{result.measured.merged}.", "classes-merged")
    report = None if out is None else _write(out, result)
    if json:
        show_json(result.measured.to_dict())
    else:
        _show(result.measured)
    if out is not None:
        notice(f"report: {report}" if report else f"{out}: no report; it needs pip install 'mien[report]'.")


def _of_predictions(file: Path, options: EvaluateOptions, output: _Output) -> _Result:
    predictions = read_predictions(file)
    output.check(predictions.split)
    measured = evaluate_predictions_only(predictions, replace(options, split=predictions.split))
    note(
        "a predictions file does not say which samples are duplicates of training samples. "
        "mien report --data PATH does.",
        "copies-unknown",
    )
    metadata = {
        "predictions": str(file),
        **({"probabilities": measured.temperature_note} if measured.temperature_note else {}),
    }
    return _Result(measured, file.stem, metadata)


def _of_models(
    models: list[str], source: Source, options: EvaluateOptions, output: _Output, provider: str | None
) -> _Result:
    check_tta(options.views)
    output.check(options.split)
    predictors = [load(model, provider=provider).for_labels() for model in models]
    check_options(options, predictors[0])
    results = source.read_for(predictors)
    notice(f"{source.path}: splits: {results[0].split_origin}")
    done = evaluate_read(predictors, results, options, {"data": str(source.path), **source.metadata()})
    if options.split == "test":
        _show_test_uses(predictors)
    metadata = {
        "model": ", ".join(models),
        "probabilities": done.measured.temperature_note,
        **page_metadata(source.environment()),
    }
    result = _Result(
        done.measured,
        done.name,
        metadata,
        models=tuple(map(absolute, models)),
        data_options=tuple(source.absolute().options()),
    )
    if done.run is None:
        return result
    return replace(result, history=done.run.read_history(), best_epoch=predictors[0].manifest.epoch)


def _write(out: Path, result: _Result) -> Path | None:
    """Write the evaluation and its page; where the page is, if it could be made."""
    measured = result.measured
    of_predictions = {"classes": measured.merged, "averaging": measured.unmerged.note}
    return write_evaluation(
        out,
        replace(measured.predictions, models=result.models, data_options=result.data_options),
        measured.evaluation,
        title=f"{result.name}: {measured.predictions.split}",
        metadata={**result.metadata, **{fact: words for fact, words in of_predictions.items() if words}},
        class_counts=measured.class_counts,
        history=result.history,
        best_epoch=result.best_epoch,
        threshold=measured.threshold,
        subsets=measured.subsets,
        votes=measured.votes,
        trained_on=measured.trained_on,
    )


def _show(measured: EvaluatedSplit) -> None:
    for text in evaluated_texts(measured):
        show(text)
    if measured.predictions.note:
        typer.echo(f"\nPredictions are {measured.predictions.note}.")
    if measured.temperature_note:
        typer.echo(f"\nProbabilities are {measured.temperature_note}.")


def _show_test_uses(predictors: Sequence[Predictor]) -> None:
    for run in map(run_with_ledger, predictors):
        if run is not None:
            notice(f"The test split has now been used {run.test_uses()} time(s) with this model ({run.path}).")
        else:
            notice("The test split was used. This model has no run folder of yours, so no ledger was kept.")
