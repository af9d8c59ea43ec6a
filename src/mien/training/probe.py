"""Train a few steps without writing a run: to estimate the time, or for a learning-rate range test.

The range test is from L. N. Smith, Cyclical Learning Rates for Training Neural Networks, section 3.3 (arXiv:1506.01186,
2015). Steps, smoothing and end follow fastai and PyTorch Lightning: the loss is smoothed; it ends when that explodes.
"""

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import count

import numpy as np
import torch

from mien.base.arrays import Floats
from mien.base.errors import StoppedError, TrainingError
from mien.base.processes import one_thread
from mien.base.progress import track
from mien.base.run_folder import RunFolder
from mien.evaluation.results import JsonResult
from mien.training.batches import Batch
from mien.training.callback import interruptible
from mien.training.loop import begin_epoch, forward_loss, predict_validation, recipe_batches, take_step
from mien.training.optim import set_rate
from mien.training.plan import TrainingPlan
from mien.training.state import TrainingState, prepare

_WARM_UP = 3
"""Number of first steps that are not timed, because torch chooses kernels in them."""
_TIMED_SECONDS = 3.0
_VALIDATED = 512


@dataclass(frozen=True)
class TrainingEstimate(JsonResult):
    """Estimated cost of a training run on this machine; early stopping may end it sooner.

    ``memory_bytes`` is the peak of the process (on a GPU, of torch on the device) in the timed steps, or None.
    """

    epochs: int
    steps_per_epoch: int
    parameters: int
    seconds: float
    memory_bytes: int | None
    device: str


@one_thread()
def estimate_training(plan: TrainingPlan, init_from: RunFolder | None = None, device: str = "auto") -> TrainingEstimate:
    """Time a few steps at each image side of the recipe, and part of a validation; TrainingError for ``fit-head``."""
    state = _prepare(plan, init_from, device)
    recipe = plan.recipe
    thousand = [recipe.side_px((step + 0.5) / 1000) for step in range(1000)]
    seconds_a_step = sum(thousand.count(side) / 1000 * _step_seconds(state, side) for side in set(thousand))
    answered = min(len(plan.validation), _VALIDATED)
    part = replace(plan, validation=plan.validation.subset(np.arange(answered)))
    began = time.perf_counter()
    predict_validation(replace(state, plan=part))
    recalibrated = 0 if state.recalibration_images is None else len(state.recalibration_images)
    after = (time.perf_counter() - began) / answered * (len(plan.validation) + recalibrated)
    return TrainingEstimate(
        epochs=recipe.epochs,
        steps_per_epoch=plan.steps_per_epoch,
        parameters=sum(each.numel() for each in state.network.parameters()),
        seconds=recipe.epochs * (plan.steps_per_epoch * seconds_a_step + after),
        memory_bytes=_most_memory(state.fabric.device),
        device=str(state.fabric.device),
    )


def _prepare(plan: TrainingPlan, init_from: RunFolder | None, device: str) -> TrainingState:
    if plan.recipe.tuning.fit_head:
        raise TrainingError("A fitted head has no training steps to try: train it, in seconds.", code="fit-head")
    return prepare(plan, init_from, device=device)


def endless_batches(state: TrainingState) -> Iterator[Batch]:
    """Yield the batches of successive epochs."""
    for epoch in count(1):
        begin_epoch(state, epoch)
        yield from recipe_batches(state, epoch)


def _step_seconds(state: TrainingState, side_px: int) -> float:
    """Train on images of this side for some seconds, at least one step; return the mean time of a step."""
    recipe = state.recipe.model_copy(update={"progressive_resizing": ((math.inf, side_px),)})
    began, steps = 0.0, -_WARM_UP
    for batch in endless_batches(replace(state, plan=replace(state.plan, recipe=recipe))):
        _, loss = forward_loss(state, batch)
        take_step(state, batch, loss)
        steps += 1
        if steps == 0:
            loss.item()  # reading the loss waits until the GPU has finished
            began = time.perf_counter()
        elif steps > 0 and time.perf_counter() - began > _TIMED_SECONDS:
            loss.item()
            break
    return (time.perf_counter() - began) / steps


def _most_memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return None
    resource = import_module("resource")
    # The unit is kilobytes on Linux, bytes on macOS.
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


SMOOTHING = 0.98
"""Weight of the previous mean in the running mean of the losses."""
RATES = np.geomspace(1e-6, 10.0, 100)
"""Learning rate of each step of a range test, rising by a constant factor."""
EXPLODED = 4.0
"""The test ends when the smoothed loss is this many times the lowest one."""
_WINDOW = 31
"""Number of steps in which the loss must fall clearly: the rate rises by two powers of ten in them."""
_CLEAR = 0.487
"""A fall is clear if losses and steps are correlated by minus this or less (t = 3); noise is so in 2% of tests."""


@one_thread()
def range_test(
    plan: TrainingPlan, *, init_from: RunFolder | None = None, device: str = "auto"
) -> tuple[Floats, Floats, Floats]:
    """Train some steps with the learning rates :data:`RATES`. Nothing is written.

    Batches, loss and optimiser are the recipe's; its schedule is not used. Returns learning rates, losses, and their
    running means of the N steps before the test ended, float64 (N,) each. Raises as :func:`estimate_training`, and
    StoppedError after Ctrl-C (``stopped``).
    """
    state = _prepare(plan, init_from, device)
    losses: list[float] = []
    means: list[float] = []
    mean = 0.0
    with interruptible() as interrupted:
        tried = track(RATES, len(RATES), "trying learning rates", "steps")
        for rate, batch in zip(tried, endless_batches(state), strict=False):
            if interrupted.is_set():
                raise StoppedError("The learning-rate finder was stopped; nothing is written.", code="stopped")
            set_rate(state.optimizer, float(rate))
            _, loss = forward_loss(state, batch)
            value = float(loss.detach())
            if not math.isfinite(value):
                break
            mean = SMOOTHING * mean + (1 - SMOOTHING) * value
            losses.append(value)
            means.append(mean / (1 - SMOOTHING ** len(losses)))
            if means[-1] > EXPLODED * min(means):
                break
            take_step(state, batch, loss)
    return RATES[: len(losses)].copy(), np.array(losses), np.array(means)


def suggested_rate(rates: Floats, losses: Floats, means: Floats) -> float:
    """Return the highest rate, at most that of the lowest mean, around which the loss falls clearly; TrainingError."""
    # Ignore the steps after the lowest mean, where an exploded loss may fall steeply again.
    falling = losses[: int(means.argmin()) + _WINDOW // 2 + 1] if len(means) else losses
    clear = np.zeros(0, dtype=np.int64)
    if len(falling) >= _WINDOW:
        steps = np.arange(_WINDOW) - _WINDOW // 2
        windows = np.lib.stride_tricks.sliding_window_view(falling, _WINDOW)
        off = windows - windows.mean(axis=1, keepdims=True)
        clear = np.flatnonzero(off @ steps < -_CLEAR * np.sqrt(np.square(off).sum(axis=1) * (steps @ steps)))
    if not len(clear):
        words = f"The loss explodes by step {len(losses)}. Check the recipe's loss and network."
        if len(losses) >= _WINDOW:
            words = f"The loss falls clearly at no learning rate from {rates[0]:.1g} up. Try a larger batch_size."
        raise TrainingError(words, code="lr-not-found")
    return float(rates[clear[-1] + _WINDOW // 2])
