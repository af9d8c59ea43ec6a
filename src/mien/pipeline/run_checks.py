"""Checks of a finished training run. Each problem gives a notice with a code and advice."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mien.base.errors import Notice
from mien.base.recipe import Recipe
from mien.evaluation.error_analysis import check_answers
from mien.evaluation.results import Evaluation
from mien.models.network import Network
from mien.training.average import accuracy, batch_norms, recalibrate_bn, some_images
from mien.training.outputs import HEADS
from mien.training.plan import TrainingPlan

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
    weights = "" if balanced else ", or --set class_weights=balanced,"
    present = [each for each in evaluation.per_class if each.support]
    missed = [f"{each.name} (0 of {each.support:,})" for each in present if each.recall == 0]
    if 0 < len(missed) <= len(present) / 2:
        words = f"not recognised at all: {', '.join(missed)}. More images{weights} would help."
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
        words = (
            f"the first epoch's loss is {train[0]:.3g}, that of guessing {chance:.3g}: the learning rate, {rate:.2g}, "
        )
        yield Notice(f"{words}is too high. Try one that --find-lr suggests.", code="rate-too-high")
    elif epochs >= 3:
        # A user's own loss may be negative.
        rose, scale = train[-1] - train[0], abs(train[0])
        if rose > 0.1 * scale:
            words = f"the training loss rose from {train[0]:.3f} to {train[-1]:.3f}: the learning rate, {rate:.2g}, "
            yield Notice(f"{words}is too high. Try a third of it.", code="rate-too-high")
        elif rose >= -0.01 * scale and history[-1]["train_accuracy"] <= largest_share + 0.02:
            words = (
                f"the training loss stayed at {train[-1]:.3f} (first {train[0]:.3f}): the learning rate, {rate:.2g}, "
            )
            yield Notice(f"{words}is far too low or too high. Try --find-lr.", code="rate-does-nothing")
    least = validation[lowest]
    if epochs >= 6 and epochs - 1 - lowest >= epochs / 3 and validation[-1] > least + 0.02 * abs(least):
        words = f"the validation loss rose from {least:.3f} in epoch {lowest + 1} of {epochs} to {validation[-1]:.3f}: "
        words += "the network overfits. Fewer epochs, stopping.patience, more augmentation or weight decay would help."
        yield Notice(words, code="validation-loss-rises")
    gap = kept["train_accuracy"] - kept["validation_accuracy"]
    if kept["train_accuracy"] >= LEARNT_BY_HEART and gap > BELOW:
        words = (
            f"accuracy on train is {kept['train_accuracy']:.0%}, on validation {gap:.0%} lower: the network memorised "
        )
        yield Notice(f"{words}train. More data, augmentation or a smaller network would help.", code="learnt-by-heart")


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
        why = f": after {steps:,} steps {left:.0%} of them is still the initial value" if left > STALE else ""
        words = f"the batch norms' statistics do not match the data{why}. Recalibrated on {len(faces)} train images, "
        words += (
            f"validation accuracy is {renewed:.1%}, not {own:.1%}. Train with --set recalibrate_bn=true, or longer."
        )
        yield Notice(words, code="batch-norms-stale")
