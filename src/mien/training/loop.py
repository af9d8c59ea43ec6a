"""The training loop: recipe and faces in, run folder out.

All randomness comes from the recipe's seed and the number of the epoch, and the best epoch, patience and
plateau cuts follow from the history. So the checkpoint of an epoch is complete, and a run that was killed and
resumed ends with the very weights of one that was not (a CPU, the same machine, the same number of threads).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mien.data.faceset import FaceSet
from mien.errors import StoppedError, TrainingError
from mien.evaluation import metrics
from mien.models.registry import completed
from mien.preprocess import normalise
from mien.recipe import Recipe
from mien.run_folder import RunFolder, best_epoch
from mien.training.batches import Batch, epoch_batches, epoch_seed
from mien.training.interrupt import interruptible
from mien.training.losses import disagreement
from mien.training.norm_statistics import renew_statistics
from mien.training.optim import plateau_factor, rate_factor
from mien.training.sam import climbed
from mien.training.state import HistoryLine, TrainingState, file_digest, keep, prepare, restore
from mien.training.tuning import freeze

READ_EVERY = 32
"""On a GPU the loss is read, shown and checked in one step of so many."""


class Watch(Protocol):
    """Whoever wants to see the run go by."""

    def step(self, epoch: int, images: int, loss: float) -> None:
        """One step is done: ``images`` were trained on; the mean loss of this step, on a GPU of the last one read."""

    def epoch(self, line: HistoryLine, is_best: bool) -> None:
        """One epoch is done."""


class _NobodyWatches:
    def step(self, epoch: int, images: int, loss: float) -> None: ...

    def epoch(self, line: HistoryLine, is_best: bool) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its history, the best epoch (1-based), and why it stopped."""

    history: list[HistoryLine]
    best_epoch: int
    reason: str


def train(
    recipe: Recipe,
    faces: FaceSet,
    run: RunFolder,
    *,
    resume: bool = False,
    start: RunFolder | None = None,
    teachers: Sequence[Path] = (),
    watch: Watch | None = None,
    environment: dict[str, Any] | None = None,
) -> Outcome:
    """Train a network and leave a run folder with checkpoints and history.

    Args:
        recipe: what to do.
        faces: all faces, under the data's own classes (the recipe's label scheme is applied here). Those of ``train``
            are learnt, those of ``validation`` choose the best epoch, those of ``test`` are not touched.
        run: where to; whoever trains from several processes keeps them apart (:meth:`RunFolder.alone`).
        resume: go on with the run that stands there, if any.
        start: a run whose weights to begin with; see :func:`mien.training.state.begin_from`.
        teachers: whom to learn from beside the labels; see :func:`mien.training.distill.make_lesson`.
        watch: is told of every step and epoch.
        environment: facts for environment.json, beside what the loop knows itself.

    Raises:
        DataError: the data lacks a split or a class that the recipe needs, or its faces are of another size; soft
            labels that do not fit the data.
        RecipeError: the recipe names a model or setting that does not exist.
        RunError: the folder exists (without ``resume``), belongs to another recipe or other data, was begun with other
            weights or teachers, or the disk is full.
        TrainingError: the loss is not a number. The best checkpoint so far stays.
        StoppedError: Ctrl-C before the first epoch ended.
    """
    watch = watch or _NobodyWatches()
    # Every setting is written out, so that the stored recipe stays true when defaults change.
    recipe = completed(recipe)
    goes_on = resume and run.last.is_file()
    state = prepare(recipe, faces, start, goes_on, teachers)
    facts = {
        "recipe_digest": recipe.digest,
        **faces.provenance,
        "classes": list(state.validation.classes),
        "started_from": None if state.start_file is None else file_digest(state.start_file),
        "taught_by": [file_digest(RunFolder(path).best if path.is_dir() else path) for path in teachers],
    }
    if resume and run.is_run:
        facts = restore(state, run, faces, facts)
    else:
        device = {"device": str(state.fabric.device), "threads": torch.get_num_threads(), "torch": torch.__version__}
        run.create(recipe, {**(environment or {}), **facts, **device})
    with interruptible() as interrupted:
        while (reason := _reason_to_stop(state)) is None:
            epoch = len(state.history) + 1
            began = time.perf_counter()
            try:
                line = _train_epoch(state, epoch, watch, interrupted)
                if interrupted.is_set():
                    reason = "interrupted"
                    break
                line |= {"epoch": epoch, **_validate(state)}
            except (MemoryError, RuntimeError):
                # More memory than there is: with a smaller network or batch the same folder may do.
                if epoch == 1:
                    run.take_back()
                raise
            # A last step can spoil the weights after a loss that was still finite: such an epoch is not kept.
            _check_loss(state, epoch, epoch * state.steps_per_epoch, line["validation_loss"])
            before = state.history[-1]["seconds"] if state.history else 0.0
            line["seconds"] = before + time.perf_counter() - began
            state.history.append(line)
            is_best = best_epoch(state.history, recipe) == epoch
            keep(state, run, facts, is_best)
            watch.epoch(line, is_best)
    if not state.history:
        raise StoppedError(f"The run was stopped before its first epoch ended; --resume on {run.path} begins it again.")
    return Outcome(state.history, best_epoch(state.history, recipe), reason)


