"""The training loop: it trains on a recipe and faces, and writes a run folder.

Random numbers depend only on the recipe's seed and the epoch. Best epoch, patience and plateau depend only on the
history. So a killed and resumed run ends with the same weights (on a CPU, with the same machine and number of threads).
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.base.arrays import Floats
from mien.base.errors import StoppedError, TrainingError
from mien.base.preprocess import to_input
from mien.base.processes import one_thread
from mien.base.run_folder import HistoryLine, RunFolder, best_by_metric, best_epoch
from mien.evaluation.predictions import Teacher
from mien.models.network import Network
from mien.training.batches import Batch, epoch_batches, epoch_seed
from mien.training.callback import Callback, interruptible
from mien.training.device import leave, sum_dtype
from mien.training.head import fit_head
from mien.training.optim import freeze, plateau_factor, rate_factor, recalibrate_bn, set_rate
from mien.training.plan import TrainingPlan, named
from mien.training.state import TrainingState, facts_of, prepare, restore, save_epoch

READ_EVERY = 32
"""On a GPU, the loss is read, shown and checked only once in so many steps."""
_BATCH = 512
"""Number of validation images per forward pass."""
PROCESS_SEED = 1_000_000_007
"""Difference between the seeds of parallel processes, so that each draws other numbers for dropout."""


@dataclass(frozen=True)
class Outcome:
    """The history of a run, its best epoch, and why it ended.

    Attributes:
        history: one line per epoch.
        best_epoch: best epoch, from 1.
        reason: why it ended: ``all epochs done``, ``interrupted`` by Ctrl-C, ``stopped`` by a callback, ...
    """

    history: list[HistoryLine]
    best_epoch: int
    reason: str

    @property
    def was_stopped(self) -> bool:
        """Whether Ctrl-C or a callback ended the run early, so that it can be resumed."""
        return self.reason in {"interrupted", "stopped"}


@one_thread()
def train(
    plan: TrainingPlan, run: RunFolder, *, resume: bool = False, init_from: RunFolder | None = None,
    teachers: Sequence[Teacher] = (), callback: Callback | None = None, environment: dict[str, Any] | None = None,
    device: str = "auto", network: Network | None = None,
) -> Outcome:  # fmt: skip
    """Train a network and write a run folder with checkpoints and history.

    Samples of ``train`` are trained on, those of ``validation`` choose the best epoch, those of ``test`` are not used.
    Trainings in several threads of a process wait for one another. The folder is created in the first epoch;
    :meth:`RunFolder.alone` keeps other processes out. ``init_from``, ``teachers`` and ``network`` are as in
    :func:`mien.training.state.prepare`; ``environment`` is added to environment.json.

    Raises what ``prepare`` raises, and:
        RunError: the folder exists (without ``resume``), belongs to another recipe or other data, was started with
            other weights or teachers, or the disk is full.
        TrainingError: the loss is not a number (the best checkpoint is kept), or the device does not exist.
        StoppedError: the run was stopped before the first epoch ended.
    """
    callback, reason = callback or Callback(), None
    resume = resume and run.is_run
    state = prepare(plan, init_from, run.last if resume and run.last.is_file() else None, teachers, device, network)
    facts = facts_of(state, teachers)
    if resume:
        facts = restore(state, run, facts)
    elif state.fabric.is_global_zero:
        run.check_free()
    try:
        callback.on_train_begin(state)
        with interruptible() as interrupted:

            def should_stop() -> bool:
                return state.fabric.any(interrupted.is_set() or callback.should_stop())

            while (end := _reason_to_end(state)) is None:
                line = _run_epoch(state, callback, should_stop)
                if line is None:
                    end = "interrupted" if interrupted.is_set() else "stopped"
                    break
                state.history.append(line)
                save_epoch(state, run, facts, environment or {})
                callback.on_epoch_end(line, best_epoch(state.history, plan.recipe) == len(state.history))
            reason = end
    finally:
        callback.on_train_end(reason)
    if not state.history:
        leave()
        raise StoppedError("The run was stopped before its first epoch ended; nothing is kept.", code="stopped")
    return Outcome(state.history, best_epoch(state.history, plan.recipe), end)


def _run_epoch(state: TrainingState, callback: Callback, should_stop: Callable[[], bool]) -> HistoryLine | None:
    """Train and validate one epoch and return its line of the history; None if it was stopped before its last step."""
    epoch, began = len(state.history) + 1, time.perf_counter()
    line = fit_head(state) if state.recipe.tuning.fit_head else _train_epoch(state, epoch, callback, should_stop)
    if line is None:
        return None
    line |= {"epoch": epoch, **validate(state)}
    # After the last step, weights may be NaN although its loss was finite. Such an epoch is not kept.
    _check_loss(state, epoch * state.plan.steps_per_epoch, line["validation_loss"])
    return line | {"seconds": (state.history[-1]["seconds"] if state.history else 0.0) + time.perf_counter() - began}


def _train_epoch(
    state: TrainingState, epoch: int, callback: Callback, should_stop: Callable[[], bool]
) -> HistoryLine | None:
    """Train one epoch; return rate, mean loss and accuracy on augmented images, or None if it was stopped."""
    begin_epoch(state, epoch)
    freeze(state.network, state.optimizer, epoch <= state.recipe.tuning.frozen_epochs)
    fabric = state.fabric
    lost, right, seen = torch.zeros(3, dtype=sum_dtype(fabric.device), device=fabric.device)
    shown_loss = 0.0
    for batch in recipe_batches(state, epoch):
        if should_stop():
            return None
        step = (epoch - 1) * state.plan.steps_per_epoch + batch.index
        set_rate(state.optimizer, learning_rate(state, step))
        shown = fabric.own_part(callback.on_step_begin(state, batch) or batch)
        logits, loss = forward_loss(state, shown)
        if batch.index % _read_every(state) == 0:
            shown_loss = float(fabric.sum(shown.weight * loss.detach())) / fabric.world_size
            _check_loss(state, step + 1, shown_loss)
        take_step(state, shown, loss)
        state.average.update(step)
        labels = state.labels[shown.chosen]
        lost += loss.detach().to(lost.dtype) * len(labels)
        right += (logits.argmax(1) == labels).sum()
        seen += len(labels)
        callback.on_step_end(epoch, len(batch.chosen), shown_loss)
    for head in state.heads:
        if head.moving is not None:
            head.moving.exchange(fabric)
    losses, hits, count = fabric.sum(torch.stack([lost, right, seen])).tolist()
    # A user's optimiser has its own rate.
    rate = float(max(group["lr"] for group in state.optimizer.param_groups))
    return {"learning_rate": rate, "train_loss": losses / max(count, 1), "train_accuracy": hits / max(count, 1)}


def begin_epoch(state: TrainingState, epoch: int) -> None:
    """Seed the epoch, and put network and heads into training mode."""
    # Dropout uses the global generator, batches use another; both are seeded in each epoch.
    torch.manual_seed(epoch_seed(state.recipe.seed, epoch) + state.fabric.global_rank * PROCESS_SEED)
    state.model.train()
    for head in state.heads:
        head.begin_epoch(epoch)


def learning_rate(state: TrainingState, step: int) -> float:
    """Return the learning rate of a step, counted from 0 in the run."""
    recipe = state.recipe
    cut = plateau_factor(recipe.schedule, [line["validation_loss"] for line in state.history])
    return recipe.optim.lr * cut * rate_factor(recipe.schedule, step, state.plan.steps_per_epoch, recipe.epochs)


def _read_every(state: TrainingState) -> int:
    return 1 if state.fabric.device.type == "cpu" else READ_EVERY


def _check_loss(state: TrainingState, step: int, value: float) -> None:
    if math.isfinite(value):
        return
    kept = f" The checkpoint of epoch {best_epoch(state.history, state.recipe)} is kept." if state.history else ""
    raise TrainingError(
        f"The loss is {value} {'at' if _read_every(state) == 1 else 'by'} step {step}.{kept}",
        f"Train again with a lower learning rate than optim.lr={state.recipe.optim.lr:g}, into another folder.",
        code="loss-not-finite",
    )


def _reason_to_end(state: TrainingState) -> str | None:
    done, patience = len(state.history), state.recipe.stopping.patience
    if done >= state.recipe.epochs:
        return "all epochs done"
    # Count patience only from when all layers train: a head that has converged must not end the run.
    frozen = state.recipe.tuning.frozen_epochs
    if done and patience and done - max(best_by_metric(state.history, state.recipe), frozen) >= patience:
        return f"no better {state.recipe.stopping.metric} for {patience} epochs"
    return None


def recipe_batches(state: TrainingState, epoch: int) -> Iterator[Batch]:
    """Yield the batches of one epoch (from 1) with the recipe's augmentation."""
    recipe = state.recipe
    mixing = epoch <= round(recipe.epochs * (1 - recipe.augment.mixup_off_epochs))
    batches = epoch_batches(
        state.images,
        state.labels,
        state.plan.parts.recipe_shown(recipe),
        epoch=epoch,
        mixing=mixing,
        side_px=lambda index: recipe.side_px(state.plan.progress(epoch, index)),
    )
    return batches if state.plan.parts.augment is None else state.plan.parts.augmented(batches, recipe.input)


