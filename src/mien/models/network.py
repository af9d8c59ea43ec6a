"""Base class of mien's networks: features, then a linear head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from torch import Tensor, nn


class Network(nn.Module, ABC):
    """A classifier of two parts. Callers can use the features or replace the head.

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
        """Return the parts in order, from the images to the head, as fine-tuning needs them."""
        return list(self.children())

    def load_pretrained(self) -> Path | None:
        """Load initial weights from a file and return its path; None if the network has no such weights."""
        return None


def start_for_relu(network: nn.Module) -> None:
    """Initialise convolutions for ReLU networks: He et al. 2015, normal, fan-out."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
