"""Networks of separable convolutions: a fraction of the weights of `mien`, for pages and phones."""

from __future__ import annotations

from torch import nn

from mien.models.mien import MienNet


class SeparableNet(MienNet):
    """The stages of :class:`MienNet`, each 3x3 convolution in two: one for each channel, then one across channels.

    Nothing stands between the two, as in Chollet, "Xception", CVPR 2017. Arguments as :class:`MienNet` has them.
    """

    @staticmethod
    def convolution(channels: int, width: int) -> nn.Module:
        """(N, channels, S, S) -> (N, width, S, S)."""
        return nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, width, 1, bias=False),
        )
