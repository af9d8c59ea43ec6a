"""Two networks side by side, such as the built-in model ``best``."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from mien.models.mien import Counts, MienNet, Widths
from mien.models.network import Dropout, Network, Width
from mien.models.resnet import ResNet


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
