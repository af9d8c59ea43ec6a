"""Evaluation of a model on a split, or of a predictions file of any model. Needs no torch."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from mien.base.arrays import Ints
from mien.base.errors import DataError, Notice
from mien.base.files import check_replaceable
from mien.base.run_folder import RunFolder, check_out
from mien.evaluation.calibration import reliability
from mien.evaluation.curves import roc_curves
from mien.evaluation.named_metrics import NamedMetric, find_metrics
from mien.evaluation.paired_tests import significantly_best
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate, Evaluation, VoteEvaluation
from mien.inference.predictor import Predictor
from mien.page import terminal
from mien.page.chart import Chart
from mien.page.page import Column, Page, Section, Table, Text, columns_of
from mien.page.plots import confusion_chart, reliability_chart, roc_chart
from mien.page.wording import counted, initial, metric_format, share_text
from mien.pipeline.evaluation_files import file_names, report_context, write_evaluation, write_report
from mien.pipeline.measured_split import MeasuredSplit
from mien.reporting.sections import mistakes_table


def ensemble_of(several: Sequence[Predictions]) -> Predictions:
    """Average probabilities, also of votes and values beside classes that all have, for the same samples in the same
    order, in the first one's classes; answers are left out.
    """
    several = [each.in_order(several[0].classes) for each in several]
    votes, values = several[0].votes, several[0].rated
    if votes is not None:
        classes, own = votes.classes, [each.votes for each in several]
        known = [each.probabilities for each in own if each is not None and each.classes == classes]
        shares = [each for each in known if each is not None]
        mean = np.mean(shares, axis=0) if len(shares) == len(several) else None
        votes = replace(votes, probabilities=mean, output="" if mean is None else votes.output)
    if values is not None:
        rated = [each.rated.values for each in several if each.rated is not None and each.rated.names == values.names]
        values = replace(values, values=np.mean(rated, axis=0)) if len(rated) == len(several) else None
    trained = [each.trained_on for each in several if each.trained_on is not None]
    note = f"the mean of {len(several)} models"
    return replace(
        several[0],
        probabilities=np.mean([each.probabilities for each in several], axis=0),
        note=f"{note}, {several[0].note}" if several[0].note else note,
        temperature=None,
        votes=votes,
        answers=None,
        rated=values,
        trained_on=np.any(trained, axis=0) if trained else None,
    )


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """A model's metrics on one split.

    Attributes:
        evaluation: all metrics, as values.
        measured: the predictions with their faces and models, after classes were merged.
        run: the run folder of the model.
        name: name of the model; ``""`` for a predictions file.
        merged: text about merged classes; ``""`` if no classes were merged.
        temperature_note: text about the use of the model's temperature; ``""`` if unknown.
        notices: notices, such as that the model was trained on samples of the split.
        split_origin: how the data was split; ``""`` for a predictions file.
    """

    evaluation: Evaluation
    measured: MeasuredSplit
    run: RunFolder | None = None
    name: str = ""
    merged: str = ""
    temperature_note: str = ""
    notices: Sequence[Notice] = ()
    split_origin: str = ""

    def __repr__(self) -> str:
        return f"<EvaluationResult {self.name}: accuracy {share_text(self.accuracy)} of {self.predictions.split}>"

    @property
    def model(self) -> Predictor | None:
        """The model; None for a predictions file."""
        return self.measured.model

    @property
    def predictions(self) -> Predictions:
        """Probabilities of all classes for all samples, with labels and sample ids."""
        return self.measured.predictions

    @property
    def class_counts(self) -> Mapping[str, Sequence[int]]:
        """Number of faces per class in each split of the data; empty for a predictions file."""
        return self.measured.class_counts

    @property
    def metrics(self) -> Mapping[str, Estimate]:
        """Headline metrics by name, each with its 95% interval."""
        return self.evaluation.headline

    @property
    def accuracy(self) -> Estimate:
        """Fraction of samples whose predicted class is the label, 0..1, with its 95% interval."""
        return self.evaluation.accuracy

    @property
    def confusion_matrix(self) -> Ints:
        """Confusion matrix, int64 (C, C): rows are true classes, columns predicted classes."""
        return self.evaluation.confusion

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the confusion matrix."""
        return self.evaluation.classes

    @property
    def votes(self) -> VoteEvaluation | None:
        """Metrics by annotators' votes: FER+'s protocol, and distributions of votes.

        None if these samples have no votes, if ``classes`` merged classes, or if no output can be compared with votes.
        """
        return self.evaluation.votes

    def mistakes(self) -> Table:
        """Return a table of all misclassified samples, most confident first: file, label, prediction, probabilities.

        Use its ``save("mistakes.csv")`` (``.json``, ``.md``, ``.tex``), ``to_pandas()`` or ``rows``. ``file`` is empty
        for a predictions file.
        """
        return mistakes_table(self.predictions, self.measured.faces, len(self.predictions))

    def per_class(self) -> Table:
        """Return a table of precision, recall, F1, AUC and support of each class, and their averages."""
        return terminal.classification_report(self.evaluation)

    def plot_confusion_matrix(self) -> Chart:
        """Draw the confusion matrix: percent of each true class, and counts. All charts need the extra ``report``."""
        return confusion_chart(self.confusion_matrix, self.classes)

    def plot_roc(self) -> Chart:
        """Draw the ROC curve of each class against the rest, with its area, and the averages.

        Raises DataError if all samples are of one class.
        """
        curves = roc_curves(self.predictions.labels, self.predictions.probabilities, groups=self.predictions.groups)
        if not any(len(each.across) for each in curves.per_class):
            raise DataError("All samples are of one class, so there are no ROC curves.", code="too-few-classes")
        return roc_chart(curves, self.classes)

    def plot_reliability(self) -> Chart:
        """Draw accuracy by confidence; below the diagonal the model is overconfident."""
        found = self.predictions
        return reliability_chart({"predictions": reliability(found.confidence, found.right, groups=found.groups)})

    def write(
        self, folder: str | os.PathLike[str], metadata: Mapping[str, str] | None = None, *, overwrite: bool = False
    ) -> Path | None:
        """Write ``predictions_SPLIT.npz``, ``metrics.json`` and a short ``report.html``, as ``mien evaluate --out``.

        ``mien report`` and ``mien compare`` can use the folder. Returns the report's path; None without the extra
        ``report``. Raises RunError: the folder is a run folder, which has its own such files, or a file exists or
        cannot be written.
        """
        folder = check_out(folder)
        check_replaceable([folder / name for name in file_names(self.predictions.split)], overwrite)
        about = {"probabilities": self.temperature_note, "classes": self.merged, "averaging": self.predictions.note}
        context = report_context(self.measured, self.evaluation, self.run)
        metadata = {**(metadata or {}), **{name: words for name, words in about.items() if words}}
        return write_evaluation(folder, context, self._title, metadata)

    @property
    def _title(self) -> str:
        return f"{self.name or 'predictions'}: {self.predictions.split}"

    def write_report(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``report.html`` with charts and tables into a folder; return its path. Needs the extra ``report``."""
        # Leave out the model if probabilities were merged, or averaged over views or models.
        split = replace(self.measured, model=None) if self.merged or self.predictions.note else self.measured
        out, name = check_out(folder, for_page=True), self.name or None
        return write_report(out, split, self.evaluation, self._title, model_name=name, run=self.run, explain=False).page

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``metrics.json``, JSON-ready."""
        return self.evaluation.to_dict()

    def __str__(self) -> str:
        return terminal.as_text(terminal.evaluation_text(self.evaluation))

    def _repr_html_(self) -> str:
        tables = [terminal.metrics_table(self.evaluation)]
        if self.evaluation.subsets:
            tables.append(terminal.subsets_table(self.evaluation.subsets))
        if self.votes is not None and self.votes.majority:
            tables.append(terminal.majority_table(self.votes))
        return "".join(each._repr_html_() for each in tables) + self.plot_confusion_matrix()._repr_svg_()


TIMED, WARM_UP = 20, 3
"""Number of timed predictions of one face, and of those before them that are not counted."""


@dataclass(frozen=True, eq=False)
class ModelTable(Table):
    """A table of several models evaluated on the same samples, a row each.

    The best value of a metric is marked where it is significantly better than every other one.

    Attributes:
        results: the evaluation of each model.
    """

    results: tuple[EvaluationResult, ...] = ()

    @property
    def notices(self) -> list[Notice]:
        """Notices about single models, such as that one was trained on samples of the split."""
        found = ((each.name, notice) for each in self.results for notice in each.notices)
        return [Notice(f"{name}: {notice}", code=notice.code) for name, notice in found]

    def to_dict(self) -> dict[str, Any]:
        """Return the rows, and the content of ``metrics.json`` of each model, JSON-ready."""
        return {"models": self.records(), "evaluations": {each.name: each.to_dict() for each in self.results}}

    def write(self, folder: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> Path:
        """Write ``report.html`` and ``tables/models`` as ``.csv``, ``.tex`` and ``.json``; return the page's path.

        Raises RunError if the folder is a run folder, MissingExtraError without the extra ``report``.
        """
        evaluation = self.results[0].evaluation
        about = Text(
            "Significance: paired tests on the same samples, corrected for their number (Holm, 0.05). ms per face: one "
            "face at a time, in one thread of the processor.",
            soft=True,
        )
        title = f"{len(self.results)} models: {evaluation.split}"
        lead = f"Metrics on {counted(evaluation.samples, 'sample')}, {len(evaluation.classes)} classes."
        page = Page(title, lead, [Section("models", "Models", (self, about))], metadata or {})
        return page.write(check_out(folder, for_page=True)).page

    def __str__(self) -> str:
        return terminal.as_text(terminal.rich_table(self))

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> EvaluationResult:
        return self.results[index]

    def __iter__(self) -> Iterator[EvaluationResult]:
        return iter(self.results)


def model_table(results: Sequence[EvaluationResult], metrics: Sequence[NamedMetric] = ()) -> ModelTable:
    """Build the table of models that were evaluated on the same samples."""
    classes = results[0].classes
    models = [each.predictions.in_order(classes) for each in results]
    wanted = find_metrics(["accuracy", "macro_f1"])
    wanted += find_metrics(["majority_accuracy"]) if any(each.votes and each.votes.majority for each in results) else []
    wanted += [each for each in metrics if each not in wanted]
    heads = {metric.key: initial(metric.name) for metric in wanted}
    best = {(row, heads[key]) for key, row in significantly_best(models, wanted).items()}
    columns = [Column("Model", "text"), *(Column(heads[m.key], metric_format(m)) for m in wanted)]
    columns += columns_of({"Parameters": "count", "MB": "fixed", "ms per face": "fixed", "Training, min": "number"})
    # A path's last part is a run's name; with its folders, a table would be too wide.
    names = [Path(each.name).name for each in results]
    names = names if len({*names}) == len(names) else [each.name for each in results]
    rows = [
        (name, *(_estimate(each, m) for m in wanted), *_costs(each)) for name, each in zip(names, results, strict=True)
    ]
    split, samples = results[0].evaluation.split, counted(len(models[0]), "sample")
    caption = f"Models on {split}, {samples}, with 95% intervals. Bold: significantly better than every other model."
    return ModelTable("models", tuple(columns), rows, caption, best=frozenset(best), results=tuple(results))


def _estimate(result: EvaluationResult, metric: NamedMetric) -> Estimate:
    if metric.key != "majority_accuracy":
        return result.evaluation.headline[metric.key]
    if result.votes is None or not result.votes.majority:
        return Estimate(math.nan)
    return result.votes.majority[0].evaluation.accuracy


def _costs(result: EvaluationResult) -> tuple[Any, ...]:
    """Return the number of parameters, megabytes, milliseconds per face and minutes of training; None if unknown."""
    model, run = result.model, result.run
    if model is None:
        return None, None, None, None
    minutes = None
    if run is not None and (run.path / "environment.json").is_file() and (history := run.read_history()):
        minutes = round(history[-1]["seconds"] / 60, 1)
    return model.manifest.parameters, round(model.path.stat().st_size / 1e6, 2), round(milliseconds(model), 2), minutes


def milliseconds(model: Predictor) -> float:
    """Measure the time of one face crop in one thread of the processor, in milliseconds: the median of 20."""
    alone, form = Predictor(model.path, threads=1).for_labels(), model.manifest.input.size_and_channels
    face = np.full((1, form[0], form[0], *([3] if form[1] == 3 else [])), 128, dtype=np.uint8)
    seconds = []
    for _ in range(WARM_UP + TIMED):
        began = perf_counter()
        alone.probabilities(face)
        seconds.append(perf_counter() - began)
    return 1000 * median(seconds[WARM_UP:])
