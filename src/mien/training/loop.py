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
import numpy.typing as npt
import torch
from torch import Tensor

from mien.base.errors import StoppedError, TrainingError
from mien.base.preprocess import to_input
from mien.base.processes import one_thread
from mien.base.run_folder import HistoryLine, RunFolder, best_by_metric, best_epoch
from mien.evaluation.predictions import Teacher
from mien.models.network import Network
from mien.training.average import recalibrate_bn
from mien.training.batches import Batch, epoch_batches, epoch_seed
from mien.training.callback import Callback, interruptible
from mien.training.device import (
    any_process,
    leave,
    part_of_batch,
    part_of_process,
    precision_name,
    share_first,
    sum_dtype,
    sum_of_processes,
    threads,
)
from mien.training.head import fit_head
from mien.training.heads import count_logits, output_facts
from mien.training.optim import freeze, plateau_factor, rate_factor, set_rate
from mien.training.plan import TrainingPlan, named
from mien.training.state import TrainingState, file_digest, prepare, restore, save_epoch

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


@one_thread
def train(
    plan: TrainingPlan, run: RunFolder, *, resume: bool = False, init_from: RunFolder | None = None,
    teachers: Sequence[Teacher] = (), callback: Callback | None = None, environment: dict[str, Any] | None = None,
    device: str = "auto", network: Network | None = None,
) -> Outcome:  # fmt: skip
    """Train a network and write a run folder with checkpoints and history.

    Samples of ``train`` are trained on, those of ``validation`` choose the best epoch, those of ``test`` are not used.
    Trainings in several threads of a process wait for one another.
    The folder is created in the first epoch; :meth:`RunFolder.alone` keeps other processes out. ``init_from``,
    ``teachers`` and ``network`` are as in :func:`mien.training.state.prepare`; ``environment`` is added to
    environment.json.

    Raises what ``prepare`` raises, and:
        RunError: the folder exists (without ``resume``), belongs to another recipe or other data, was started with
            other weights or teachers, or the disk is full.
        TrainingError: the loss is not a number (the best checkpoint is kept), or the device does not exist.
        StoppedError: the run was stopped before the first epoch ended.
    """
    callback = callback or Callback()
    resume = resume and run.is_run
    resumed = run.last if resume and run.last.is_file() else None
    state = prepare(plan, init_from, resumed, teachers, device, network)
    facts = {
        "recipe_digest": plan.recipe.digest,
        **plan.dataset.provenance,
        "classes": list(plan.classes),
        "started_from": None if state.init_checkpoint is None else file_digest(state.init_checkpoint),
        "taught_by": [file_digest(each.file) for each in teachers],
        **output_facts(plan.recipe, plan.outputs, plan.dataset),
        **({"not_of_the_recipe": plan.parts.names()} if plan.parts.names() else {}),
    }
    writes = state.fabric.is_global_zero
    if resume:
        facts = restore(state, run, facts)
    elif writes:
        run.check_free()
    reason = None
    try:
        callback.on_train_begin(state)
        with interruptible() as interrupted:

            def should_stop() -> bool:
                return any_process(state.fabric, interrupted.is_set() or callback.should_stop())

            while (end := _reason_to_end(state)) is None:
                line = _finished_epoch(state, callback, should_stop)
                if line is None:
                    end = "interrupted" if interrupted.is_set() else "stopped"
                    break
                state.history.append(line)
                epoch = len(state.history)
                if state.cross_validation is not None:
                    facts["cross_validation"] = state.cross_validation
                if writes and (epoch == 1 or not run.is_run):  # somebody may have removed the folder
                    # All facts, besides recipe and data, that affect the exact result.
                    fabric = state.fabric
                    hardware = {"device": str(fabric.device), "precision": precision_name(fabric), "threads": threads()}
                    hardware |= {"torch": torch.__version__}
                    hardware |= {"processes": fabric.world_size} if fabric.world_size > 1 else {}
                    run.create(plan.recipe, {**(environment or {}), **facts, **hardware})
                if writes:
                    save_epoch(state, run, facts)
                callback.on_epoch_end(line, best_epoch(state.history, plan.recipe) == epoch)
            reason = end
    finally:
        callback.on_train_end(reason)
    if not state.history:
        leave()
        raise StoppedError("The run was stopped before its first epoch ended; nothing is kept.", code="stopped-early")
    assert reason is not None
    return Outcome(state.history, best_epoch(state.history, plan.recipe), reason)


def _finished_epoch(state: TrainingState, callback: Callback, should_stop: Callable[[], bool]) -> HistoryLine | None:
    """Train and validate one epoch and return its line of the history; None if it was stopped before its last step."""
    epoch, began = len(state.history) + 1, time.perf_counter()
    line = fit_head(state) if state.recipe.tuning.fit_head else _train_epoch(state, epoch, callback, should_stop)
    if line is None:
        return None
    line |= {"epoch": epoch, **validate(state)}
    # After the last step, weights may be NaN although its loss was finite. Such an epoch is not kept.
    _check_loss(state, epoch, epoch * state.plan.steps_per_epoch, line["validation_loss"])
    return line | {"seconds": (state.history[-1]["seconds"] if state.history else 0.0) + time.perf_counter() - began}


