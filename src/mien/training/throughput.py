"""How fast this machine trains a network: the yardstick of the loop's own rate, and of how long a study will take."""

from __future__ import annotations

import time

import torch
from torch.nn import functional

from mien.models.registry import build_model
from mien.recipe import Recipe
from mien.training.device import make_fabric
from mien.training.optim import build_optimizer


def images_per_second(recipe: Recipe, classes: int, side_px: int, seconds: float = 6.0) -> float:
    """Forward, backward and step on one random batch, over and over, for so many seconds: images a second.

    With ``consistency_loss`` a batch holds each image both ways, and counts it once.
    """
    fabric = make_fabric(recipe.precision)
    network = build_model(recipe.model, classes, *recipe.input.seen_as).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model, optimizer = fabric.setup(network, build_optimizer(network, recipe.optim))
    ways = 2 if recipe.consistency_loss else 1
    shape = (ways * recipe.batch_size, recipe.input.channels, side_px, side_px)
    images = fabric.to_device(torch.randn(shape).contiguous(memory_format=torch.channels_last))
    labels = fabric.to_device(torch.randint(0, classes, (len(images),)))
    steps, began = 0, 0.0
    while True:
        loss = functional.cross_entropy(model(images).float(), labels)
        fabric.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
        if steps == 3:  # the first steps choose kernels
            loss.item()
            began = time.perf_counter()
        elif steps > 3 and time.perf_counter() - began > seconds:
            loss.item()  # a GPU answers before it has done the work; the number waits for it
            return (steps - 3) * recipe.batch_size / (time.perf_counter() - began)


def training_throughput(recipe: Recipe, classes: int, seconds: float = 6.0) -> float:
    """The bare loop's images a second over a whole run: each side in the share of the run in which it is shown."""
    sides = [recipe.side_px((step + 0.5) / 1000) for step in range(1000)]
    each = {side: 1 / images_per_second(recipe, classes, side, seconds) for side in set(sides)}
    return len(sides) / sum(each[side] for side in sides)
