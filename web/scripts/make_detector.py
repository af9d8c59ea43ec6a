"""Write the page's face detector as an ONNX file, from the weights in the npm package @vladmandic/face-api (MIT).

    python web/scripts/make_detector.py web/node_modules/@vladmandic/face-api web/build/detector.onnx

The network is the package's "tiny face detector": one convolution and five depthwise-separable ones, each followed by a
leaky ReLU and a 2 x 2 maximum, then a 1 x 1 convolution. Each cell of 32 x 32 pixels has five anchors with five values
each (web/src/faces/anchors.ts). The same weights always give the same bytes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import TensorProto
from onnx_graph import OnnxGraph

MEAN = (117.001, 114.697, 97.404)
"""What the package subtracts from red, green and blue, 0..255, before it divides by 255."""

ORDINARY = (3, 2, 0, 1)
"""The package stores filters as (height, width, in, out); ONNX wants (out, in, height, width)."""

FIRST = (3, 0, 1, 2)
"""Of the first layer: (out, height, width, in), as pixels lie in memory."""

DEPTHWISE = (2, 3, 0, 1)
"""Depthwise filters are stored as (height, width, channel, 1); ONNX wants (channel, 1, height, width)."""

LAYERS = 6
"""Convolutions with a leaky ReLU and a maximum after them; all but the first are depthwise-separable."""


@dataclass(frozen=True)
class Weight:
    """A tensor of the package: ``values`` uint8, which mean ``values * scale + minimum``."""

    values: npt.NDArray[np.uint8]
    scale: float
    minimum: float

    def turned(self, axes: tuple[int, ...]) -> Weight:
        """The same with its axes in another order."""
        return replace(self, values=self.values.transpose(axes))


class DetectorGraph(OnnxGraph):
    """The detector.

    Args:
        weights: the package's tensors by name.
    """

    def __init__(self, weights: dict[str, Weight]) -> None:
        super().__init__()
        self.weights = weights

    def write(self, out: Path) -> None:
        """Write its file.

        Input ``pixels``: uint8 (height, width, 4), RGBA as a canvas gives it, both sides multiples of 32.
        Output ``cells``: float32 (1, 25, height / 32, width / 32).
        """
        last = self._pooled(self._first_convolution(), 0)
        for layer in range(1, LAYERS):
            name = f"conv{layer}/depthwise_filter"
            group = self.weights[name].values.shape[2]
            last = self._convolution(last, name, DEPTHWISE, kernel_shape=[3, 3], group=group, pads=[1, 1, 1, 1])
            name = f"conv{layer}/pointwise_filter"
            last = self._convolution(last, name, ORDINARY, bias=f"conv{layer}/bias", kernel_shape=[1, 1])
            last = self._pooled(last, layer)
        last = self._convolution(last, "conv8/filters", ORDINARY, bias="conv8/bias", kernel_shape=[1, 1])
        self._node("Identity", [last], "cells")
        self._write(out, "tiny face detector", ["height", "width", 4], "cells", [1, 25, "rows", "columns"])

    def _first_convolution(self) -> str:
        """A convolution that takes the bytes as they lie: one plane, four times as wide, in steps of four.

        Slicing, transposing and normalizing the pixels before it took a quarter of the network's time. The filter is
        zero for the fourth byte; it divides by 255 itself, and its bias holds the mean.
        """
        self._node("Cast", ["pixels"], "colours", to=TensorProto.FLOAT)
        self._node("Flatten", ["colours"], "rows", axis=1)
        self._initializer("front", np.array([0, 1], np.int64))
        self._node("Unsqueeze", ["rows", "front"], "plane")
        weight, bias = self.weights["conv0/filters"], self.weights["conv0/bias"]
        filters = weight.values.transpose(FIRST)
        scaled = Weight(filters, weight.scale / 255, weight.minimum / 255)
        self._dequantized("conv0/filters", scaled)
        # One zero behind red, green and blue of each column.
        self._initializer("conv0/fourth", np.array([0, 0, 0, 0, 0, 0, 0, 1], np.int64))
        self._node("Pad", ["conv0/filters", "conv0/fourth"], "conv0/padded")
        self._initializer("conv0/shape", np.array([len(filters), 1, 3, 12], np.int64))
        self._node("Reshape", ["conv0/padded", "conv0/shape"], "conv0/wide")
        values = scaled.values.astype(np.float64) * scaled.scale + scaled.minimum
        shift = bias.values * bias.scale + bias.minimum - (values * MEAN).sum(axis=(1, 2, 3))
        self._initializer("conv0/shift", shift.astype(np.float32))
        inputs = ["plane", "conv0/wide", "conv0/shift"]
        return self._node("Conv", inputs, "conv0/out", kernel_shape=[3, 12], strides=[1, 4])

    def _convolution(
        self, last: str, filters: str, axes: tuple[int, ...], *, bias: str | None = None, **attributes: object
    ) -> str:
        inputs = [last, self._dequantized(filters, self.weights[filters].turned(axes))]
        if bias is not None:
            inputs.append(self._dequantized(bias, self.weights[bias]))
        return self._node("Conv", inputs, f"{filters}/out", **attributes)

    def _pooled(self, last: str, layer: int) -> str:
        active = self._node("LeakyRelu", [last], f"conv{layer}/active", alpha=0.1)
        # The last maximum keeps the number of cells.
        step = 1 if layer == LAYERS - 1 else 2
        sizes = {"kernel_shape": [2, 2], "strides": [step, step]}
        return self._node("MaxPool", [active], f"conv{layer}/pooled", auto_pad="SAME_UPPER", **sizes)

    def _dequantized(self, name: str, weight: Weight) -> str:
        """A weight in float32. onnxruntime computes it once, when it loads the file; the file keeps 8 bits."""
        self._initializer(f"{name}/bytes", np.ascontiguousarray(weight.values))
        self._initializer(f"{name}/scale", np.array(weight.scale, np.float32))
        self._initializer(f"{name}/min", np.array(weight.minimum, np.float32))
        self._node("Cast", [f"{name}/bytes"], f"{name}/cast", to=TensorProto.FLOAT)
        self._node("Mul", [f"{name}/cast", f"{name}/scale"], f"{name}/scaled")
        return self._node("Add", [f"{name}/scaled", f"{name}/min"], name)


def read_weights(package: Path) -> dict[str, Weight]:
    """The tensors of the package's tiny face detector, by name: 8 bits each, with one scale and one minimum a tensor.

    Raises:
        ValueError: the file of weights is longer or shorter than its manifest says.
    """
    folder = package / "model"
    manifest = json.loads((folder / "tiny_face_detector_model-weights_manifest.json").read_text(encoding="utf-8"))
    file = folder / "tiny_face_detector_model.bin"
    stored = np.frombuffer(file.read_bytes(), np.uint8)
    weights = {}
    start = 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        end = start + int(np.prod(entry["shape"]))
        values = stored[start:end].reshape(entry["shape"])
        weights[entry["name"]] = Weight(values, entry["quantization"]["scale"], entry["quantization"]["min"])
        start = end
    if start != len(stored):
        raise ValueError(f"{file} has {len(stored)} bytes; its manifest says {start}.")
    return weights


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    DetectorGraph(read_weights(Path(sys.argv[1]))).write(Path(sys.argv[2]))