def forward_loss(state: TrainingState, batch: Batch) -> tuple[Tensor, Tensor]:
    """Compute logits of the label's output and the weighted sum of all heads' losses, ready for backpropagation."""
    logits = _split(state, state.model(batch.images).float())
    progress = state.plan.progress(len(state.history) + 1, batch.index)
    loss = logits[0].new_zeros(())
    for head, own in zip(state.heads, logits, strict=True):
        loss = loss + head.output.weight * head.loss(own, batch, progress)
    return logits[0], loss


def _split(state: TrainingState, logits: Tensor) -> tuple[Tensor, ...]:
    return torch.split(logits, [len(head.output.classes) for head in state.heads], dim=1)


def take_step(state: TrainingState, batch: Batch, loss: Tensor) -> None:
    """Update the weights with the loss of a batch."""
    recipe, fabric = state.recipe, state.fabric
    fabric.backward(batch.weight * loss)
    if recipe.optim.clip_norm:
        fabric.clip_gradients(state.model, state.optimizer, max_norm=recipe.optim.clip_norm, error_if_nonfinite=False)
    # LBFGS and SparseAdam cannot be used so.
    with named(state.plan.parts.optimizer, "optimizer"):
        state.optimizer.step()
    state.optimizer.zero_grad()


def validate(state: TrainingState) -> HistoryLine:
    """Return the history's validation columns of all heads, with the weights that are kept."""
    plan, recipe = state.plan, state.recipe
    # On CPUs each process's batch norms saw only its part of a batch, so copy the first one's.
    state.fabric.copy_first((*state.network.buffers(), *state.average.tensors.values()))
    with state.average.in_place():
        # Frozen norms keep their statistics, because the later layers are trained with them.
        if state.recalibration_images is not None and len(state.history) >= recipe.tuning.frozen_epochs:
            recalibrate_bn(state.network, state.recalibration_images, recipe.input, through=state.model)
            state.average.take_statistics()
        values = predict_validation(state)
    line: HistoryLine = {}
    for head, own in zip(state.heads, values, strict=True):
        line |= head.measure(own, plan.validation)
    return line


def predict_validation(state: TrainingState) -> list[Floats]:
    """Predict the validation split with the torch model in evaluation mode: for each head float64 (N, C)."""
    state.model.eval()
    images, fabric = state.plan.validation.images, state.fabric
    part = fabric.own_items(len(images))
    # Each process fills its part and leaves zeros elsewhere, so the sum is exact.
    whole = torch.zeros((len(images), state.plan.logits), dtype=torch.float64)
    with torch.inference_mode():
        for first in range(part.start, part.stop, _BATCH):
            rows = slice(first, min(first + _BATCH, part.stop))
            inputs = fabric.to_device(torch.from_numpy(to_input(np.asarray(images[rows]), state.recipe.input)))
            logits = state.model(inputs.contiguous(memory_format=torch.channels_last)).float().cpu().double()
            parts = zip(state.heads, _split(state, logits), strict=True)
            whole[rows] = torch.cat([head.values(own) for head, own in parts], dim=1)
    return [np.ascontiguousarray(each.numpy()) for each in _split(state, fabric.sum(whole))]
