"""VGG for face-sized images: Simonyan & Zisserman, "Very Deep Convolutional Networks", ICLR 2015, with batch norm."""

from torch import Tensor, nn

from mien.models.network import Dropout, Network, Width, start_for_relu

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
