"""``mien evaluate``: a model against labelled faces, or anybody's scores. Works without torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.options import (
    MODEL_HELP,
    ClassesOption,
    CleanOption,
    DataIfAnyOption,
    JsonOption,
    MapOption,
    OverwriteOption,
    QuietOption,
    SkipBadOption,
    ThresholdOption,
    check_out,
    check_overwrite,
    page_facts,
    remark,
    show,
    show_json,
)
from mien.cli.source import Source
from mien.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mien.data.read import ReadResult
    from mien.evaluation.scores import Scores
    from mien.experiments.evaluating import Measured
    from mien.inference.classifier import Classifier
    from mien.labels import LabelScheme


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help=f"{MODEL_HELP} Of several, probabilities are averaged.", metavar="MODEL"),
    ] = None,
    data: DataIfAnyOption = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, validation (FER2013's PublicTest; by default) or test (PrivateTest)."),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Break figures down by a column of the data.", metavar="COLUMN")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write scores_SPLIT.npz, metrics.json and report.html into this folder.")
    ] = None,
    scores_file: Annotated[
        Path | None,
        typer.Option("--scores", help="Measure these scores (docs/scores.md) instead of a model.", metavar="FILE"),
    ] = None,
    views: Annotated[
        int, typer.Option(help="Average over 1, 2 (mirrored too) or 10 (corners too) views of each face.", metavar="N")
    ] = 1,
    classes: ClassesOption = None,
    threshold: ThresholdOption = None,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure a model on one split of labelled faces, or the scores of anybody's model.

    With --classes, probabilities are merged after the model's answer, and rows of classes that the scheme drops are
    left out. Only this command opens the test split of your data; the model's run folder keeps a ledger of each time.
    """
    from mien.evaluation.scores import read_scores
    from mien.experiments.evaluating import Asked, ask_models, check_asked, measure_models, measure_scores
    from mien.experiments.measure import write_evaluation
    from mien.inference.classifier import load
    from mien.inference.locate import find_run_of_model
    from mien.inference.views import check_views
    from mien.labels import parse_scheme

    check_out(out)
    asked = Asked(split or "validation", by, views, parse_scheme("all" if classes is None else classes), threshold)
    run = None
    if scores_file is not None:
        if any((models, data, split, by, views != 1, class_map is not None, skip_bad, clean)):
            raise DataError(
                "--scores stands alone: the file holds labels and answers of one split. Leave out --model, --data, "
                "--split, --by, --views, --map, --skip-bad and --clean."
            )
        answers = read_scores(scores_file)
        _check_replaceable(out, answers.split, overwrite)
        measured = measure_scores(answers, replace(asked, split=answers.split))
        name, facts = scores_file.stem, {"scores": str(scores_file)}
        facts |= {"probabilities": measured.tempered} if measured.tempered else {}
        remark("note: scores alone do not say which rows are copies of training rows; mien report --data PATH does.")
    elif not models or data is None:
        raise DataError("mien evaluate needs --model and --data, or --scores alone.")
    else:
        source = Source(data, class_map, skip_bad, clean)
        check_views(views)
        _check_replaceable(out, asked.split, overwrite)
        classifiers = [load(model) for model in models]
        check_asked(asked, classifiers[0])
        results = _read_for(classifiers, source)
        answers = ask_models(classifiers, results, asked)
        if asked.split == "test":
            # Now: whatever comes of measuring, it has been opened.
            use = {"data": str(data), "data_fingerprint": results[0].fingerprint, **source.facts()}
            _keep_ledger(models, answers, asked.scheme, use)
        measured = measure_models(classifiers, results, asked, answers)
        run = find_run_of_model(models[0]) if len(models) == 1 else None
        name = classifiers[0].manifest.full_name
        facts = {"model": ", ".join(models), "probabilities": measured.tempered, **page_facts(source.environment())}
    if measured.merged:
        remark(f"note: {measured.merged}.")
    report = None
    if out is not None:
        of_answers = {"classes": measured.merged, "answers": measured.answers.note}
        report = write_evaluation(
            out,
            measured.scores,
            measured.evaluation,
            title=f"{name}: {measured.scores.split}",
            facts={**{fact: words for fact, words in of_answers.items() if words}, **facts},
            class_counts=measured.class_counts,
            history=() if run is None else run.read_history(),
            best_epoch=None if run is None else classifiers[0].manifest.epoch,
            threshold=measured.threshold,
            subsets=measured.subsets,
        )
    if json:
        show_json(measured.to_dict())
    else:
        _show(measured)
    if out is not None:
        remark(f"report: {report}" if report else f"{out}: no report; it needs pip install 'mien[report]'.")


def _show(measured: Measured) -> None:
    from mien.report.table import break_down_table, evaluation_table, subsets_table, threshold_table

    show(evaluation_table(measured.evaluation))
    if measured.subsets:
        show(subsets_table(measured.subsets))
    if measured.threshold is not None:
        show(threshold_table(measured.threshold))
    if measured.scores.note:
        typer.echo(f"\nAnswers are {measured.scores.note}.")
    if measured.tempered:
        typer.echo(f"\nProbabilities are {measured.tempered}.")
    if measured.asked.by is not None:
        show(break_down_table(measured.parts, measured.asked.by))


def _check_replaceable(out: Path | None, split: str, overwrite: bool) -> None:
    """Refuse a folder that holds another measurement, before anything is measured."""
    from mien.run_folder import RunFolder

    check_overwrite(out, [RunFolder(Path()).scores(split).name, "metrics.json", "report.html"], overwrite)


def _read_for(classifiers: Sequence[Classifier], source: Source) -> list[ReadResult]:
    """The data at each model's size; models of one size share it."""
    of_size: dict[int, ReadResult] = {}
    for classifier in classifiers:
        size_px = classifier.manifest.input.size_px
        if size_px not in of_size:
            of_size[size_px] = source.read(size_px, again=bool(of_size))
    return [of_size[classifier.manifest.input.size_px] for classifier in classifiers]


def _keep_ledger(models: Sequence[str], answers: Scores, scheme: LabelScheme | None, use: dict[str, Any]) -> None:
    """Write into every run's ledger that its test split was opened."""
    from mien.inference.locate import find_run_of_model, is_shipped

    scores = answers.with_scheme(scheme)
    use = {**use, "accuracy": float((scores.probabilities.argmax(1) == scores.labels).mean())}
    use |= {"answers": scores.note} if scores.note else {}
    use |= {"classes": scheme.name} if scheme is not None else {}
    for model in models:
        run = find_run_of_model(model)
        if run is not None and not is_shipped(model):
            run.note_test_use(use)
            remark(f"The test split has now been opened {run.test_uses()} time(s) with this model ({run.path}).")
        else:
            remark("The test split was opened; this model is in no run folder of yours, so no ledger was kept.")
