"""A complete run: train, export, evaluate on validation. ``mien train``, ``mien demo`` and studies use it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.errors import Notice
from mien.base.processes import is_main_process
from mien.base.recipe import Recipe
from mien.base.run_folder import HistoryLine, RunFolder
from mien.data.dataset import Dataset
from mien.evaluation.error_analysis import check_answers
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Evaluation
from mien.exporting.to_onnx import export_network, make_manifest, manifest_of_weights
from mien.inference.predictor import Predictor
from mien.models.network import Network
from mien.page.chart import Chart
from mien.page.plots import training_chart
from mien.page.terminal import metrics_table
from mien.page.wording import kept_epoch_text, percent
from mien.pipeline import split_predictions
from mien.pipeline.evaluate import EvaluationResult
from mien.pipeline.evaluation_files import headline_values, report_context, write_evaluation
from mien.pipeline.measured_split import MeasuredSplit, read_trained_on, write_digests, write_trained_on
from mien.reporting.paper import methods_text
from mien.training import checkpoint
from mien.training.callback import Callback, Callbacks
from mien.training.device import from_first
from mien.training.heads import HEADS
from mien.training.loop import Outcome, train
from mien.training.optim import accuracy, batch_norms, recalibrate_bn, some_images
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
        notices: problems of the run, with advice.
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

    Under ``torchrun`` only the first process exports and evaluates, and all processes return its result. The
    temperature fitted on validation is stored in the exported model; validation metrics do not use it. ``options`` are
    those of :func:`mien.training.loop.train`.
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
    recipe, known, faces = run.read_recipe(), run.read_environment(), plan.dataset
    network, facts = checkpoint.load_best(run)
    former = manifest_of_weights(run, facts)
    removed = run.remove_derived() if former is None else ()
    manifest = make_manifest(network, recipe, facts, former)
    export = export_network(network, manifest, plan.validation.images, start if recipe.tuning.fit_head else None)
    predictor, predictions = calibrate(Predictor.opened(export.session, export.manifest, run.model), faces)
    write_trained_on(run, split_predictions.with_model_classes(predictor, faces), start)
    split = MeasuredSplit.resolve(predictions, faces, predictor)
    evaluation = split.evaluate()
    manifest = predictor.manifest.model_copy(update={"scores": headline_values(evaluation)})
    export.write(run.model, manifest)
    cross_validated = known.get("cross_validation") or {}
    found = {
        "recipe": f"{recipe.name} ({recipe.digest[:19]}), seed {recipe.seed}",
        "model": f"{recipe.model.name}, {manifest.parameters:,} parameters",
        "probabilities": split_predictions.temperature_description(predictor, faces, "validation"),
        "data fingerprint": faces.fingerprint_without_test,
        "initial weights": known.get("started_from") or ("random" if plan.parts.weights is None else "of an instance"),
        "epoch kept": kept_epoch_text(outcome.best_epoch, len(outcome.history), recipe.stopping),
        "training time": f"{outcome.history[-1]['seconds']:.0f} s",
        **({"head": cross_validated_text(cross_validated)} if cross_validated else {}),
        **({} if known.get("precision", "fp32") == "fp32" else {"precision": _BF16}),
        **(metadata or {}),
        "training": methods_text(run, split.class_counts, manifest.parameters),
    }
    context = replace(report_context(split, evaluation, run), is_training_data=True)
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
    """Fit an exported model's temperatures on validation; return a model with them, and predictions without."""
    model = model.for_labels()
    predictions = split_predictions.predict_split(model, faces, "validation")
    update = split_predictions.fitted_temperatures(model, faces, predictions)
    return model.with_manifest(model.manifest.model_copy(update=update)), predictions


STALE = 0.05
"""Largest fraction of batch-norm statistics that may still come from the initial values."""
NORMS_MATTER = 0.03
"""A notice is given if recalibrated batch norms gain at least this much accuracy."""
LEARNT_BY_HEART, BELOW = 0.98, 0.15
_NORM_FACES = 512


def check_run(
    plan: TrainingPlan,
    network: Network,
    history: Sequence[Mapping[str, float]],
    best_epoch: int,
    evaluation: Evaluation,
) -> tuple[Notice, ...]:
    """Return all notices about a run, of which ``network`` has the weights, on the CPU. Its norms may change."""
    chance = sum(each.weight * (HEADS[each.target].chance or math.log(len(each.classes))) for each in plan.outputs)
    chance = chance if plan.parts.loss is None else math.inf  # a user's own loss may have another scale
    found = [
        *check_answers(evaluation),
        *_check_recalls(evaluation, plan.recipe),
        *check_history(history, best_epoch, evaluation.largest_share, chance),
    ]
    steps = plan.steps_per_epoch * best_epoch
    if not (plan.recipe.recalibrate_bn or plan.recipe.tuning.fit_head):
        found += _check_norms(plan, network, steps, suspicious=bool(found))
    return tuple(found)


