"""``mien evaluate``: evaluate models on labelled images, or any model's predictions. Works without torch."""

from dataclasses import replace
from pathlib import Path

import typer

from mien.api.evaluate import evaluate_file, evaluate_models, run_with_ledger
from mien.base.errors import DataError
from mien.base.labels import parse_scheme
from mien.base.run_folder import check_out
from mien.cli.output import check_overwrite, notice, show, show_json, show_notices
from mien.cli.source import SourceOptions
from mien.cli.usage import leave_out
from mien.data.splits import OFFICIAL_ORIGIN
from mien.evaluation.named_metrics import find_metrics
from mien.page.terminal import evaluation_text, rich_table
from mien.page.wording import counted
from mien.pipeline.evaluate import EvaluateOptions, EvaluationResult
from mien.pipeline.evaluation_files import file_names
from mien.pipeline.measured_split import holds_test


def evaluate(
    models: list[str] | None = None,
    *,
    data: Path | None = None,
    split: str | None = None,
    by: str | None = None,
    metric: list[str] | None = None,
    ensemble: bool = False,
    out: Path | None = None,
    predictions: Path | None = None,
    tta: int = 1,
    classes: str | None = None,
    data_options: SourceOptions,
    provider: str | None = None,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Evaluate models on one split of labelled images, or evaluate the predictions of any model.

    Several models are shown in one table: metrics with intervals, parameters, size, time. With --classes, probabilities
    are summed over merged classes, and samples of dropped classes are left out. Only this command uses the test split,
    and the model's run folder records each use.

    Options:
        models (MODEL): Run folders, .onnx files, or built-in models: default, fast, tiny, best, or one of them with
            -int8.
        split (SPLIT): train, validation (the default; PublicTest of FER2013), test (PrivateTest), or all faces.
        by (COLUMN): Also compute metrics for each value of this column.
        metric (METRIC): Another metric: kappa, mcc, top2_accuracy, recall.CLASS, ..., or file.py:function, your own
            function of labels and probabilities. Can be repeated.
        ensemble: Evaluate several models as one, by the mean of their probabilities.
        out (DIR): Write predictions_SPLIT.npz, metrics.json and report.html to this folder; of several models
            report.html and tables/.
        predictions (FILE): Evaluate this predictions file (docs/predictions.md) instead of a model.
    """
    if data is not None and predictions is None:
        data_options.at(data).check()
    scheme, metrics = parse_scheme("all" if classes is None else classes), find_metrics(metric or ())
    options = EvaluateOptions(split or "validation", by, tta, scheme, metrics)
    in_table = len(models or ()) > 1 and not ensemble
    if out is not None:
        check_out(out, data, for_page=in_table)
    if predictions is not None:
        given = {"MODEL": models, "--data": data, "--split": split, "--by": by, "--tta": tta != 1}
        given |= {"--provider": provider, "--ensemble": ensemble}
        given |= {"options of --data": data_options != SourceOptions()}
        leave_out("--predictions FILE already holds labels and probabilities of one split", given)
        result = replace(evaluate_file(predictions, classes=classes, metrics=metrics), name=predictions.stem)
        check_overwrite(out, file_names(result.predictions.split), overwrite)
        words = "a predictions file does not say which samples copy training samples. mien report --data PATH does."
        notice(words, "copies-unknown")
        _show(result, out, {"predictions": str(predictions)}, overwrite, json)
        return
    if not models or data is None:
        raise DataError("mien evaluate needs MODEL and --data PATH, or --predictions FILE alone.", code="options")
    source = data_options.at(data)
    check_overwrite(out, ("report.html", "tables") if in_table else file_names(options.split), overwrite)
    found = evaluate_models(models, source, options, ensemble=ensemble, provider=provider)
    results = [found] if isinstance(found, EvaluationResult) else [*found]
    notice(f"{source.path}: splits: {results[0].split_origin}")
    for each in results:
        _tell_use(each)
    metadata = {"model": ", ".join(models), **source.environment()}
    if isinstance(found, EvaluationResult):
        _show(found, out, metadata, overwrite, json)
        return
    show_notices(found.notices)
    if out is not None:
        notice(f"report: {found.write(out, metadata)}")
    show_json(found.to_dict()) if json else show(rich_table(found.table))


def _show(result: EvaluationResult, out: Path | None, metadata: dict[str, str], overwrite: bool, json: bool) -> None:
    """Print an evaluation, and write its files if there is a folder."""
    show_notices(result.notices)
    if result.merged:
        notice(f"{result.merged}.", "classes-merged")
    report = None if out is None else result.write(out, metadata, overwrite=overwrite)
    if json:
        show_json(result.to_dict())
    else:
        show(evaluation_text(result.evaluation))
        if result.predictions.note:
            typer.echo(f"\nPredictions are {result.predictions.note}.")
        if result.temperature_note:
            typer.echo(f"\nProbabilities are {result.temperature_note}.")
    if out is not None:
        notice(f"report: {report}" if report else f"{out}: no report; it needs pip install 'mien[report]'.")


def _tell_use(result: EvaluationResult) -> None:
    """Print how often the test split was used, or that only a part of the data was evaluated."""
    run = None if result.model is None else run_with_ledger(result.model)
    everything, split = result.measured.data, result.predictions.split
    if holds_test(result.predictions, result.measured.faces):
        if run is not None:
            notice(f"The test split has now been used {counted(run.test_uses(), 'time')} with this model ({run.path}).")
        else:
            alone = " This model has no run folder of yours, so no ledger was kept." if result.model else ""
            notice(f"The test split was used.{alone}")
    elif everything is not None and run is None and split == "validation" and not result.evaluation.trained_on:
        part, whole = int((everything.split == split).sum()), len(everything)
        if result.split_origin != OFFICIAL_ORIGIN and not (everything.split == "test").any() and part < whole:
            notice(f"{part:,} of {whole:,} faces were evaluated. For all: --split all", "part-measured")
