"""``mien.evaluate``: metrics of a model, or of a predictions file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mien.api.inputs import Data, Model, data_name, for_labels, read, run_of
from mien.api.report import ReportInputs, write_measured
from mien.base.errors import DataError, MienWarning, Notice
from mien.base.files import check_replaceable
from mien.base.labels import LabelScheme, parse_scheme
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.read import ReadResult
from mien.evaluation.calibration import reliability
from mien.evaluation.curves import precision_recall_curves, roc_curves
from mien.evaluation.error_analysis import worst_mistakes
from mien.evaluation.predictions import Predictions, read_predictions
from mien.evaluation.results import Estimate, Evaluation
from mien.evaluation.vote_metrics import VoteEvaluation
from mien.inference.find_model import SHIPPED, find_run
from mien.inference.predictor import Predictor
from mien.page.blocks import Column, Table
from mien.page.charts.curves import precision_recall_chart, reliability_chart, roc_chart
from mien.page.charts.overview import confusion_chart
from mien.page.charts.svg import Chart
from mien.page.sections import classification_report, majority_table, metrics_table, subsets_table
from mien.page.terminal import as_text, evaluation_text
from mien.pipeline.evaluate import (
    EvaluateOptions,
    break_down_by,
    check_options,
    merging_description,
    predict_to_evaluate,
)
from mien.pipeline.evaluation_files import file_names, write_evaluation
from mien.pipeline.measured_split import MeasuredSplit, holds_test
from mien.pipeline.split_predictions import temperature_description


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """A model's metrics on one split.

    Attributes:
        evaluation: all metrics, as values.
        measured: the predictions with the faces and models behind them, under the merged classes.
        model: the model; None where a predictions file was measured.
        run: the run folder of the model.
        name: the name of the model; empty where a predictions file was measured.
        merged: in words, what merging classes did; empty if nothing was merged.
        temperature_note: in words, how the model's temperature was used; empty if unknown.
        notices: what to know: a model was trained on samples of the split.
    """

    evaluation: Evaluation = field(repr=False)
    measured: MeasuredSplit = field(repr=False)
    model: Predictor | None = None
    run: RunFolder | None = field(repr=False, default=None)
    name: str = ""
    merged: str = field(repr=False, default="")
    temperature_note: str = field(repr=False, default="")
    notices: Sequence[Notice] = ()

    @property
    def predictions(self) -> Predictions:
        """Probabilities of every class for every sample, with labels and sample ids."""
        return self.measured.predictions

    @property
    def class_counts(self) -> Mapping[str, Sequence[int]]:
        """Faces of each class in each split of the data; empty for a predictions file."""
        return self.measured.class_counts

    @property
    def metrics(self) -> Mapping[str, Estimate]:
        """Headline metrics by name, each with its 95% interval."""
        return self.evaluation.headline

    @property
    def accuracy(self) -> Estimate:
        """Share of samples whose predicted class is the label, 0..1, with its 95% interval."""
        return self.evaluation.accuracy

    @property
    def confusion_matrix(self) -> npt.NDArray[np.int64]:
        """int64 (C, C): rows are true classes, columns predicted ones."""
        return self.evaluation.confusion

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the confusion matrix."""
        return self.evaluation.classes

    @property
    def votes(self) -> VoteEvaluation | None:
        """How well annotators' votes are predicted, by FER+'s protocol and as distributions.

        None where these samples have no votes, where ``classes`` merged the classes, and where no output can be
        measured by them.
        """
        return self.evaluation.votes

    def mistakes(self) -> Table:
        """All misclassified samples: file, label, prediction and the probability of every class; surest first.

        It has ``save("mistakes.csv")`` (``.json``, ``.md``, ``.tex``), ``to_pandas()`` and ``rows``. ``file`` is empty
        where a predictions file was measured.
        """
        order = worst_mistakes(self.predictions.labels, self.predictions.probabilities, len(self.predictions))
        faces, classes = self.measured.faces, self.classes
        own = ("file", "sample", "label", "prediction")
        columns = (*(Column(name, "text") for name in own), *(Column(f"p({name})") for name in classes))
        rows = []
        for at in order.tolist():
            values, file = self.predictions.probabilities[at], "" if faces is None else str(faces.source[at])
            names = classes[self.predictions.labels[at]], classes[int(values.argmax())]
            rows.append((file, int(self.predictions.sample_ids[at]), *names, *values.tolist()))
        return Table("mistakes", columns, rows)

    def per_class(self) -> Table:
        """Precision, recall, F1, AUC and samples of each class, and their averages."""
        return classification_report(self.evaluation)

    def plot_confusion_matrix(self) -> Chart:
        """The confusion matrix: percent of each true class, and counts. Needs the extra ``report``, as all charts."""
        return confusion_chart(self.confusion_matrix, self.classes)

    def plot_roc(self) -> Chart:
        """The ROC curve of each class against the rest, with its area, and their averages.

        Raises:
            DataError: all samples are of one class.
        """
        curves = roc_curves(self.predictions.labels, self.predictions.probabilities, groups=self.predictions.groups)
        if not any(len(each.across) for each in curves.per_class):
            raise DataError("All samples are of one class, so there are no ROC curves.", code="one-class")
        return roc_chart(curves, self.classes)

    def plot_precision_recall(self) -> Chart:
        """The precision-recall curve of each class, with its average precision."""
        curves = precision_recall_curves(self.predictions.labels, self.predictions.probabilities)
        return precision_recall_chart(curves, self.classes)

    def plot_reliability(self) -> Chart:
        """Accuracy of the predictions by their confidence; below the diagonal the model is overconfident."""
        confidence = self.predictions.probabilities.max(axis=1)
        correct = self.predictions.probabilities.argmax(axis=1) == self.predictions.labels
        return reliability_chart(reliability(confidence, correct, groups=self.predictions.groups), None)

    def write(
        self, folder: str | os.PathLike[str], metadata: Mapping[str, str] | None = None, *, overwrite: bool = False
    ) -> Path | None:
        """Write ``predictions_SPLIT.npz``, ``metrics.json`` and a short ``report.html``, as ``mien evaluate --out``.

        Args:
            folder: where to; ``mien report`` and ``mien compare`` take it then.
            metadata: shown in the report, by name.
            overwrite: replace the files of another evaluation.

        Returns:
            The report's path; None without the extra ``report``.

        Raises:
            RunError: a run folder, which has such files of its own; a file exists, or cannot be written.
        """
        folder = Path(folder)
        RunFolder(folder).check_no_run()
        check_replaceable([folder / name for name in file_names(self.predictions.split)], overwrite)
        note = self.predictions.note
        about = {"probabilities": self.temperature_note, "classes": self.merged, "averaging": note}
        return write_evaluation(
            folder,
            self.predictions,
            self.evaluation,
            title=f"{self.name or 'predictions'}: {self.predictions.split}",
            metadata={**(metadata or {}), **{name: words for name, words in about.items() if words}},
            class_counts=self.class_counts,
            history=[] if self.run is None else self.run.read_history(),
            best_epoch=None if self.run is None or self.model is None else self.model.manifest.epoch,
        )

    def write_report(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``report.html``, and its charts and tables as files, into a folder; the path of the page.

        Raises:
            MissingExtraError: the extra ``report`` is not installed.
        """
        inputs = ReportInputs(
            self.predictions,
            f"{self.name or 'predictions'}: {self.predictions.split}",
            # Other probabilities than the model's own: merged, or averaged over views or models.
            model=None if self.merged or self.predictions.note else self.model,
            model_name=self.name or None,
            run=self.run,
            explain=False,
        )
        return write_measured(Path(folder), inputs, self.measured, self.evaluation).page

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the content of ``metrics.json``."""
        return self.evaluation.to_dict()

    def __str__(self) -> str:
        return as_text(evaluation_text(self.evaluation))

    def _repr_html_(self) -> str:
        tables = [metrics_table(self.evaluation)]
        if self.evaluation.subsets:
            tables.append(subsets_table(self.evaluation.subsets))
        if self.votes is not None and self.votes.majority:
            tables.append(majority_table(self.votes))
        return "".join(each._repr_html_() for each in tables) + self.plot_confusion_matrix()._repr_svg_()


def evaluate(
    model: Model,
    data: Data,
    split: Literal["train", "validation", "test", "all"] = "validation",
    *,
    tta: int = 1,
    classes: str | None = None,
    by: str | None = None,
) -> EvaluationResult:
    """Measure a model on one split of labelled faces.

    Each use of the test split is written into the ledger of the model's run folder.

    Args:
        model: a loaded model, a run folder, a ``.onnx`` file, or a name of :func:`list_models`.
        data: labelled faces.
        split: which of them; ``all`` suits a model that was not trained on any.
        tta: mean over 1, 2 (mirrored) or 10 (corners, too) views of each face.
        classes: merge classes by this label scheme; samples of classes that it drops are left out.
        by: a column of the data to break metrics down by.

    Raises:
        DataError: no such split, column or scheme; faces without labels that the model knows.
    """
    options = EvaluateOptions(split, by, tta, parse_scheme(classes or "all"))
    predictor = for_labels(model)
    check_options(options, predictor)
    read_data = read(data, *predictor.manifest.input.stored_as)
    result = evaluate_read(predictor, read_data, options, {"data": data_name(data)})
    for each in result.notices:
        warnings.warn(MienWarning(str(each), code=each.code), stacklevel=2)
    return result


def evaluate_read(
    model: Predictor, data: ReadResult, options: EvaluateOptions, use: Mapping[str, Any]
) -> EvaluationResult:
    """:func:`evaluate`, once the model is loaded and data is read.

    Args:
        model: checked by :func:`mien.pipeline.evaluate.check_options`.
        data: read at the size of the model.
        options: what to measure.
        use: what the ledger says of the data, where the test split is used.
    """
    faces = _without_dropped(model, data.faces, options)
    predictions = predict_to_evaluate(model, faces, options)
    run = run_with_ledger(model)
    if run is not None and holds_test(predictions, faces.of_split(options.split)):
        # Noted before metrics are computed: whatever fails later, the split has been used.
        merged = predictions.with_scheme(options.scheme)
        facts = {"data_fingerprint": data.fingerprint, **use, "accuracy": merged.accuracy}
        facts |= {"note": merged.note} if merged.note else {}
        facts |= {"classes": options.scheme.name} if options.scheme is not None else {}
        run.note_test_use(facts)
    split = MeasuredSplit.resolve(predictions, faces, [(model, faces)], uncleaned=data.uncleaned)
    # The data as it was read, with the classes that were left out above: a report or a comparison is given that.
    fingerprint = data.faces.fingerprint_for_predictions(options.split)
    split = replace(split, predictions=replace(split.predictions, data_fingerprint=fingerprint))
    return _measure(
        split,
        options,
        model=model,
        run=run_of(model),
        name=model.manifest.full_name,
        temperature_note=temperature_description(model, faces, options.split),
    )


def _without_dropped(model: Predictor, faces: Dataset, options: EvaluateOptions) -> Dataset:
    """The faces but those of classes that the model lacks and the scheme drops, such as contempt with ``seven``."""
    if options.scheme is None:
        return faces
    merged = {name for group in options.scheme.groups.values() for name in group}
    kept = [name for name in faces.classes if name in model.classes or name in merged]
    if len(kept) == len(faces.classes):
        return faces
    return faces.with_scheme(LabelScheme(",".join(kept), {name: (name,) for name in kept}))


def _measure(split: MeasuredSplit, options: EvaluateOptions, **about: Any) -> EvaluationResult:
    merged = split.with_scheme(options.scheme)
    evaluation = replace(
        merged.evaluate(),
        by=None if options.by is None else break_down_by(merged, options.by),
    )
    return EvaluationResult(
        evaluation,
        merged,
        merged=merging_description(split.predictions, merged.predictions, options.scheme),
        notices=[] if evaluation.trained_on_notice is None else [evaluation.trained_on_notice],
        **about,
    )


def run_with_ledger(model: Predictor) -> RunFolder | None:
    """The run folder in which uses of the test split are noted; None for built-in models and lone files."""
    run = run_of(model)
    shipped = {find_run(name).path for name in SHIPPED}
    return None if run is None or run.path in shipped else run


def evaluate_file(path: str | os.PathLike[str], *, classes: str | None = None) -> EvaluationResult:
    """Measure a predictions file of any model, without the model and without images. See docs/predictions.md."""
    predictions = read_predictions(path)
    known = predictions.temperature is not None
    return _measure(
        MeasuredSplit(predictions),
        EvaluateOptions(predictions.split, scheme=parse_scheme(classes or "all")),
        temperature_note=f"at temperature {predictions.temperature:.3g}" if known else "",
    )