def _check_recalls(evaluation: Evaluation, recipe: Recipe) -> Iterator[Notice]:
    """Name the classes without any correct prediction, unless most classes are such."""
    balanced = recipe.class_weights != "none" or recipe.balance.sampling != "none" or recipe.balance.logit_adjustment
    present = [each for each in evaluation.per_class if each.support]
    missed = [each for each in present if each.recall == 0]
    rare = any(each.support * len(present) < sum(other.support for other in present) for each in missed)
    weights = ", or --set class_weights=balanced," if rare and not balanced else ""
    if 0 < len(missed) <= len(present) / 2:
        named = ", ".join(f"{each.name} (0 of {each.support:,})" for each in missed)
        words = f"not recognised at all: {named}. More images{weights} would help."
        yield Notice(words, code="class-not-recognised")


def check_history(
    history: Sequence[Mapping[str, float]], best_epoch: int, largest_share: float, chance: float
) -> Iterator[Notice]:
    """Check the loss over the epochs; ``chance`` is the loss of guessing."""
    train, validation = ([line[f"{part}_loss"] for line in history] for part in ("train", "validation"))
    epochs, kept = len(history), history[best_epoch - 1]
    lowest = int(np.argmin(validation))
    rate = max(line["learning_rate"] for line in history)
    if train[0] > 10 * chance:
        words = f"the first epoch's loss is {train[0]:.3g}, that of guessing {chance:.3g}: the learning rate"
        yield Notice(f"{words}, {rate:.2g}, is too high. Try one that --find-lr suggests.", code="rate-too-high")
    elif epochs >= 3:
        # A user's own loss may be negative.
        rose, scale = train[-1] - train[0], abs(train[0])
        if rose > 0.1 * scale:
            words = f"the training loss rose from {train[0]:.3f} to {train[-1]:.3f}: the learning rate, {rate:.2g}, "
            yield Notice(f"{words}is too high. Try a third of it.", code="rate-too-high")
        elif rose >= -0.01 * scale and history[-1]["train_accuracy"] <= largest_share + 0.02:
            words = f"the training loss stayed at {train[-1]:.3f} (first {train[0]:.3f}): the learning rate, {rate:.2g}"
            yield Notice(f"{words}, is far too low or too high. Try --find-lr.", code="rate-does-nothing")
    least = validation[lowest]
    if epochs >= 6 and epochs - 1 - lowest >= epochs / 3 and validation[-1] > least + 0.02 * abs(least):
        words = f"the validation loss rose from {least:.3f} in epoch {lowest + 1} of {epochs} to {validation[-1]:.3f}: "
        words += "the network overfits. Fewer epochs, stopping.patience, more augmentation or weight decay would help."
        yield Notice(words, code="validation-loss-rises")
    gap = kept["train_accuracy"] - kept["validation_accuracy"]
    if kept["train_accuracy"] >= LEARNT_BY_HEART and gap > BELOW:
        words = f"accuracy on train is {kept['train_accuracy']:.0%}, on validation {gap:.0%} lower: it memorised train."
        yield Notice(f"{words} More data, augmentation or a smaller network would help.", code="learnt-by-heart")


def _check_norms(plan: TrainingPlan, network: Network, steps: int, *, suspicious: bool) -> Iterator[Notice]:
    """Check whether recalibrated batch norms improve accuracy. This is measured only if a problem is likely."""
    momenta = [norm.momentum for norm in batch_norms(network) if norm.momentum is not None]
    if not momenta or not (suspicious or (1 - min(momenta)) ** steps > STALE):
        return
    faces = some_images(plan.train.images)[:_NORM_FACES]
    own = accuracy(network, plan.validation, plan.recipe.input)
    recalibrate_bn(network, faces, plan.recipe.input)
    renewed = accuracy(network, plan.validation, plan.recipe.input)
    if renewed - own > NORMS_MATTER:
        left = max((1 - momentum) ** steps for momentum in momenta)
        why = f": at step {steps:,}, which was kept, {left:.0%} is still the initial value" if left > STALE else ""
        words = f"the batch norms' statistics do not match the data{why}. Recalibrated on {len(faces)} train images, "
        words += f"validation accuracy is {renewed:.1%}, not {own:.1%}. Train with --set recalibrate_bn=true."
        yield Notice(words, code="batch-norms-stale")
