"""``mien evaluate``: evaluate a model on labelled images, or any model's predictions. Works without torch."""

from dataclasses import replace
from pathlib import Path

import typer

from mien.api.evaluate import evaluate_file, evaluate_read, run_with_ledger
from mien.base.errors import DataError
from mien.base.labels import parse_scheme
from mien.base.run_folder import check_out
from mien.cli.output import check_overwrite, notice, show, show_json, show_notices
from mien.cli.source import Source, SourceOptions
from mien.cli.usage import leave_out
from mien.data.splits import OFFICIAL_ORIGIN
from mien.evaluation.named_metrics import find_metrics
from mien.inference.predictor import load
from mien.inference.tta import check_tta
from mien.page.terminal import evaluation_text
from mien.page.wording import counted
from mien.pipeline.evaluate import EvaluateOptions, EvaluationResult, check_options
from mien.pipeline.evaluation_files import file_names
from mien.pipeline.measured_split import holds_test


def evaluate(
    model: str | None = None,
    *,
    data: Path | None = None,
    split: str | None = None,
    by: str | None = None,
    metric: list[str] | None = None,
    out: Path | None = None,
    predictions: Path | None = None,
    tta: int = 1,
    classes: str | None = None,
    data_options: SourceOptions,
    provider: str | None = None,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Evaluate a model on one split of labelled images, or evaluate the predictions of any model.

    With --classes, probabilities are summed over merged classes, and samples of dropped classes are left out. Only this
    command uses the test split, and the model's run folder records each use.

    Options:
        split (SPLIT): train, validation (the default; PublicTest of FER2013), test (PrivateTest), or all faces.
        by (COLUMN): Also compute metrics for each value of this column.
        metric (METRIC): Another metric: kappa, mcc, top2_accuracy, recall.CLASS, ..., or file.py:function, your own
            function of labels and probabilities. Can be repeated.
        out (DIR): Write predictions_SPLIT.npz, metrics.json and report.html to this folder.
        predictions (FILE): Evaluate this predictions file (docs/predictions.md) instead of a model.
    """
    if data is not None and predictions is None:
        data_options.at(data).check()
    if out is not None:
        check_out(out, data)
    scheme, metrics = parse_scheme("all" if classes is None else classes), find_metrics(metric or ())
    options = EvaluateOptions(split or "validation", by, tta, scheme, metrics)
    if predictions is not None:
        given = {"MODEL": model, "--data": data, "--split": split, "--by": by, "--tta": tta != 1}
        given |= {"--provider": provider, "options of --data": data_options != SourceOptions()}
        leave_out("--predictions FILE already holds labels and probabilities of one split", given)
        result = replace(evaluate_file(predictions, classes=classes, metrics=metrics), name=predictions.stem)
        check_overwrite(out, file_names(result.predictions.split), overwrite)
        notice(
            "a predictions file does not say which samples are duplicates of training samples. "
            "mien report --data PATH does.",
            "copies-unknown",
        )
        metadata = {"predictions": str(predictions)}
    elif model is None or data is None:
        raise DataError("mien evaluate needs MODEL and --data PATH, or --predictions FILE alone.", code="options")
    else:
        source = data_options.at(data)
        check_overwrite(out, file_names(options.split), overwrite)
        result = _evaluate_model(model, source, options, provider)
        metadata = {"model": model, **source.environment()}
    show_notices(result.notices)
    if result.merged:
        notice(f"{result.merged}.", "classes-merged")
    report = None if out is None else result.write(out, metadata, overwrite=overwrite)
    if json:
        show_json(result.to_dict())
    else:
        _show(result)
    if out is not None:
        notice(f"report: {report}" if report else f"{out}: no report; it needs pip install 'mien[report]'.")


def _show(result: EvaluationResult) -> None:
    show(evaluation_text(result.evaluation))
    if result.predictions.note:
        typer.echo(f"\nPredictions are {result.predictions.note}.")
    if result.temperature_note:
        typer.echo(f"\nProbabilities are {result.temperature_note}.")


def _evaluate_model(model: str, source: Source, options: EvaluateOptions, provider: str | None) -> EvaluationResult:
    check_tta(options.tta)
    predictor = load(model, provider=provider).for_labels()
    check_options(options, predictor)
    data = source.read(*predictor.manifest.input.stored_as)
    notice(f"{source.path}: splits: {data.split_origin}")
    result = evaluate_read(predictor, data, options, {"data": str(source.path), **source.metadata()})
    run = run_with_ledger(predictor)
    part, whole = int((data.faces.split == options.split).sum()), len(data.faces)
    own = data.split_origin != OFFICIAL_ORIGIN and not (data.faces.split == "test").any()
    if own and not result.evaluation.trained_on and run is None and options.split == "validation" and part < whole:
        notice(f"{part:,} of {whole:,} faces were evaluated. For all: --split all", "part-measured")
    is_test = holds_test(result.predictions, result.measured.faces)
    if is_test and run is not None:
        notice(f"The test split has now been used {counted(run.test_uses(), 'time')} with this model ({run.path}).")
    elif is_test:
        notice("The test split was used. This model has no run folder of yours, so no ledger was kept.")
    return result