def _train_epoch(
    state: TrainingState, epoch: int, callback: Callback, should_stop: Callable[[], bool]
) -> HistoryLine | None:
    """Train one epoch; return rate, mean loss and accuracy on augmented images, or None if it was stopped."""
    recipe = state.recipe
    fabric = state.fabric
    device = fabric.device
    # Dropout uses the global generator, batches use another; both are seeded in each epoch.
    torch.manual_seed(epoch_seed(recipe.seed, epoch) + fabric.global_rank * PROCESS_SEED)
    cut = plateau_factor(recipe.schedule, [line["validation_loss"] for line in state.history])
    precise = sum_dtype(device)
    total_loss = torch.zeros((), dtype=precise, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    value, seen, rate = 0.0, 0, 0.0
    state.model.train()
    freeze(state.network, state.optimizer, epoch <= recipe.tuning.frozen_epochs)
    for head in state.heads:
        head.begin_epoch(epoch)
    for batch in recipe_batches(state, epoch):
        if should_stop():
            return None
        step = (epoch - 1) * state.plan.steps_per_epoch + batch.index
        rate = recipe.optim.lr * cut * rate_factor(recipe.schedule, step, state.plan.steps_per_epoch, recipe.epochs)
        set_rate(state.optimizer, rate)
        rate = float(max(group["lr"] for group in state.optimizer.param_groups))  # a user's optimiser has its own rate
        shown, share = part_of_batch(callback.on_step_begin(state, batch) or batch, fabric)
        labels = state.labels[shown.chosen]
        logits, loss = forward_loss(state, shown)
        if shown.index % _read_every(device) == 0:
            value = float(sum_of_processes(fabric, share * loss.detach())) / fabric.world_size
            _check_loss(state, epoch, step + 1, value)
        take_step(state, share, loss)
        state.average.update(step)
        total_loss += loss.detach().to(precise) * len(labels)
        correct += (logits.argmax(1) == labels).sum()
        seen += len(labels)
        callback.on_step_end(epoch, len(batch.chosen), value)
    for head in state.heads:
        head.exchange(fabric)
    sums = torch.stack([total_loss, correct.to(precise), torch.tensor(seen, dtype=precise, device=device)])
    lost, hits, all_seen = sum_of_processes(fabric, sums).tolist()
    return {"learning_rate": rate, "train_loss": lost / max(all_seen, 1), "train_accuracy": hits / max(all_seen, 1)}


def _read_every(device: torch.device) -> int:
    return 1 if device.type == "cpu" else READ_EVERY


def _check_loss(state: TrainingState, epoch: int, step: int, value: float) -> None:
    if math.isfinite(value):
        return
    kept, where = "There is no finished epoch to keep.", ""
    if state.history:
        kept = f"The best checkpoint, of epoch {best_epoch(state.history, state.recipe)}, is kept."
        where = ", into another folder"
    by = "at" if _read_every(state.fabric.device) == 1 else "by"
    raise TrainingError(
        f"The loss is {value} {by} step {step} (epoch {epoch}): training cannot continue. {kept}",
        f"Train again with a lower learning rate than optim.lr={state.recipe.optim.lr:g}{where}.",
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

    def side_px(index: int) -> int:
        return recipe.side_px(state.plan.progress(epoch, index))

    batches = epoch_batches(
        state.images,
        state.labels,
        state.plan.parts.recipe_shown(recipe),
        seed=recipe.seed,
        epoch=epoch,
        mixing=mixing,
        side_px=side_px,
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
    """Split the logits of all outputs, (N, all) -> (N, C) for each."""
    return torch.split(logits, [len(head.output.classes) for head in state.heads], dim=1)


def take_step(state: TrainingState, share: float, loss: Tensor) -> None:
    """Update the weights with the loss of :func:`forward_loss`; ``share`` comes from :func:`part_of_batch`."""
    recipe, fabric = state.recipe, state.fabric
    fabric.backward(share * loss)
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
    share_first(state.fabric, (*state.network.buffers(), *state.average.tensors.values()))
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


def predict_validation(state: TrainingState) -> list[npt.NDArray[np.float64]]:
    """Predict the validation split with the torch model in evaluation mode: for each head float64 (N, C)."""
    state.model.eval()
    images, fabric = state.plan.validation.images, state.fabric
    part = part_of_process(len(images), fabric)
    # Each process fills its part and leaves zeros elsewhere, so the sum is exact.
    whole = torch.zeros((len(images), count_logits(state.plan.outputs)), dtype=torch.float64)
    with torch.inference_mode():
        for first in range(part.start, part.stop, _BATCH):
            rows = slice(first, min(first + _BATCH, part.stop))
            inputs = fabric.to_device(torch.from_numpy(to_input(np.asarray(images[rows]), state.recipe.input)))
            logits = state.model(inputs.contiguous(memory_format=torch.channels_last)).float().cpu().double()
            parts = zip(state.heads, _split(state, logits), strict=True)
            whole[rows] = torch.cat([head.values(own) for head, own in parts], dim=1)
    return [np.ascontiguousarray(each.numpy()) for each in _split(state, sum_of_processes(fabric, whole))]
