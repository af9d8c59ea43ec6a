"""mien's own network: small, fast to train on a CPU, and light to run."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mien.models.network import Network, start_for_relu


class MienNet(Network):
    """Stages of two 3x3 convolutions (batch norm, ReLU), a max-pool after each but the last, average pooling.

    Args:
        classes: number of classes.
        widths: channels of each stage.
        dropout: before the head.
    """

    def __init__(self, classes: int, widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for stage, width in enumerate(widths):
            if stage > 0:
                layers.append(nn.MaxPool2d(2))
            for _ in range(2):
                layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
                layers.append(nn.ReLU(inplace=True))
                channels = width
        self.stages = nn.Sequential(*layers)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))
        self.head = nn.Linear(channels, classes)
        start_for_relu(self)

    def features(self, images: Tensor) -> Tensor:
        """See :class:`Network`; D = the last width."""
        features: Tensor = self.pool(self.stages(images))
        return features
