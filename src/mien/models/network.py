"""Networks of features and a linear head: their base class, mien's own (small, fast on a CPU), and those of papers."""

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


class Network(nn.Module):
    """A classifier of two parts: features and head. Callers can use the features or replace the head.

    mien's own networks are made of ``classes``, ``size_px`` and ``channels`` of the images, and the recipe's settings.

    Attributes:
        head: the last layer, features (N, D) -> logits (N, classes).
        licence: licence of the initial weights, for the manifest.
    """

    head: nn.Linear
    licence: str = "MIT"

    def features(self, images: Tensor) -> Tensor:
        """Map normalised images (N, channels, S, S) to features (N, D): by all modules but the head, in their order."""
        for name, module in self.named_children():
            images = images if name == "head" else module(images)
        return images

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
        size_px: side of the images; the network works at any.
        stem_width: channels of the first convolution.
        stem_stride: 2 uses a 4x4 kernel with stride 2 (faster), 1 a 3x3 kernel with stride 1 (finer).
        widths: channels of each stage.
        convolutions: number of 3x3 convolutions in each stage. Every stage halves the side, except the last one if
            ``pool_last`` is False.
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


# Convolutions in each of the five stages: configurations A, B and D in table 1 of the paper.
CONVOLUTIONS: dict[int, tuple[int, ...]] = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3)}


