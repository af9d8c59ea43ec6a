"""Base class of networks, features then a linear head; and mien's own: small, fast on a CPU to train and to run."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mien.base.errors import RecipeError

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
    """List all modules by name as they run, with the shape of their output for two images; () if no tensor."""
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


# strict=False accepts lists, because TOML has no tuples.
Widths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=8, strict=False)]
Counts = Annotated[tuple[Annotated[int, Field(ge=1, le=16)], ...], Field(min_length=1, max_length=8, strict=False)]


class SqueezeExcite(nn.Module):
    """Squeeze-and-excite (SE): weigh channels by the content of the whole image (Hu et al. 2018, reduction 8).

    SE computes with channels last, like training and 8-bit convolutions. This halves its training time and saves
    transposes in 8-bit files.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(width // 8, 8)
        self.squeeze: nn.Linear = nn.Linear(width, hidden)
        self.excite: nn.Linear = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, S, S) to the same shape."""
        x = x.permute(0, 2, 3, 1)
        weighted: Tensor = x * self.excite(functional.relu(self.squeeze(x.mean(dim=(1, 2))))).sigmoid()[:, None, None]
        return weighted.permute(0, 3, 1, 2)


class Stage(nn.Module):
    """A 3x3 convolution, max-pool, norm, ReLU (pooled first, to save work); then a residual branch with SE."""

    def __init__(
        self, channels: int, width: int, convolutions: int, pool: bool, convolution: Callable[[int, int], nn.Module]
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolution(channels, width)]
        if pool:
            layers.append(nn.MaxPool2d(2))
        self.entry: nn.Sequential = nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        branch: list[nn.Module] = []
        for number in range(convolutions - 1):
            if number > 0:
                branch.append(nn.ReLU(inplace=True))
            branch += [convolution(width, width), nn.BatchNorm2d(width)]
        self.branch: nn.Sequential | None = nn.Sequential(*branch, SqueezeExcite(width)) if branch else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, S, S) to (N, width, S / 2 or S, ...)."""
        x = self.entry(x)
        return x if self.branch is None else functional.relu(x + self.branch(x))


class MienNet(Network):
    """A stem, residual stages with squeeze-and-excite, average pooling, and a linear head.

    Args:
        classes: number of classes.
        size_px: side of the images; the network works at any.
        channels: channels of the images.
        stem_width: channels of the first convolution.
        stem_stride: 2 uses a 4x4 kernel with stride 2 (faster), 1 a 3x3 kernel with stride 1 (finer).
        widths: channels of each stage.
        convolutions: number of 3x3 convolutions in each stage. Every stage halves the side, except the last one if
            ``pool_last`` is False.
        pool_last: whether the last stage halves the side.
        dropout: dropout rate before the head.

    Raises:
        RecipeError: ``widths`` and ``convolutions`` differ in length (``model-setting``).
    """

    def __init__(
        self, classes: int, size_px: int, channels: int, stem_width: Width = 32,
        stem_stride: Annotated[int, Field(ge=1, le=2)] = 2, widths: Widths = (64, 128, 256),
        convolutions: Counts = (1, 2, 1), pool_last: bool = True, dropout: Dropout = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        if len(convolutions) != len(widths):
            words = f"The model needs one number of convolutions for each width; found {len(convolutions)} for "
            words += f"{len(widths)} widths. Set both, model.widths and model.convolutions."
            raise RecipeError(words, code="model-setting")
        self.stem: nn.Sequential = nn.Sequential(
            nn.Conv2d(channels, stem_width, 2 + stem_stride, stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(stem_width),
            nn.ReLU(inplace=True),
        )
        stages: list[nn.Module] = []
        channels = stem_width
        for number, (width, count) in enumerate(zip(widths, convolutions, strict=True), start=1):
            stages.append(Stage(channels, width, count, pool_last or number < len(widths), self.convolution))
            channels = width
        self.stages: nn.Sequential = nn.Sequential(*stages)
        self.dropout: nn.Dropout = nn.Dropout(dropout)
        self.head: nn.Linear = nn.Linear(channels, classes)
        start_for_relu(self)

    @staticmethod
    def convolution(channels: int, width: int) -> nn.Module:
        """Build a 3x3 convolution, (N, channels, S, S) -> (N, width, S, S)."""
        return nn.Conv2d(channels, width, 3, padding=1, bias=False)

    def features(self, images: Tensor) -> Tensor:
        """Compute features as in :class:`Network`; D is the last width."""
        maps: Tensor = self.stages(self.stem(images))
        features: Tensor = self.dropout(maps.permute(0, 2, 3, 1).mean(dim=(1, 2)))
        return features


class SeparableNet(MienNet):
    """A :class:`MienNet` of depthwise-separable convolutions, nothing in between (Xception, 2017), for pages."""

    @staticmethod
    def convolution(channels: int, width: int) -> nn.Module:
        """Build a separable convolution, (N, channels, S, S) -> (N, width, S, S)."""
        return nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, width, 1, bias=False),
        )
