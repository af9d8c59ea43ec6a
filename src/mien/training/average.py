"""A moving average of the weights: what is validated, kept and exported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of a network's weights and running statistics, updated once a step.

    ``average <- d * average + (1 - d) * weights`` with ``d = min(decay, (1 + step) / (10 + step))``, so that
    the first steps do not hold on to the random start. With a decay of 0 it is the network itself.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
        self.tensors: dict[str, Tensor] = (
            {name: value.detach().clone() for name, value in self._live.items()} if decay else {}
        )

    def update(self, step: int) -> None:
        """Take in the weights after ``step`` (0-based)."""
        if self.tensors:
            decay = min(self._decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.tensors.values()), list(self._live.values()), 1 - decay)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back the average that a checkpoint kept."""
        for name, value in tensors.items():
            self.tensors[name].copy_(value)

    def take_statistics(self) -> None:
        """Take the running statistics that the network has now; to be called inside :meth:`in_place`."""
        for name, value in self.tensors.items():
            if name.endswith(("running_mean", "running_var")):
                value.copy_(self._live[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the block the network has the averaged weights."""
        if not self.tensors:
            yield
            return
        with torch.no_grad():
            own = {name: value.clone() for name, value in self._live.items()}
            for name, value in self._live.items():
                value.copy_(self.tensors[name])
            try:
                yield
            finally:
                for name, value in self._live.items():
                    value.copy_(own[name])
