"""One step of training: the batches of an epoch, the loss of all outputs, and how the weights change by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mien.training.augment import without_degradation
from mien.training.batches import Batch, degraded, epoch_batches
from mien.training.losses import consistency_loss
from mien.training.optim import sam_perturbation
from mien.training.outputs import distribution_loss, split_logits
from mien.training.state import TrainingState


def recipe_batches(state: TrainingState, epoch: int) -> Iterator[Batch]:
    """The batches of one epoch, counted from 1, as the recipe shows them."""
    recipe = state.recipe
    mixing = epoch <= round(recipe.epochs * (1 - recipe.augment.mixup_off_epochs))
    steps = state.plan.steps_per_epoch

    def side_px(index: int) -> int:
        return recipe.side_px(((epoch - 1) * steps + index) / (steps * recipe.epochs))

    is_live = state.distillation is not None and recipe.distill.live
    augmented = state.plan.parts.recipe_shown(recipe)
    shown = without_degradation(augmented) if is_live else augmented
    batches = epoch_batches(
        state.images, state.labels, shown, seed=recipe.seed, epoch=epoch, mixing=mixing, side_px=side_px
    )
    batches = batches if shown == augmented else degraded(batches, recipe, epoch)
    return batches if state.plan.parts.augment is None else state.plan.parts.augmented(batches, recipe.input)


def forward_loss(state: TrainingState, batch: Batch, vote_targets: Sequence[Tensor] = ()) -> tuple[Tensor, Tensor]:
    """Logits of the label output, and the loss of all outputs, ready for the way back.

    ``vote_targets`` are those of :func:`mien.training.outputs.epoch_targets`, on the device.
    """
    distillation, weight = state.distillation, state.recipe.consistency_loss
    predicted = [None] * len(state.plan.outputs) if distillation is None else distillation.targets(batch)
    if not weight:
        logits = split_logits(state.model(batch.images).float(), state.plan.outputs)
        return logits[0], _loss_of(state, batch, logits, predicted, vote_targets)
    both = torch.cat([batch.images, batch.images.flip(3)]).contiguous(memory_format=torch.channels_last)
    seen, mirrored = (split_logits(each, state.plan.outputs) for each in state.model(both).float().chunk(2))
    losses = [_loss_of(state, batch, logits, predicted, vote_targets) for logits in (seen, mirrored)]
    temperature = 1.0 if distillation is None else distillation.temperature
    apart = consistency_loss(seen[0], mirrored[0], temperature)
    for first, second in zip(seen[1:], mirrored[1:], strict=True):
        apart = apart + consistency_loss(first, second)
    return seen[0], torch.stack(losses).mean() + weight * apart


def _loss_of(
    state: TrainingState,
    batch: Batch,
    logits: Sequence[Tensor],
    predicted: Sequence[Tensor | None],
    vote_targets: Sequence[Tensor],
) -> Tensor:
    """The weighted sum of the outputs' losses: first that of labels, then those of votes.

    ``predicted`` is what teachers predict for each output; None for one that they do not have.
    """
    loss = state.loss(logits[0], state.labels[batch.chosen])
    if batch.partner is not None:
        loss = batch.lam * loss + (1 - batch.lam) * state.loss(logits[0], state.labels[batch.partner])
    if state.distillation is not None and predicted[0] is not None:
        loss = state.distillation.loss(loss, logits[0], predicted[0])
    if state.plan.outputs[0].weight != 1:
        loss = state.plan.outputs[0].weight * loss
    others = zip(state.plan.outputs[1:], logits[1:], predicted[1:], vote_targets, strict=True)
    for output, own, taught, votes in others:
        mixed = votes[batch.chosen]
        if batch.partner is not None:
            mixed = batch.lam * mixed + (1 - batch.lam) * votes[batch.partner]
        if state.distillation is not None and taught is not None:
            mixed = state.distillation.mixed_votes(taught, mixed)
        loss = loss + output.weight * distribution_loss(own, mixed)
    return loss


def take_step(state: TrainingState, batch: Batch, share: float, loss: Tensor, targets: Sequence[Tensor]) -> None:
    """Change the weights by the loss of :func:`forward_loss`; ``share`` as :func:`part_of_batch` gives it."""
    recipe, fabric = state.recipe, state.fabric
    fabric.backward(share * loss)
    if recipe.optim.sam_rho:
        with sam_perturbation(state.network, recipe.optim.sam_rho):
            fabric.backward(share * forward_loss(state, batch, targets)[1])
    if recipe.optim.clip_norm:
        fabric.clip_gradients(state.model, state.optimizer, max_norm=recipe.optim.clip_norm, error_if_nonfinite=False)
    state.optimizer.step()
    state.optimizer.zero_grad()