class VGG(Network):
    """VGG with batch norm and a small head.

    Each of five stages has 3x3 convolutions, each with batch norm and ReLU, and a max-pool. The first stage has
    ``width`` channels; they double up to ``8 * width``. The paper's two dense layers of 4,096 (for 224 px and 1,000
    classes) are replaced by a single one of ``8 * width``, with dropout before and after.
    """

    def __init__(
        self, depth: int, classes: int, size_px: int, channels: int, width: Width = 64, dropout: Dropout = 0.5
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stage, count in enumerate(CONVOLUTIONS[depth]):
            stage_width = width * min(2**stage, 8)
            for _ in range(count):
                layers += [
                    nn.Conv2d(channels, stage_width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(stage_width),
                    nn.ReLU(inplace=True),
                ]
                channels = stage_width
            layers.append(nn.MaxPool2d(2))
        self.stages: nn.Sequential = nn.Sequential(*layers)
        self.dense: nn.Sequential = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(channels, channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        self.head: nn.Linear = nn.Linear(channels, classes)
        start_for_relu(self)


BLOCKS: dict[int, tuple[int, ...]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to the block's input (figure 5, left, of the paper)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.convolution_1: nn.Conv2d = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.norm_1: nn.BatchNorm2d = nn.BatchNorm2d(width)
        self.convolution_2: nn.Conv2d = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm_2: nn.BatchNorm2d = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, S, S) to (N, width, S / stride, S / stride)."""
        y = functional.relu(self.norm_1(self.convolution_1(x)))
        return functional.relu(self.norm_2(self.convolution_2(y)) + self.shortcut(x))


class ResNet(Network):
    """ResNet with basic blocks. As usual for small images, the stem is one 3x3 convolution without pooling."""

    def __init__(
        self, depth: int, classes: int, size_px: int, channels: int, width: Width = 64, dropout: Dropout = 0.0
    ) -> None:
        super().__init__()
        self.stem: nn.Sequential = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        blocks: list[nn.Module] = []
        channels = width
        for stage, count in enumerate(BLOCKS[depth]):
            for block in range(count):
                blocks.append(BasicBlock(channels, width * 2**stage, 2 if stage > 0 and block == 0 else 1))
                channels = width * 2**stage
        self.stages: nn.Sequential = nn.Sequential(*blocks)
        self.pool: nn.Sequential = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))
        self.head: nn.Linear = nn.Linear(channels, classes)
        start_for_relu(self)


class JoinedNet(Network):
    """A MienNet and a ResNet-18 that see the same images, and one linear head on the features of both.

    A head made of those of two trained networks gives the weighted mean of their logits; see release/join.py.
    ``width`` is the ResNet's, the other settings are those of both or of :class:`MienNet`.
    """

    def __init__(
        self, classes: int, size_px: int, channels: int, width: Width = 48, stem_width: Width = 8,
        stem_stride: Annotated[int, Field(ge=1, le=2)] = 1, widths: Widths = (32, 96, 192, 256),
        convolutions: Counts = (2, 2, 2, 2), pool_last: bool = False, dropout: Dropout = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.deep: ResNet = ResNet(18, classes, size_px, channels, width, dropout)
        shape = (stem_width, stem_stride, widths, convolutions, pool_last, dropout)
        self.light: MienNet = MienNet(classes, size_px, channels, *shape)
        self.head: nn.Linear = nn.Linear(self.light.head.in_features + self.deep.head.in_features, classes)
        del self.light.head, self.deep.head

    def parts(self) -> list[nn.Module]:
        """Return the members' blocks in pairs, counted from the head; the ResNet has more, which come first."""
        light, deep = [self.light.stem, *self.light.stages], [self.deep.stem, *self.deep.stages]
        alone = len(deep) - len(light)
        pairs = [nn.ModuleDict({"light": one, "deep": other}) for one, other in zip(light, deep[alone:], strict=True)]
        return [*deep[:alone], *pairs, self.head]

    def features(self, images: Tensor) -> Tensor:
        """Compute features as in :class:`Network`; D is the last of ``widths`` + 8 * width."""
        # The ResNet comes last: Grad-CAM takes the last maps, and it has most of the parameters.
        return torch.cat([self.light.features(images), self.deep.features(images)], dim=1)


class StudyB(Network):
    """Study B's network: 1,391,943 trainable parameters and 2,240 running statistics at 7 classes and 48 px.

    Three stages of two 3x3 'valid' convolutions, each followed by ReLU and then batch norm, max-pool, dropout 0.25.
    Then dense 256, ReLU, batch norm, dropout 0.5 and the head. Defaults are those of Keras: batch norm eps 1e-3 and
    momentum 0.99 (0.01 in torch), Glorot-uniform weights, zero biases.
    """

    def __init__(self, classes: int, size_px: int, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        side = size_px
        for widths in ((32, 64), (128, 128), (256, 256)):
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3), nn.ReLU(), _keras_norm(nn.BatchNorm2d, width)]
                channels = width
            layers += [nn.MaxPool2d(2), nn.Dropout(0.25)]
            side = max((side - 4) // 2, 1)  # images that are too small leave no pixels; check_sizes refuses them
        self.stages: nn.Sequential = nn.Sequential(*layers)
        self.dense: nn.Sequential = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * side * side, 256),
            nn.ReLU(),
            _keras_norm(nn.BatchNorm1d, 256),
            nn.Dropout(0.5),
        )
        self.head: nn.Linear = nn.Linear(256, classes)
        _glorot(self)


class StudyA(Network):
    """A plain CNN of convolutions and poolings, as Study A describes it; its exact layers are not published.

    mien uses four stages of one 3x3 convolution, ReLU and max-pool (32, 64, 128, 128 channels), dense 128, ReLU and
    dropout, without normalisation. Weights are initialised as in Keras.
    """

    def __init__(self, classes: int, size_px: int, channels: int, dropout: Dropout = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        side = size_px
        for width in (32, 64, 128, 128):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            channels, side = width, max(side // 2, 1)  # as in StudyB
        self.stages: nn.Sequential = nn.Sequential(*layers)
        self.dense: nn.Sequential = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * side * side, 128), nn.ReLU(), nn.Dropout(dropout)
        )
        self.head: nn.Linear = nn.Linear(128, classes)
        _glorot(self)


def _keras_norm(kind: type[nn.BatchNorm1d | nn.BatchNorm2d], width: int) -> nn.Module:
    return kind(width, eps=1e-3, momentum=0.01)


@torch.no_grad()
def _glorot(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
