"""The plain CNNs of the two studies on which mien is based."""

import torch
from torch import Tensor, nn

from mien.models.network import Dropout, Network


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
