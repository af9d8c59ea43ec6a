"""Base class of mien's networks: features, then a linear head."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

Dropout = Annotated[float, Field(ge=0, lt=1)]
"""Dropout rate before the head. The registry checks settings by these types."""
Width = Annotated[int, Field(ge=1, le=4096)]
"""Number of channels."""


class Network(nn.Module, ABC):
    """A classifier of two parts: features and head. Callers can use the features or replace the head.

    mien's own networks are made of ``classes``, ``size_px`` and ``channels`` of the images, and the recipe's settings.

    Attributes:
        head: the last layer, features (N, D) -> logits (N, classes).
        licence: licence of the initial weights, for the manifest.
    """

    head: nn.Linear
    licence: str = "MIT"

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Map normalised images (N, channels, S, S) to features (N, D)."""

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, channels, S, S) to logits (N, classes)."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def parts(self) -> list[nn.Module]:
        """Return the network's blocks in order, from the images to the head, for fine-tuning by block."""
        return list(self.children())

    def load_pretrained(self) -> Path | None:
        """Load initial weights from a file and return its path; None if the network has no such weights."""
        return None


def run_order(network: nn.Module, channels: int, side_px: int) -> list[tuple[str, nn.Module, tuple[int, ...]]]:
    """List all modules by name, with the shape of their output for two images, in the order of execution.

    The shape is ``()`` for an output that is not a tensor, as from an LSTM.
    """
    order: list[tuple[str, nn.Module, tuple[int, ...]]] = []

    def remember(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_hook(
            lambda _, __, out: order.append((name, module, tuple(getattr(out, "shape", ()))))
        )

    handles = [remember(name, module) for name, module in network.named_modules() if name]
    try:
        with torch.inference_mode():
            network(torch.zeros(2, channels, side_px, side_px))
    finally:
        for handle in handles:
            handle.remove()
    return order


def layers_of(network: nn.Module, channels: int, side_px: int) -> list[dict[str, Any]]:
    """Return name, kind, output shape (of one image) and parameters of each layer, in the order of their use."""
    return [
        {
            "layer": name,
            "kind": type(layer).__name__,
            "output": " x ".join(map(str, shape[1:])) if shape else "?",
            "parameters": sum(each.numel() for each in layer.parameters()),
        }
        for name, layer, shape in run_order(network, channels, side_px)
        if not list(layer.children())
    ]


def start_for_relu(network: nn.Module) -> None:
    """Initialise convolutions for ReLU networks: He et al. 2015, normal, fan-out."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
