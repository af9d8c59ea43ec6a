"""Base of every network in mien: features, then a linear head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from torch import Tensor, nn


class Network(nn.Module, ABC):
    """A classifier in two parts, so that any part of mien can take the features or replace the head.

    Attributes:
        head: the last layer, features (N, D) -> logits (N, classes).
        licence: of the weights that it begins with, for the manifest.
    """

    head: nn.Linear
    licence: str = "MIT"

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Normalised images (N, channels, S, S) -> features (N, D)."""

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (N, channels, S, S) -> logits (N, classes)."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def parts(self) -> list[nn.Module]:
        """Return its parts in order, from the images to the head; fine-tuning needs that order."""
        return list(self.children())

    def load_pretrained(self) -> Path | None:
        """Load the weights that a run begins with, where they come from a file; returns the file, else None."""
        return None


def start_for_relu(network: nn.Module) -> None:
    """Draw convolution weights for ReLU networks: He et al. 2015, normal, by fan-out."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