def _train_epoch(state: TrainingState, epoch: int, watch: Watch, interrupted: threading.Event) -> HistoryLine:
    """One pass over the training faces: last learning rate, mean loss, and accuracy on the images as augmented."""
    recipe = state.recipe
    device = state.fabric.device
    # Dropout draws from the global generator, what is shown from one of its own; both start anew each epoch.
    torch.manual_seed(epoch_seed(recipe.seed, epoch))
    cut = plateau_factor(recipe.schedule, [line["validation_loss"] for line in state.history])
    total_loss = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    value, seen, rate = 0.0, 0, 0.0
    state.model.train()
    freeze(state.network, state.optimizer, epoch <= recipe.tuning.frozen_epochs)
    for shown in _shown(state, epoch):
        if interrupted.is_set():
            break
        step = (epoch - 1) * state.steps_per_epoch + shown.index
        rate = recipe.optim.lr * cut * rate_factor(recipe.schedule, step, state.steps_per_epoch, recipe.epochs)
        for group in state.optimizer.param_groups:
            group["lr"] = rate * group["rate_share"]
        labels = state.labels[shown.chosen]
        logits, loss = _learn_from(state, shown)
        if shown.index % _read_every(device) == 0:
            value = loss.item()
            _check_loss(state, epoch, step + 1, value)
        state.fabric.backward(loss)
        if recipe.optim.sam_rho:
            with climbed(state.network, recipe.optim.sam_rho):
                state.fabric.backward(_learn_from(state, shown)[1])
        if recipe.optim.clip_norm:
            nn.utils.clip_grad_norm_(state.network.parameters(), recipe.optim.clip_norm)
        state.optimizer.step()
        state.optimizer.zero_grad()
        state.average.update(step)
        total_loss += loss.detach().double() * len(labels)
        correct += (logits.argmax(1) == labels).sum()
        seen += len(labels)
        watch.step(epoch, len(labels), value)
    return {
        "learning_rate": rate,
        "train_loss": total_loss.item() / max(seen, 1),
        "train_accuracy": correct.item() / max(seen, 1),
    }


def _read_every(device: torch.device) -> int:
    return 1 if device.type == "cpu" else READ_EVERY


def _shown(state: TrainingState, epoch: int) -> Iterator[Batch]:
    recipe = state.recipe
    seed, number = recipe.seed, epoch
    mixing = epoch <= round(recipe.epochs * (1 - recipe.augment.off_last))
    if state.lesson is not None and state.lesson.epochs is not None:
        # The answers are about these epochs and no others.
        seed, number = state.lesson.epochs.shown_in(epoch)
    steps = state.steps_per_epoch

    def side_px(index: int) -> int:
        return recipe.side_px(((epoch - 1) * steps + index) / (steps * recipe.epochs))

    return epoch_batches(state.images, state.labels, recipe, seed=seed, epoch=number, mixing=mixing, side_px=side_px)


