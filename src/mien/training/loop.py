"""The training loop: recipe and faces in, run folder out.

Randomness comes from the recipe's seed and the epoch; best epoch, patience and plateau cuts follow from the history.
So a run that was killed and resumed ends with the same weights (on a CPU, the same machine and number of threads).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien.errors import StoppedError, TrainingError
from mien.run_folder import RunFolder
from mien.run_history import best_by_metric, best_epoch
from mien.training.augment import without_worsening
from mien.training.batches import Batch, epoch_batches, epoch_seed, worsened
from mien.training.callback import Callback, HistoryLine
from mien.training.device import sum_dtype
from mien.training.distributed import any_process, leave, part_of_batch, share_state, sum_of_processes
from mien.training.interrupt import interruptible
from mien.training.losses import consistency_loss
from mien.training.machine import machine
from mien.training.optim import plateau_factor, rate_factor, set_rate
from mien.training.outputs import distribution_loss, epoch_targets, output_facts, split_logits, to_tensors
from mien.training.plan import TrainingPlan
from mien.training.resume import restore
from mien.training.sam import sam_perturbation
from mien.training.state import TrainingState, file_digest, prepare, save_epoch
from mien.training.tuning import freeze
from mien.training.validation import validate

READ_EVERY = 32
"""On a GPU the loss is read, shown and checked in one step of so many."""
PROCESS_SEED = 1_000_000_007
"""How far the seeds of processes that train together are apart: dropout draws other numbers in each."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        history: one line an epoch.
        best_epoch: from 1.
        reason: why it ended, in words: ``all epochs done``, ``interrupted`` by Ctrl-C, ``stopped`` by its callback, ...
    """

    history: list[HistoryLine]
    best_epoch: int
    reason: str

    @property
    def was_stopped(self) -> bool:
        """Whether Ctrl-C or the callback ended the run before its end: it can be resumed."""
        return self.reason in {"interrupted", "stopped"}


def train(
    plan: TrainingPlan,
    run: RunFolder,
    *,
    resume: bool = False,
    init_from: RunFolder | None = None,
    teachers: Sequence[Path] = (),
    callback: Callback | None = None,
    environment: dict[str, Any] | None = None,
    device: str = "auto",
) -> Outcome:
    """Train a network and leave a run folder with checkpoints and history.

    Args:
        plan: a recipe and a data set; see :func:`mien.training.plan.plan_training`. Samples of ``train`` are trained
            on, those of ``validation`` choose the best epoch, those of ``test`` are not touched.
        run: the run folder; keep several processes apart with :meth:`RunFolder.alone`.
        resume: go on with the run that stands there, if any.
        init_from: a run whose weights to begin with; see :func:`mien.training.state.load_init_weights`.
        teachers: whom to learn from beside the labels; see :func:`mien.training.distillation.make_distillation`.
        callback: called after every step and epoch; it can stop the run.
        environment: facts for environment.json, beside what the loop knows itself.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        DataError: soft labels that do not fit the data.
        RecipeError: a network too deep for its faces.
        RunError: the folder exists (without ``resume``), belongs to another recipe or other data, was begun with other
            weights or teachers, or the disk is full.
        TrainingError: the loss is not a number. The best checkpoint so far stays. Or the device does not exist.
        StoppedError: stopped before the first epoch ended.
    """
    callback = callback or Callback()
    recipe = plan.recipe
    state = prepare(plan, init_from, resume and run.last.is_file(), teachers, device)
    facts = {
        "recipe_digest": recipe.digest,
        **plan.dataset.provenance,
        "classes": list(plan.classes),
        "started_from": None if state.init_checkpoint is None else file_digest(state.init_checkpoint),
        "taught_by": [file_digest(RunFolder(path).best if path.is_dir() else path) for path in teachers],
        **output_facts(recipe, plan.outputs, plan.dataset),
    }
    fabric = state.fabric
    if not fabric.is_global_zero:
        pass  # the first process reads and writes the run's files
    elif resume and run.is_run:
        facts = restore(state, run, facts)
    else:
        together = {"processes": fabric.world_size} if fabric.world_size > 1 else {}
        run.create(recipe, {**(environment or {}), **facts, "device": str(fabric.device), **machine(), **together})
    share_state(state)
    with interruptible() as interrupted:

        def should_stop() -> bool:
            return any_process(fabric, interrupted.is_set() or callback.should_stop())

        while (reason := _reason_to_end(state)) is None:
            epoch = len(state.history) + 1
            began = time.perf_counter()
            try:
                line = _train_epoch(state, epoch, callback, should_stop)
                if line is None:
                    reason = "interrupted" if interrupted.is_set() else "stopped"
                    break
                line |= {"epoch": epoch, **validate(state)}
            except (MemoryError, RuntimeError):
                # More memory than there is: with a smaller network or batch the same folder may do.
                if epoch == 1 and fabric.is_global_zero:
                    run.discard()
                raise
            # A last step can spoil the weights after a loss that was still finite: such an epoch is not kept.
            _check_loss(state, epoch, epoch * plan.steps_per_epoch, line["validation_loss"])
            before = state.history[-1]["seconds"] if state.history else 0.0
            line["seconds"] = before + time.perf_counter() - began
            state.history.append(line)
            is_best = best_epoch(state.history, recipe) == epoch
            if fabric.is_global_zero:
                save_epoch(state, run, facts, is_best)
            callback.on_epoch_end(line, is_best)
    leave()
    if reason not in {"interrupted", "stopped"} and fabric.is_global_zero:
        run.previous.unlink(missing_ok=True)
    if not state.history:
        raise StoppedError(
            f"The run was stopped before its first epoch ended; --resume on {run.path} begins it again.",
            code="stopped-early",
        )
    return Outcome(state.history, best_epoch(state.history, recipe), reason)


def _train_epoch(
    state: TrainingState, epoch: int, callback: Callback, should_stop: Callable[[], bool]
) -> HistoryLine | None:
    """One pass over the train split: last learning rate, mean loss, and accuracy on the images as augmented.

    None where it was stopped before its last step.
    """
    recipe = state.recipe
    fabric = state.fabric
    device = fabric.device
    # Dropout draws from the global generator, what is shown from one of its own; both start again each epoch.
    torch.manual_seed(epoch_seed(recipe.seed, epoch) + fabric.global_rank * PROCESS_SEED)
    cut = plateau_factor(recipe.schedule, [line["validation_loss"] for line in state.history])
    precise = sum_dtype(device)
    total_loss = torch.zeros((), dtype=precise, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    value, seen, rate = 0.0, 0, 0.0
    state.model.train()
    freeze(state.network, state.optimizer, epoch <= recipe.tuning.frozen_epochs)
    targets = to_tensors(epoch_targets(state.plan.outputs, state.vote_distributions, recipe.seed, epoch), device)
    for batch in recipe_batches(state, epoch):
        if should_stop():
            return None
        shown, share = part_of_batch(batch, fabric)
        step = (epoch - 1) * state.plan.steps_per_epoch + shown.index
        rate = recipe.optim.lr * cut * rate_factor(recipe.schedule, step, state.plan.steps_per_epoch, recipe.epochs)
        set_rate(state.optimizer, rate)
        labels = state.labels[shown.chosen]
        logits, loss = forward_loss(state, shown, targets)
        if shown.index % _read_every(device) == 0:
            value = float(sum_of_processes(fabric, share * loss.detach())) / fabric.world_size
            _check_loss(state, epoch, step + 1, value)
        take_step(state, shown, share, loss, targets)
        state.average.update(step)
        total_loss += loss.detach().to(precise) * len(labels)
        correct += (logits.argmax(1) == labels).sum()
        seen += len(labels)
        callback.on_step_end(epoch, len(batch.chosen), value)
    sums = torch.stack([total_loss, correct.to(precise), torch.tensor(seen, dtype=precise, device=device)])
    lost, hits, all_seen = sum_of_processes(fabric, sums).tolist()
    return {
        "learning_rate": rate,
        "train_loss": lost / max(all_seen, 1),
        "train_accuracy": hits / max(all_seen, 1),
    }


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


def _read_every(device: torch.device) -> int:
    return 1 if device.type == "cpu" else READ_EVERY


def recipe_batches(state: TrainingState, epoch: int) -> Iterator[Batch]:
    """The batches of one epoch, counted from 1, as the recipe shows them."""
    recipe = state.recipe
    seed, number = recipe.seed, epoch
    mixing = epoch <= round(recipe.epochs * (1 - recipe.augment.mixup_off_epochs))
    stored = None if state.distillation is None else state.distillation.epochs
    if stored is not None:
        # The answers are about these epochs and no others.
        seed, number = stored.shown_in(epoch)
    steps = state.plan.steps_per_epoch

    def side_px(index: int) -> int:
        return recipe.side_px(((epoch - 1) * steps + index) / (steps * recipe.epochs))

    shown = recipe if stored is None else without_worsening(recipe)
    batches = epoch_batches(state.images, state.labels, shown, seed=seed, epoch=number, mixing=mixing, side_px=side_px)
    return batches if shown == recipe else worsened(batches, recipe, epoch)


def forward_loss(state: TrainingState, batch: Batch, vote_targets: Sequence[Tensor] = ()) -> tuple[Tensor, Tensor]:
    """Logits of the label output, and the loss of all outputs, ready for the way back.

    ``vote_targets`` are those of :func:`mien.training.outputs.epoch_targets`, on the device.
    """
    distillation, weight = state.distillation, state.recipe.consistency_loss
    targets = None if distillation is None else distillation.targets(batch)
    if not weight:
        logits = split_logits(state.model(batch.images).float(), state.plan.outputs)
        return logits[0], _loss_of(state, batch, logits, targets, vote_targets)
    both = torch.cat([batch.images, batch.images.flip(3)]).contiguous(memory_format=torch.channels_last)
    seen, mirrored = (split_logits(each, state.plan.outputs) for each in state.model(both).float().chunk(2))
    losses = [_loss_of(state, batch, logits, targets, vote_targets) for logits in (seen, mirrored)]
    temperature = 1.0 if distillation is None else distillation.temperature
    apart = consistency_loss(seen[0], mirrored[0], temperature)
    for first, second in zip(seen[1:], mirrored[1:], strict=True):
        apart = apart + consistency_loss(first, second)
    return seen[0], torch.stack(losses).mean() + weight * apart


def _loss_of(
    state: TrainingState, batch: Batch, logits: Sequence[Tensor], targets: Tensor | None, vote_targets: Sequence[Tensor]
) -> Tensor:
    """The weighted sum of the outputs' losses: of labels and teachers for the first, of votes for the others."""
    loss = state.loss(logits[0], state.labels[batch.chosen])
    if batch.partner is not None:
        loss = batch.lam * loss + (1 - batch.lam) * state.loss(logits[0], state.labels[batch.partner])
    if state.distillation is not None and targets is not None:
        loss = state.distillation.loss(loss, logits[0], targets)
    if state.plan.outputs[0].weight != 1:
        loss = state.plan.outputs[0].weight * loss
    for output, own, votes in zip(state.plan.outputs[1:], logits[1:], vote_targets, strict=True):
        mixed = votes[batch.chosen]
        if batch.partner is not None:
            mixed = batch.lam * mixed + (1 - batch.lam) * votes[batch.partner]
        loss = loss + output.weight * distribution_loss(own, mixed)
    return loss


def _check_loss(state: TrainingState, epoch: int, step: int, value: float) -> None:
    if math.isfinite(value):
        return
    kept = "There is no finished epoch to keep."
    if state.history:
        kept = f"The best checkpoint, of epoch {best_epoch(state.history, state.recipe)}, is kept."
    by = "at" if _read_every(state.fabric.device) == 1 else "by"
    raise TrainingError(
        f"The loss is {value} {by} step {step} (epoch {epoch}): training cannot go on. {kept}",
        f"Train again with a lower rate than optim.lr={state.recipe.optim.lr:g}.",
        code="loss-not-finite",
    )


def _reason_to_end(state: TrainingState) -> str | None:
    done, patience = len(state.history), state.recipe.stopping.patience
    if done >= state.recipe.epochs:
        return "all epochs done"
    # Waiting begins when all layers learn: a head that has settled must not end the run before.
    frozen = state.recipe.tuning.frozen_epochs
    if done and patience and done - max(best_by_metric(state.history, state.recipe), frozen) >= patience:
        return f"no better {state.recipe.stopping.metric} for {patience} epochs"
    return None
