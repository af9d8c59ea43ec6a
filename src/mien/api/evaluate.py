"""``mien.evaluate``: metrics of a model, or of a predictions file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mien.api.inputs import Data, Model, data_name, read, run_of
from mien.api.text import as_text, evaluated_texts, metrics_table
from mien.argument_names import names_arguments
from mien.data.read import ReadResult
from mien.errors import DataError, MienWarning
from mien.evaluation.predictions import Predictions, read_predictions
from mien.evaluation.results import Estimate
from mien.evaluation.vote_metrics import VoteEvaluation
from mien.hub import is_fetched
from mien.inference.find_model import SHIPPED, find_run
from mien.inference.predictor import Predictor, load
from mien.labels import parse_scheme
from mien.page.charts.overview import confusion_chart
from mien.page.charts.svg import Chart
from mien.page.sections import subsets_table
from mien.page.votes import majority_table
from mien.pipeline.evaluate import (
    EvaluatedSplit,
    EvaluateOptions,
    check_options,
    evaluate_models,
    evaluate_predictions_only,
    predict_with_models,
)
from mien.report.run import write_report
from mien.run_folder import RunFolder


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """A model's metrics on one split.

    Attributes:
        measured: everything that was measured, as values.
        model: the model, the first of several; None where a predictions file was measured.
        data: the data set as it was read; None likewise.
        run: the run folder of a single model.
        name: the name of the model, or of all, joined by `` + ``; empty where a predictions file was measured.
    """

    measured: EvaluatedSplit = field(repr=False)
    model: Predictor | None
    data: ReadResult | None = field(repr=False)
    run: RunFolder | None = field(repr=False)
    name: str = ""

    @property
    def metrics(self) -> Mapping[str, Estimate]:
        """Headline metrics by name, each with its 95% interval."""
        return self.measured.evaluation.headline

    @property
    def accuracy(self) -> Estimate:
        """Share of samples whose predicted class is the label, 0..1, with its 95% interval."""
        return self.measured.evaluation.accuracy

    @property
    def confusion_matrix(self) -> npt.NDArray[np.int64]:
        """int64 (C, C): rows are true classes, columns predicted ones."""
        return self.measured.evaluation.confusion

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the confusion matrix."""
        return self.measured.evaluation.classes

    @property
    def votes(self) -> VoteEvaluation | None:
        """How well annotators' votes are predicted, by FER+'s protocol and as distributions.

        None where these samples have no votes, where ``classes`` merged the classes, and where no output can be
        measured by them.
        """
        return self.measured.votes

    @property
    def predictions(self) -> Predictions:
        """Probabilities of every class for every sample, with labels and sample numbers."""
        return self.measured.predictions

    def plot_confusion_matrix(self) -> Chart:
        """The confusion matrix: percent of each true class, and counts. Needs the extra ``report``."""
        return confusion_chart(self.confusion_matrix, self.classes)

    def write_report(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``report.html`` with charts and tables, ``metrics.json`` and the predictions file into a folder.

        Raises:
            MissingExtraError: the extra ``report`` is not installed.
        """
        folder, averaged = Path(folder), self.predictions.note
        written = write_report(
            folder,
            self.predictions,
            title=f"{self.name or 'predictions'}: {self.predictions.split}",
            faces=None if self.data is None else self.data.faces,
            # Other probabilities than the model's own: merged, or averaged over views or models.
            model=None if self.measured.options.scheme is not None or averaged else self.model,
            run=self.run,
            robustness=[folder, *([] if self.run is None else [self.run.path])],
            explain=False,
            features=False,
            metadata={
                **({"model": self.name} if self.name else {}),
                **({"averaging": averaged} if averaged else {}),
            },
        )
        return written.page

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the content of ``metrics.json``."""
        return self.measured.to_dict()

    def __str__(self) -> str:
        return "\n".join(map(as_text, evaluated_texts(self.measured)))

    def _repr_html_(self) -> str:
        tables = [metrics_table(self.measured.evaluation)]
        if self.measured.subsets:
            tables.append(subsets_table(self.measured.subsets))
        if self.measured.votes is not None and self.measured.votes.majority:
            tables.append(majority_table(self.measured.votes))
        return "".join(each._repr_html_() for each in tables) + self.plot_confusion_matrix()._repr_svg_()


@names_arguments
def evaluate(
    model: Model | Sequence[Model],
    data: Data,
    split: Literal["train", "validation", "test"] = "validation",
    *,
    tta: int = 1,
    classes: str | None = None,
    threshold: float | None = None,
    by: str | None = None,
) -> EvaluationResult:
    """Measure a model on one split of labelled faces; of several models their mean probabilities.

    Each use of the test split is written into the ledger of the model's run folder.

    Args:
        model: a loaded model, a run folder, a ``.onnx`` file, or a name of :func:`list_models`; or several.
        data: labelled faces.
        split: which of them.
        tta: mean over 1, 2 (mirrored) or 10 (corners, too) views of each face.
        classes: merge classes by this label scheme; samples of classes that it drops are left out.
        threshold: between two classes, 0..1: predict the positive one from this probability up.
        by: a column of the data to break metrics down by.

    Raises:
        DataError: no such split, column or scheme; faces without labels that the model knows.
    """
    options = EvaluateOptions(split, by, tta, parse_scheme(classes or "all"), threshold)
    models = list(model) if isinstance(model, Sequence) and not isinstance(model, str) else [model]
    loaded = [(each if isinstance(each, Predictor) else load(each)).for_labels() for each in models]
    if not loaded:
        raise DataError("Give at least one model.", code="model-missing")
    check_options(options, loaded[0])
    results = [read(data, *each.manifest.input.stored_as) for each in loaded]
    result = evaluate_read(loaded, results, options, {"data": data_name(data)})
    for each in result.measured.notices:
        warnings.warn(MienWarning(str(each), code=each.code), stacklevel=3)
    return result


def evaluate_read(
    models: Sequence[Predictor], results: Sequence[ReadResult], options: EvaluateOptions, use: Mapping[str, Any]
) -> EvaluationResult:
    """:func:`evaluate`, once models are loaded and data is read.

    Args:
        models: at least one; checked by :func:`mien.pipeline.evaluate.check_options`.
        results: the data, read at the size of each model.
        options: what to measure.
        use: what the ledger says of the data, where the test split is used.
    """
    predictions = predict_with_models(models, results, options)
    if options.split == "test":
        # Noted before metrics are computed: whatever fails later, the split has been used.
        _note_test_use(models, results[0], predictions.with_scheme(options.scheme), options, use)
    run = run_of(models[0]) if len(models) == 1 else None
    name = " + ".join(each.manifest.full_name for each in models)
    return EvaluationResult(evaluate_models(models, results, options, predictions), models[0], results[0], run, name)


def run_with_ledger(model: Predictor) -> RunFolder | None:
    """The run folder in which uses of the test split are noted; None for others' models and lone files."""
    run = run_of(model)
    shipped = {find_run(name).path for name in SHIPPED}
    return None if run is None or run.path in shipped or is_fetched(run.path) else run


@names_arguments
def evaluate_file(path: str | os.PathLike[str], *, classes: str | None = None) -> EvaluationResult:
    """Measure a predictions file of any model, without the model and without images. See docs/predictions.md."""
    predictions = read_predictions(path)
    options = EvaluateOptions(predictions.split, scheme=parse_scheme(classes or "all"))
    return EvaluationResult(evaluate_predictions_only(predictions, options), None, None, None)


def _note_test_use(
    models: Sequence[Predictor],
    result: ReadResult,
    predictions: Predictions,
    options: EvaluateOptions,
    use: Mapping[str, Any],
) -> None:
    facts = {"data_fingerprint": result.fingerprint, **use}
    facts["accuracy"] = float((predictions.probabilities.argmax(1) == predictions.labels).mean())
    facts |= {"note": predictions.note} if predictions.note else {}
    facts |= {"classes": options.scheme.name} if options.scheme is not None else {}
    for run in map(run_with_ledger, models):
        if run is not None:
            run.note_test_use(facts)