def _learn_from(state: TrainingState, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits and loss of a batch, ready for the way back."""
    lesson, consistency = state.lesson, state.recipe.consistency
    targets = None if lesson is None else lesson.targets(batch)
    if not consistency:
        logits = state.model(batch.images).float()
        return logits, _loss_of(state, batch, logits, targets)
    both = torch.cat([batch.images, batch.images.flip(3)]).contiguous(memory_format=torch.channels_last)
    seen, mirrored = state.model(both).float().chunk(2)
    loss = torch.stack([_loss_of(state, batch, logits, targets) for logits in (seen, mirrored)]).mean()
    temperature = 1.0 if lesson is None else lesson.temperature
    return seen, loss + consistency * disagreement(seen, mirrored, temperature)


def _loss_of(state: TrainingState, batch: Batch, logits: Tensor, targets: Tensor | None) -> Tensor:
    labels = state.labels[batch.chosen]
    loss = state.loss(logits, labels)
    if batch.partner is not None:
        loss = batch.share * loss + (1 - batch.share) * state.loss(logits, labels[batch.partner])
    return loss if state.lesson is None or targets is None else state.lesson.loss(loss, logits, targets)


def _check_loss(state: TrainingState, epoch: int, step: int, value: float) -> None:
    if math.isfinite(value):
        return
    kept = "There is no finished epoch to keep."
    if state.history:
        kept = f"The best checkpoint, of epoch {best_epoch(state.history, state.recipe)}, is kept."
    by = "at" if _read_every(state.fabric.device) == 1 else "by"
    raise TrainingError(
        f"The loss is {value} {by} step {step} (epoch {epoch}): training cannot go on. {kept}",
        f"Train again into another folder with a lower rate than optim.lr={state.recipe.optim.lr:g}.",
    )


def predict_probabilities(
    model: nn.Module, fabric: Fabric, faces: FaceSet, recipe: Recipe, batch_size: int = 512
) -> npt.NDArray[np.float64]:
    """Probabilities of every class for every face, (N, C) float64, by the torch model in evaluation mode."""
    model.eval()
    start = (recipe.input.size_px - recipe.input.crop_px) // 2
    window = slice(start, start + recipe.input.crop_px)
    parts = []
    with torch.inference_mode():
        for first in range(0, len(faces), batch_size):
            pixels = torch.from_numpy(np.array(faces.images[first : first + batch_size, window, window]))
            batch = normalise(fabric.to_device(pixels).to(torch.float32).unsqueeze(1), recipe.input)
            logits = model(batch.contiguous(memory_format=torch.channels_last))
            parts.append(logits.float().cpu().double().softmax(1).numpy())
    return np.concatenate(parts)


def _validate(state: TrainingState) -> HistoryLine:
    recipe = state.recipe
    with state.average.in_place():
        # Norms that are frozen keep theirs: what is learnt meanwhile goes by them.
        if state.as_served is not None and len(state.history) >= recipe.tuning.frozen_epochs:
            renew_statistics(state.network, state.as_served, recipe.input, through=state.model)
            state.average.take_statistics()
        probabilities = predict_probabilities(state.model, state.fabric, state.validation, recipe)
    labels = state.validation.labels
    confusion = metrics.confusion_matrix(labels, probabilities.argmax(1), len(state.validation.classes))
    rows = metrics.support(confusion)
    return {
        "validation_loss": metrics.log_loss(labels, probabilities),
        "validation_accuracy": float(metrics.accuracy(confusion)),
        "validation_macro_f1": float(metrics.macro_average(metrics.f1(confusion), rows)),
        "validation_macro_auc": float(metrics.macro_average(metrics.roc_auc(labels, probabilities), rows)),
    }


def _reason_to_stop(state: TrainingState) -> str | None:
    done = len(state.history)
    if done >= state.recipe.epochs:
        return "all epochs done"
    patience = state.recipe.stopping.patience
    # Waiting begins when all layers learn: a head that has settled must not end the run before.
    frozen = state.recipe.tuning.frozen_epochs
    if done and patience and done - max(best_epoch(state.history, state.recipe), frozen) >= patience:
        return f"no better {state.recipe.stopping.metric} for {patience} epochs"
    return None
