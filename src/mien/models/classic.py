"""Networks of papers for face-sized images: VGG, ResNet, a ResNet joined with mien's, and the CNNs of two studies."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mien.models.network import Counts, Dropout, MienNet, Network, Width, Widths, start_for_relu

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

    def features(self, images: Tensor) -> Tensor:
        """Compute features as in :class:`Network`; D = 8 * width."""
        features: Tensor = self.dense(self.stages(images))
        return features


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

    def features(self, images: Tensor) -> Tensor:
        """Compute features as in :class:`Network`; D = 8 * width."""
        features: Tensor = self.pool(self.stages(self.stem(images)))
        return features


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

    def features(self, images: Tensor) -> Tensor:
        """Compute features as in :class:`Network`; D = 256."""
        features: Tensor = self.dense(self.stages(images))
        return features


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

    def features(self, images: Tensor) -> Tensor:
        """Compute features as in :class:`Network`; D = 128."""
        features: Tensor = self.dense(self.stages(images))
        return features


def _keras_norm(kind: type[nn.BatchNorm1d | nn.BatchNorm2d], width: int) -> nn.Module:
    return kind(width, eps=1e-3, momentum=0.01)


@torch.no_grad()
def _glorot(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
