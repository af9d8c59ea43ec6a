"""How long a training will take on this machine: a few of its own steps, timed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from itertools import count
from typing import Any

import numpy as np
import torch

from mien.run_folder import RunFolder
from mien.training.batches import Batch, epoch_seed
from mien.training.optim import freeze
from mien.training.outputs import epoch_targets, to_tensors
from mien.training.plan import TrainingPlan
from mien.training.state import TrainingState, prepare
from mien.training.step import forward_loss, recipe_batches, take_step
from mien.training.validation import predict_probabilities

_WARM_UP = 3
"""The first steps choose kernels and are not timed."""
_TIMED_SECONDS = 3.0
_VALIDATED = 512


@dataclass(frozen=True)
class TrainingEstimate:
    """What a training will take.

    Attributes:
        epochs: of the recipe; early stopping may need fewer.
        steps_per_epoch: optimiser steps of an epoch.
        parameters: of the network.
        seconds: of training and validation on this machine.
        memory_bytes: the most that the process (on a GPU: that torch on the device) has held during the steps timed;
            None where the system does not say.
        device: where the steps ran: ``cpu``, ``cuda:0``, ``mps:0``.
    """

    epochs: int
    steps_per_epoch: int
    parameters: int
    seconds: float
    memory_bytes: int | None
    device: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, all attributes by name."""
        return asdict(self)


def estimate_training(plan: TrainingPlan, init_from: RunFolder | None = None, device: str = "auto") -> TrainingEstimate:
    """Time a few steps at each image side that the recipe has, and a part of a validation. Nothing is written.

    Raises:
        MienError: as :func:`mien.training.state.prepare`.
    """
    state = prepare(plan, init_from, device=device)
    recipe = plan.recipe
    thousand = [recipe.side_px((step + 0.5) / 1000) for step in range(1000)]
    seconds_a_step = sum(thousand.count(side) / 1000 * _step_seconds(state, side) for side in set(thousand))
    answered = min(len(plan.validation), _VALIDATED)
    part = replace(plan, validation=plan.validation.subset(np.arange(answered)))
    began = time.perf_counter()
    predict_probabilities(state.model, state.fabric, part)
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


def endless_batches(state: TrainingState) -> Iterator[tuple[Batch, list[torch.Tensor]]]:
    """The batches of one epoch after another, with the targets of the epoch."""
    for epoch in count(1):
        torch.manual_seed(epoch_seed(state.recipe.seed, epoch))
        state.model.train()
        freeze(state.network, state.optimizer, epoch <= state.recipe.tuning.frozen_epochs)
        targets = epoch_targets(state.plan.outputs, state.vote_distributions, state.recipe.seed, epoch)
        on_device = to_tensors(targets, state.fabric.device)
        for batch in recipe_batches(state, epoch):
            yield batch, on_device


def _step_seconds(state: TrainingState, side_px: int) -> float:
    """The mean of the steps of some seconds, at least one, with images of this side."""
    recipe = state.recipe.model_copy(update={"progressive_resizing": ((1.0, side_px),)})
    began, steps = 0.0, -_WARM_UP
    for batch, targets in endless_batches(replace(state, plan=replace(state.plan, recipe=recipe))):
        _, loss = forward_loss(state, batch, targets)
        take_step(state, batch, 1.0, loss, targets)
        steps += 1
        if steps == 0:
            loss.item()  # a GPU answers before it has done the work; the number waits for it
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
    # Linux counts kilobytes, macOS bytes.
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
