"""A complete run: train, export, evaluate on validation. ``mien train``, ``mien demo`` and studies use it."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mien.base.errors import Notice
from mien.base.processes import is_main_process
from mien.base.recipe import Recipe
from mien.base.run_folder import HistoryLine, RunFolder
from mien.data.dataset import Dataset
from mien.evaluation.predictions import Predictions
from mien.exporting.to_onnx import export_run, manifest_of_weights
from mien.inference.predictor import Predictor
from mien.page.charts.overview import training_chart
from mien.page.charts.svg import Chart
from mien.page.sections import metrics_table
from mien.page.wording import kept_epoch_text, percent
from mien.pipeline.evaluate import EvaluationResult
from mien.pipeline.evaluation_files import headline_values, write_evaluation
from mien.pipeline.measured_split import MeasuredSplit
from mien.pipeline.run_checks import check_run
from mien.pipeline.split_predictions import (
    fitted_temperatures,
    predict_split,
    temperature_description,
    with_model_classes,
)
from mien.pipeline.trained_on import read_trained_on, write_digests, write_trained_on
from mien.reporting.context import ReportContext
from mien.reporting.paper import methods_text
from mien.training import checkpoint
from mien.training.callback import Callback, Callbacks
from mien.training.device import from_first
from mien.training.loop import Outcome, train
from mien.training.plan import TrainingPlan

_BF16 = "bf16 in training and in history.csv; fp32 in model.onnx and in these metrics"


@dataclass(frozen=True, eq=False, repr=False)
class TrainingResult(Outcome):
    """A finished training run, exported and evaluated: its history, best epoch, and why it ended.

    Attributes:
        run: the run folder.
        recipe: recipe with every setting of its model.
        predictions: predictions for the validation split.
        evaluation: evaluation on the validation split, as from :func:`mien.evaluate`.
        report: path of the page; None without the extra ``report``, and in a study.
        removed: names of deleted files that were made from earlier weights.
        notices: problems of the run, with advice; see :mod:`mien.pipeline.run_checks`.
        cross_validated: for a fitted head, ``accuracy`` on ``images`` of train in ``folds``; else empty.
    """

    run: Path
    recipe: Recipe
    predictions: Predictions
    evaluation: EvaluationResult
    report: Path | None
    removed: tuple[str, ...]
    notices: tuple[Notice, ...] = ()
    cross_validated: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def model(self) -> Predictor:
        """The trained model, loaded."""
        return Predictor(RunFolder(self.run).model)

    def __repr__(self) -> str:
        """Return the accuracy with reference values, the kept epoch, and the notices."""
        found, whole = self.evaluation.accuracy, self.evaluation.evaluation
        balanced, largest = percent(whole.balanced_accuracy.value), percent(whole.largest_share)
        line = (
            f"{self.recipe.name}: validation accuracy {percent(found.value)} [{percent(found.low)}, "
            f"{percent(found.high)}]; balanced {balanced}; largest class {largest}; "
            f"epoch {self.best_epoch} of {len(self.history)} kept ({self.reason}); {self.run}"
        )
        lines = [line, *([cross_validated_text(self.cross_validated)] if self.cross_validated else [])]
        return "\n".join([*lines, *(each.line for each in self.notices)])

    def plot_history(self, metric: str = "accuracy") -> Chart:
        """Draw a metric over the epochs, for train and validation if both are known; also ``"learning_rate"``.

        Needs the extra ``report``. Raises DataError if the history has no such metric (``metric-unknown``).
        """
        return training_chart(self.history, metric, self.best_epoch)

    def to_dict(self) -> dict[str, Any]:
        """Return run, epoch, which epoch is kept, and metrics, JSON-ready."""
        kept = {"run": str(self.run), "epoch": self.best_epoch, "keep": self.recipe.stopping.keep}
        return {**kept, **self.evaluation.to_dict()}

    def _repr_html_(self) -> str:
        return metrics_table(self.evaluation.evaluation)._repr_html_() + self.plot_history()._repr_svg_()


class _RememberStart(Callback):
    """Keeps what the initial run was trained on, because resuming does not need that run."""

    def __init__(self, run: RunFolder, start: RunFolder) -> None:
        self._run, self._start = run, start

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        if not self._run.trained_on.is_file():
            write_digests(self._run, read_trained_on(self._start))


def run_recipe(
    plan: TrainingPlan,
    run: RunFolder,
    *,
    init_from: RunFolder | None = None,
    callback: Callback | None = None,
    metadata: Mapping[str, Any] | None = None,
    has_page: bool = True,
    **options: Any,
) -> TrainingResult:
    """Train by a recipe, export the kept epoch, evaluate it on validation, and write the run folder.

    Under ``torchrun`` only the first process exports and evaluates, and all processes return its result.

    The temperature fitted on validation is stored in the exported model. Validation metrics do not use this
    temperature. ``has_page`` writes the page of the metrics too. ``options`` are those of
    :func:`mien.training.loop.train`.
    """
    environment = dict(metadata or {})
    # Only the first process locks the folder and writes to it.
    with run.locked() if is_main_process() else nullcontext():
        if init_from is not None and is_main_process():
            callback = Callbacks(_RememberStart(run, init_from), callback)
        outcome = train(plan, run, init_from=init_from, callback=callback, environment=environment, **options)
        result = from_first(lambda: finish_run(plan, run, outcome, environment, init_from, has_page=has_page))
    if callback is not None:
        callback.on_result(result)
    return result


def finish_run(
    plan: TrainingPlan,
    run: RunFolder,
    outcome: Outcome,
    metadata: Mapping[str, Any] | None = None,
    start: RunFolder | None = None,
    *,
    has_page: bool = True,
) -> TrainingResult:
    """Export a run's best weights, evaluate the exported model on validation, and write the run folder."""
    recipe, faces = run.read_recipe(), plan.dataset
    removed = () if manifest_of_weights(run, checkpoint.load(run.best)[1]) is not None else run.remove_derived()
    export = export_run(run, plan.validation.images)
    predictor, predictions = calibrate(Predictor.opened(export.session, export.manifest, run.model), faces)
    write_trained_on(run, with_model_classes(predictor, faces), start)
    split = MeasuredSplit.resolve(predictions, faces, predictor)
    evaluation = split.evaluate()
    manifest = predictor.manifest.model_copy(update={"scores": headline_values(evaluation)})
    export.write(run.model, manifest)
    cross_validated = run.read_environment().get("cross_validation") or {}
    found = {
        "recipe": f"{recipe.name} ({recipe.digest[:19]}), seed {recipe.seed}",
        "model": f"{recipe.model.name}, {manifest.parameters:,} parameters",
        "probabilities": temperature_description(predictor, faces, "validation"),
        "data fingerprint": faces.fingerprint_without_test,
        "initial weights": run.read_environment().get("started_from")
        or ("random" if plan.parts.weights is None else "of an instance"),
        "epoch kept": kept_epoch_text(outcome.best_epoch, len(outcome.history), recipe.stopping),
        "training time": f"{outcome.history[-1]['seconds']:.0f} s",
        **({"head": cross_validated_text(cross_validated)} if cross_validated else {}),
        **({} if run.read_environment().get("precision", "fp32") == "fp32" else {"precision": _BF16}),
        **(metadata or {}),
        "training": methods_text(run, split.class_counts, manifest.parameters),
    }
    context = ReportContext(
        predictions,
        evaluation,
        class_counts=split.class_counts,
        history=outcome.history,
        best_epoch=outcome.best_epoch,
        run=run,
        parameters=manifest.parameters,
        is_training_data=True,
    )
    title, words = f"{recipe.name}: validation", {name: str(value) for name, value in found.items()}
    report = write_evaluation(run.path, context, title, words, forms=("svg",) if has_page else ())
    split = replace(split, model=predictor.with_manifest(manifest))
    return TrainingResult(
        **vars(outcome),
        run=run.path,
        recipe=recipe,
        predictions=predictions,
        evaluation=EvaluationResult(evaluation, split, run, manifest.full_name),
        report=report,
        removed=removed,
        notices=check_run(plan, export.network, outcome.history, outcome.best_epoch, evaluation),
        cross_validated=cross_validated,
    )


def cross_validated_text(found: Mapping[str, float]) -> str:
    """Format ``TrainingResult.cross_validated`` as text."""
    images, folds = found["images"], found["folds"]
    return f"cross-validated accuracy: {percent(found['accuracy'])} of {images:,} train images in {folds} folds"


def calibrate(model: Predictor, faces: Dataset) -> tuple[Predictor, Predictions]:
    """Fit an exported model's temperatures on validation.

    Returns the model with these temperatures in its manifest (its file is not changed), and its predictions for
    validation at temperature 1.
    """
    model = model.for_labels()
    predictions = predict_split(model, faces, "validation")
    update = fitted_temperatures(model, faces, predictions)
    return model.with_manifest(model.manifest.model_copy(update=update)), predictions
