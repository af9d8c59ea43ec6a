"""``mien.report`` and ``mien.compare``: a full report on one model, and a comparison of two."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mien.api.evaluate import evaluate
from mien.api.inputs import Data, Model, environment, for_labels, read
from mien.base.errors import DataError, Notice
from mien.base.files import expand_home
from mien.base.run_folder import RunFolder, check_out, find_run, find_run_of_model, is_shipped
from mien.data.dataset import FINGERPRINT_PX
from mien.data.read import ReadResult
from mien.evaluation.named_metrics import Metric, find_metrics
from mien.evaluation.paired_tests import shared_samples
from mien.evaluation.predictions import Predictions, read_predictions
from mien.inference.predictor import Predictor
from mien.page.page import WrittenPage
from mien.pipeline.evaluate import EvaluationResult
from mien.pipeline.evaluation_files import find_predictions, write_report
from mien.pipeline.measured_split import MeasuredSplit, check_model
from mien.reporting.comparison import Comparison, compare_predictions


def report(
    predictions: Predictions | str | os.PathLike[str],
    data: Data | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    model: Model | None = None,
    split: str | None = None,
    explain: bool = True,
    metadata: Mapping[str, str] | None = None,
    metrics: Sequence[Metric] = (),
) -> WrittenPage:
    """Write a full report on predictions and errors as one page, with its charts and tables as files.

    Args:
        predictions: a run folder, an evaluation folder, a predictions file of any model, or a Predictions object.
        data: labelled faces of the predictions.
        out: folder for report.html, figures/ and tables/; default: report-SPLIT beside the predictions.
        model: model that made the predictions; default: the model of the run folder, if one is given.
        split: which predictions of a folder to use: train, validation (the default), test or all.
        explain: whether to add attention maps, which take half a minute and need data and model.
        metadata: more lines for the page about how it was made.
        metrics: further metrics, as in :func:`evaluate`.

    Raises:
        RunError: ``out`` is a run folder, an evaluation's, a file, or inside the data.
        DataError: the predictions are for other data, or another model made them.
        MissingExtraError: the extra ``report`` is not installed.
    """
    chosen, file, name, of_run = find_metrics(metrics), None, "predictions", None
    if not isinstance(predictions, Predictions):
        path = expand_home(predictions)
        file = path if path.is_file() else find_predictions(path, split)
        predictions = read_predictions(file)
        if split not in {None, predictions.split}:
            raise DataError(f"{file} has predictions for {predictions.split}, not {split}.", code="split-unknown")
        name, of_run = (file.stem, None) if file == path else (file.parent.resolve().name, path)
        if model is None and of_run is not None and RunFolder(path).model.is_file():
            # A run folder may have the name of a built-in model; then use its absolute path.
            model = path.absolute() if is_shipped(str(path)) else path
    where = model.path if isinstance(model, Predictor) else model
    predictor = None if model is None else for_labels(model)
    if predictor is not None and where is not None and of_run is not None:
        name = predictor.manifest.full_name if find_run(where).path.resolve() == of_run.resolve() else name
    # Unsafe characters in the split's name become hyphens.
    beside = "report-" + "".join(each if each.isalnum() or each in "-_." else "-" for each in predictions.split)
    default = beside if file is None else file.parent / beside
    folder = check_out(default if out is None else out, data, for_page=True)
    measured = _matched(predictions, predictor, data)
    return write_report(
        folder,
        measured,
        measured.evaluate(chosen),
        f"{name}: {predictions.split}",
        file=file,
        model_name=None if where is None else str(where),
        run=None if where is None else find_run_of_model(where),
        metadata={**({} if data is None else environment(data)), **(metadata or {})},
        explain=explain,
    )


def _matched(predictions: Predictions, model: Predictor | None, data: Data | None) -> MeasuredSplit:
    """Match predictions with the model that made them, which is checked, and with data."""
    if model is not None and model.classes != predictions.classes:
        words = f"The predictions have the classes {', '.join(predictions.classes)}, not {', '.join(model.classes)}."
        raise DataError(f"{words} Give the model that made them, or none.", code="classes-differ")
    if data is None:
        return MeasuredSplit(predictions, model)
    given = read(data, *((FINGERPRINT_PX, 1) if model is None else model.manifest.input.size_and_channels))
    split = MeasuredSplit.resolve(predictions, given.faces, model, uncleaned=given.uncleaned)
    checked = None if model is None or split.faces is None else check_model(model, split.faces, predictions)
    return split if checked is None else replace(split, predictions=replace(split.predictions, temperature=checked))


def compare(
    first: Model | Predictions | EvaluationResult,
    second: Model | Predictions | EvaluationResult,
    data: Data | None = None,
    split: Literal["train", "validation", "test", "all"] | None = None,
    *,
    shared_only: bool = False,
    metrics: Sequence[Metric] = (),
) -> Comparison:
    """Compare two models on the same samples, by differences with intervals and McNemar's test.

    Args:
        first: baseline: a model, its predictions (also a file of them), or its evaluation.
        second: other model, predictions or evaluation.
        data: labelled faces. A model needs them, unless it is a run or evaluation folder that contains predictions.
            They add metrics without copies, and faces on the page. Groups of the data replace those of the predictions.
        split: split to compare on. Predictions and evaluations have theirs. The default is validation, or the only
            split of a folder's predictions.
        shared_only: compare on the samples that both have; a warning counts the others.
        metrics: further metrics, as in :func:`evaluate`.

    Raises:
        DataError: a model is given without data, or the predictions differ in samples, labels, classes or data.
    """
    named = [_named_predictions(each, which, data, split) for each, which in ((first, "first"), (second, "second"))]
    if shared_only:
        named, notice = keep_shared_samples(named)
        notice.warn()
    return compare_named(named, None if data is None else read(data, FINGERPRINT_PX), metrics)[0]


def compare_named(
    named: Sequence[tuple[str, Predictions]], data: ReadResult | None, metrics: Sequence[Metric] = ()
) -> list[Comparison]:
    """Run :func:`compare` for the first model with each of the others.

    ``data`` adds metrics without copies, groups, and faces on the page. Raises DataError for fewer than two models.
    """
    if len(named) < 2:
        words = f"A comparison needs two models; found {len(named)}. Give another folder or --predictions FILE."
        raise DataError(words, code="options")
    # Leave out the same samples for all models.
    if known := [each.sample_ids[each.trained_on] for _, each in named if each.trained_on is not None]:
        trained = np.concatenate(known)
        named = [(name, replace(each, trained_on=np.isin(each.sample_ids, trained))) for name, each in named]
    (first, baseline), *others = [(name, _resolve(predictions, data)) for name, predictions in named]
    histories = {name: RunFolder(Path(name)).read_history() for name, _ in named}
    results = []
    for name, split in others:
        names = (first, name) if first != name else (f"{first} (1)", f"{name} (2)")
        try:
            found = compare_predictions(baseline.predictions, split.predictions, names=names, metrics=metrics)
        except DataError as error:
            raise DataError(f"{first} and {name}: {error}", code=error.code) from None
        if baseline.faces is not None:
            # Predictions for all samples, or a user's own split, have no subsets.
            theirs = {each.value: each for each in split.subsets()}
            subsets = tuple((each, theirs[each.value]) for each in baseline.subsets() if each.value in theirs)
            faces = baseline.faces.subset(np.argsort(baseline.predictions.sample_ids))
            found = replace(found, subsets=subsets, faces=faces)
        results.append(replace(found, histories={name: histories[name] for name in names if histories.get(name)}))
    return results


def keep_shared_samples(named: Sequence[tuple[str, Predictions]]) -> tuple[list[tuple[str, Predictions]], Notice]:
    """Keep the samples that occur in all predictions; a notice says how many samples each file loses.

    Raises DataError if no sample occurs in all predictions.
    """
    kept = shared_samples([predictions for _, predictions in named])
    parts = [
        f"{len(before) - len(after):,} of {len(before):,} samples of {name}"
        for (name, before), after in zip(named, kept, strict=True)
    ]
    pairs = [(name, after) for (name, _), after in zip(named, kept, strict=True)]
    words = f"compared on the {len(kept[0]):,} samples that all predictions have; excluded: {', '.join(parts)}"
    return pairs, Notice(words, code="samples-excluded")


def _resolve(predictions: Predictions, data: ReadResult | None) -> MeasuredSplit:
    if data is None:
        return MeasuredSplit(predictions)
    split = MeasuredSplit.resolve(predictions, data.faces, uncleaned=data.uncleaned, part_of_split=True)
    # Predictions of the data before it was cleaned match it too, sample by sample.
    return replace(split, predictions=replace(split.predictions, data_fingerprint=data.faces.fingerprint))


def _named_predictions(
    given: Model | Predictions | EvaluationResult, which: str, data: Data | None, split: Any
) -> tuple[str, Predictions]:
    if isinstance(given, EvaluationResult):
        return str(given.run.path) if given.run else given.name or which, given.predictions
    if isinstance(given, Predictions):
        return which, given
    if isinstance(given, str | os.PathLike) and Path(given).suffix.casefold() == ".npz":
        return str(given), read_predictions(given)
    # With data, a model predicts anew; the folder of an evaluation has none.
    folder = expand_home(given) if isinstance(given, str | os.PathLike) else None
    stored = folder is not None and not RunFolder(folder).is_run and any(folder.glob("predictions_*.npz"))
    if folder is not None and folder.is_dir() and (data is None or stored):
        return str(given), read_predictions(find_predictions(folder, split))
    if data is None:
        raise DataError("Give data to compare models, or give their predictions.", code="data-missing")
    done = evaluate(given, data, split or "validation")
    # Name runs by their paths, because two runs of one recipe have the same name.
    return str(given) if isinstance(given, (str, os.PathLike)) else done.name or which, done.predictions
