"""``mien.find_lr``: find a learning rate by a range test."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.api.inputs import Data
from mien.api.train import TrainingJob, find_job, settings_of
from mien.base.processes import torch_defaults
from mien.base.recipe import Recipe
from mien.evaluation.results import JsonResult
from mien.page.chart import Chart
from mien.page.plots import rate_chart


@dataclass(frozen=True, eq=False)
class LrSearch(JsonResult):
    """Result of a learning-rate range test.

    Attributes:
        suggestion: highest learning rate around which the loss falls clearly, for ``lr`` of the recipe.
        rates: float64 (N,), the learning rate of each step.
        losses: float64 (N,), the running mean of the loss at each step.
    """

    suggestion: float
    rates: npt.NDArray[np.float64] = field(repr=False)
    losses: npt.NDArray[np.float64] = field(repr=False)

    @property
    def highest(self) -> float:
        """Learning rate of the lowest loss. Above it training gets worse; it is the upper end of Smith's range."""
        return float(self.rates[self.losses.argmin()])

    def plot(self) -> Chart:
        """Plot the loss by learning rate, with the suggestion marked. Needs the extra ``report``."""
        return rate_chart(self.rates, self.losses, self.suggestion)

    def to_dict(self) -> dict[str, Any]:
        """Return suggestion, highest, rates and losses, JSON-ready."""
        return {**super().to_dict(), "highest": self.highest}

    def _repr_svg_(self) -> str:
        return self.plot()._repr_svg_()


@torch_defaults()
def find_lr(
    recipe: str | os.PathLike[str] | Recipe,
    data: Data,
    *,
    init_from: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> LrSearch:
    """Find a learning rate by a range test: it rises from 1e-6 to 10 in 100 steps (Smith, 2015).

    No file is written. The result is valid for this recipe, batch size and data.

    Args:
        recipe: recipe; all arguments are as in :func:`mien.train`.
        data: faces with a ``train`` split.
        init_from: run or built-in model to fine-tune.
        settings: changed keys of the recipe: ``{"batch_size": 64}``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        TrainingError: the loss falls clearly at no learning rate (``lr-not-found``).
        MienError: see :func:`mien.train`.
    """
    job = find_job(recipe, settings_of(settings), init_from, device)
    job.check()
    return search_lr(job, data)


def search_lr(job: TrainingJob, data: Data) -> LrSearch:
    """Run :func:`find_lr` for a checked job."""
    plan = job.plan(data)
    from mien.training.probe import range_test, suggested_rate

    rates, losses, means = range_test(plan, init_from=job.init_from, device=job.device)
    return LrSearch(suggested_rate(rates, losses, means), rates, means)
