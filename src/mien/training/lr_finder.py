"""The learning-rate range test: a short run whose rate rises at each step.

L. N. Smith, Cyclical Learning Rates for Training Neural Networks, section 3.3 (arXiv:1506.01186, 2015). Steps,
smoothing and the stop are those of fastai and PyTorch Lightning: the loss is smoothed, and the test ends where it has
exploded.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mien.errors import StoppedError, TrainingError
from mien.progress import track
from mien.run_folder import RunFolder
from mien.training.callback import interruptible
from mien.training.optim import set_rate
from mien.training.plan import TrainingPlan
from mien.training.state import prepare
from mien.training.step import forward_loss, take_step
from mien.training.throughput import endless_batches

SMOOTHING = 0.98
"""Share of the former mean in the running mean of the losses."""
EXPLODED = 4.0
"""The test ends where the smoothed loss is this many times the lowest one."""
_SKIPPED = 10
"""The first steps are not suggested: their running mean is of a few losses only."""


def range_test(
    plan: TrainingPlan,
    *,
    init_from: RunFolder | None = None,
    device: str = "auto",
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Train for some steps with rates from ``lowest`` to ``highest``, each the same factor above the last.

    Nothing is written. The batches, the loss and the optimiser are the recipe's; its schedule is not used.

    Args:
        plan: recipe and data.
        init_from: a run to fine-tune.
        device: see :func:`mien.training.device.check_device`.
        lowest: first rate, above 0.
        highest: last rate.
        steps: how many, 2 or more.

    Returns:
        Rates and smoothed losses, float64 (N,) each; N is at most ``steps``.

    Raises:
        MienError: as :func:`mien.training.state.prepare`.
        StoppedError: Ctrl-C (``stopped-early``).
    """
    state = prepare(plan, init_from, device=device)
    rates = np.geomspace(lowest, highest, steps)
    losses: list[float] = []
    mean = 0.0
    with interruptible() as interrupted:
        tried = track(rates, steps, "trying learning rates", "steps")
        for rate, (batch, targets) in zip(tried, endless_batches(state), strict=False):
            if interrupted.is_set():
                raise StoppedError("The learning-rate finder was stopped; nothing is written.", code="stopped-early")
            set_rate(state.optimizer, float(rate))
            _, loss = forward_loss(state, batch, targets)
            value = float(loss.detach())
            if not math.isfinite(value):
                break
            mean = SMOOTHING * mean + (1 - SMOOTHING) * value
            losses.append(mean / (1 - SMOOTHING ** (len(losses) + 1)))
            if losses[-1] > EXPLODED * min(losses):
                break
            take_step(state, batch, 1.0, loss, targets)
    return rates[: len(losses)], np.array(losses)


def steepest(rates: npt.NDArray[np.float64], losses: npt.NDArray[np.float64]) -> float:
    """The rate below that of the lowest loss at which the loss falls fastest over the logarithm of the rate.

    Args:
        rates: float64 (N,), as :func:`range_test` returns them.
        losses: float64 (N,), beside them.

    Raises:
        TrainingError: the loss falls nowhere (``lr-not-found``).
    """
    lowest = int(losses.argmin()) if len(losses) else 0
    # After the lowest loss comes the explosion, from whose top a loss can fall steeply again.
    slopes = np.gradient(losses)[_SKIPPED:lowest] if lowest > _SKIPPED else np.zeros(1)
    if slopes.min() >= 0:
        raise TrainingError(
            f"The loss falls at no learning rate from {rates[0]:.1g} up: nothing can be suggested."
            if len(rates)
            else "The loss is not a number at the first step.",
            "Check the data with `mien audit`, and the recipe's loss and network.",
            code="lr-not-found",
        )
    return float(rates[_SKIPPED + int(slopes.argmin())])
