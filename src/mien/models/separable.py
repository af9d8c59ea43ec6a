"""Networks of depthwise-separable convolutions: far fewer weights than `mien`, for web pages and phones."""

from __future__ import annotations

from torch import nn

from mien.models.mien import MienNet


class SeparableNet(MienNet):
    """The stages of :class:`MienNet` with depthwise-separable 3x3 convolutions.

    There is no activation between the two parts, as in Chollet, "Xception", CVPR 2017. Arguments are as in
    :class:`MienNet`.
    """

    @staticmethod
    def convolution(channels: int, width: int) -> nn.Module:
        """Build a separable convolution, (N, channels, S, S) -> (N, width, S, S)."""
        return nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, width, 1, bias=False),
        )
