"""``mien evaluate``: a model against labelled faces, or anybody's scores. Works without torch."""

from __future__ import annotations

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
    clean_facts,
    page_facts,
    read,
    remark,
    show,
    show_json,
)
from mien.errors import DataError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mien.data.faceset import FaceSet
    from mien.data.read import ReadResult
    from mien.inference.classifier import Classifier


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help=f"{MODEL_HELP} Of several, probabilities are averaged.", metavar="MODEL"),
    ] = None,
    data: DataIfAnyOption = None,
    split: Annotated[
        str, typer.Option(help="train, validation (FER2013's PublicTest) or test (PrivateTest).")
    ] = "validation",
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
    from mien.evaluation.evaluate import break_down, evaluate_scores
    from mien.evaluation.scores import read_scores
    from mien.evaluation.threshold import DEFAULT_THRESHOLD, measure_threshold
    from mien.experiments.ensemble import score_together, temperatures_in_words
    from mien.experiments.measure import (
        faces_for,
        merged_words,
        seen_by,
        try_threshold,
        without_copies,
        write_evaluation,
    )
    from mien.inference.classifier import load
    from mien.inference.locate import find_run_of_model
    from mien.inference.views import check_views
    from mien.labels import check_threshold, parse_scheme
    from mien.report.table import break_down_table, evaluation_table, subsets_table, threshold_table

    check_out(out)
    scheme = parse_scheme("all" if classes is None else classes)
    at = DEFAULT_THRESHOLD if threshold is None else threshold
    about: dict[str, Any] = {"class_counts": {}}
    parts, subsets, tempered, tried = [], [], None, None
    if scores_file is not None:
        if models or data is not None or by is not None or views != 1:
            raise DataError(
                "--scores stands alone: the file holds labels and answers. Leave out --model, --data, --by, --views."
            )
        answers = read_scores(scores_file)
        _check_replaceable(out, answers.split, overwrite)
        scores = answers.with_scheme(scheme)
        if threshold is not None or len(scores.classes) == 2:
            tried = measure_threshold(scores, at, scores if scores.split == "validation" else None)
        about |= {"title": f"{scores_file.stem}: {scores.split}", "facts": {"scores": str(scores_file)}}
        remark("note: scores alone do not say which rows are copies of training rows; mien report --data PATH does.")
    elif not models or data is None:
        raise DataError("mien evaluate needs --model and --data, or --scores alone.")
    else:
        check_views(views)
        _check_replaceable(out, split, overwrite)
        classifiers = [load(model) for model in models]
        classifier = classifiers[0]
        if scheme is not None:
            scheme.mapping(classifier.classes, "the model")
        merged_classes = classifier.classes if scheme is None else scheme.classes
        if threshold is not None:
            check_threshold(threshold, merged_classes)
        results = _read_for(classifiers, data, class_map, skip_bad, clean)
        result = results[0]
        members = [(each, read_for.faces) for each, read_for in zip(classifiers, results, strict=True)]
        chosen = faces_for(classifier, result.faces.of_split(split)).with_scheme(scheme)
        column = _column(chosen, by)
        answers = score_together(members, split, views)
        scores = answers.with_scheme(scheme)
        tempered = temperatures_in_words(members, split)
        if split == "test":
            correct = float((scores.probabilities.argmax(1) == scores.labels).mean())
            use = {"data": str(data), "data_fingerprint": result.fingerprint, "accuracy": correct, **clean_facts(clean)}
            use |= {"answers": answers.note} if answers.note else {}
            _keep_ledger(models, use if scheme is None else {**use, "classes": scheme.name})
        if len(merged_classes) == 2 and answers.note:
            tried = measure_threshold(scores, at, scores if split == "validation" else None)
        elif len(merged_classes) == 2:
            tried = try_threshold(classifier, result.faces, answers, scheme, at)
        run = find_run_of_model(models[0]) if len(models) == 1 else None
        parts = break_down(scores, column) if column is not None else []
        seen = seen_by(classifiers, result.faces, result.uncleaned)
        subsets = without_copies(faces_for(classifier, seen), scores)
        about = {
            "title": f"{classifier.manifest.full_name}: {split}",
            "facts": {"model": ", ".join(models), "probabilities": tempered, **page_facts(data, clean)},
            "class_counts": faces_for(classifier, result.faces).with_scheme(scheme).counts_by_split(),
            "history": run.read_history() if run is not None else (),
            "best_epoch": classifier.manifest.epoch if run is not None else None,
        }
    if answers.note:
        about["facts"] = {"answers": answers.note, **about["facts"]}
    if scheme is not None:
        about["facts"] = {"classes": merged_words(answers, scores, scheme), **about["facts"]}
        remark(f"note: {about['facts']['classes']}.")
    evaluation = evaluate_scores(scores)
    report = None
    if out is not None:
        report = write_evaluation(out, scores, evaluation, threshold=tried, subsets=subsets, **about)
    if json:
        content = evaluation.to_dict()
        if scores.note:
            content["answers"] = scores.note
        if tried is not None:
            content["threshold"] = tried.to_dict()
        if subsets:
            content["subsets"] = [part.to_dict() for part in subsets]
        if by is not None:
            content["by"] = {"column": by, "parts": [part.to_dict() for part in parts]}
        show_json(content)
    else:
        show(evaluation_table(evaluation))
        if subsets:
            show(subsets_table(subsets))
        if tried is not None:
            show(threshold_table(tried))
        if scores.note:
            typer.echo(f"\nAnswers are {scores.note}.")
        if tempered is not None:
            typer.echo(f"\nProbabilities are {tempered}.")
        if by is not None:
            show(break_down_table(parts, by))
    if out is not None:
        remark(f"report: {report}" if report else f"{out}: no report; it needs pip install 'mien[report]'.")


def _check_replaceable(out: Path | None, split: str, overwrite: bool) -> None:
    """Refuse a folder that holds another measurement, before anything is measured."""
    from mien.run_folder import RunFolder

    check_overwrite(out, [RunFolder(Path()).scores(split).name, "metrics.json", "report.html"], overwrite)


def _read_for(
    classifiers: Sequence[Classifier], data: Path, class_map: str | None, skip_bad: bool, clean: Path | None
) -> list[ReadResult]:
    """The data at each model's size; models of one size share it."""
    of_size: dict[int, ReadResult] = {}
    for classifier in classifiers:
        size_px = classifier.manifest.input.size_px
        if size_px not in of_size:
            of_size[size_px] = read(
                data, size_px=size_px, class_map=class_map, skip_bad=skip_bad, clean=clean, again=bool(of_size)
            )
    return [of_size[classifier.manifest.input.size_px] for classifier in classifiers]


def _keep_ledger(models: Sequence[str], use: dict[str, Any]) -> None:
    """Write into every run's ledger that its test split was opened."""
    from mien.inference.locate import find_run_of_model, is_shipped

    for model in models:
        run = find_run_of_model(model)
        if run is not None and not is_shipped(model):
            run.note_test_use(use)
            remark(f"The test split has now been opened {run.test_uses()} time(s) with this model ({run.path}).")
        else:
            remark("The test split was opened; this model is in no run folder of yours, so no ledger was kept.")


def _column(faces: FaceSet, by: str | None) -> Any:
    """The column that ``--by`` names, before anything is measured; None without it."""
    if by is None:
        return None
    columns = {"source": faces.source, **faces.columns}
    if by not in columns:
        raise DataError(f"The data has no column '{by}'." + nearest(by, columns))
    if columns[by].ndim != 1:
        raise DataError(f"The column '{by}' holds {columns[by].shape[1]} values a face; --by takes one with one.")
    return columns[by]
