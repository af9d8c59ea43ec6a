"""Export a run's best weights to one ``.onnx`` file, and check that it gives the same outputs as torch."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.utils import Extractor
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mien.base.arrays import Floats, Pixels
from mien.base.errors import ModelError
from mien.base.files import write_bytes
from mien.base.model_file import MANIFEST_KEY, Manifest, OutputManifest, open_model, read_manifest
from mien.base.preprocess import face_square, to_input
from mien.base.processes import one_thread
from mien.base.progress import busy
from mien.base.recipe import Recipe
from mien.base.run_folder import RunFolder
from mien.data.synthetic import draw_labels, render_faces
from mien.models.network import MienNet, Network, Stage
from mien.models.own import OwnNetwork
from mien.training import checkpoint
from mien.training.optim import compute_logits
from mien.version import __version__

if find_spec("onnxscript") is None:  # torch imports it at the end of a training, to export
    raise ModuleNotFoundError(name="onnxscript")

PARITY_FACES = 256
MAX_DIFFERENCE = 1e-4
MAX_ROUNDED = 3e-3
"""The same where weights come from a graph that may have stored them in fp16."""


@dataclass(frozen=True)
class Parity:
    """Agreement of the file with torch, both in fp32 on the CPU: largest difference, share of equal top classes."""

    faces: int
    largest_difference: float
    agreement: float


@dataclass(frozen=True)
class Export:
    """A network, its graph without a manifest, and the session of both: exported, compared with torch, in memory."""

    network: Network
    graph: bytes
    manifest: Manifest
    session: Any
    parity: Parity

    def to_bytes(self, manifest: Manifest | None = None) -> bytes:
        """Return the content of the model file, with another manifest if one is given."""
        return _with_manifest(self.graph, manifest or self.manifest)

    def write(self, file: Path, manifest: Manifest | None = None) -> None:
        """Write the model file, whole or not at all."""
        write_bytes(file, self.to_bytes(manifest))


def export_run(run: RunFolder) -> Export:
    """Export the network of a run's best epoch, and compare it with torch on synthetic faces.

    Raises RunError for a damaged checkpoint, ModelError for probabilities further than :data:`MAX_DIFFERENCE` from
    torch's.
    """
    network, facts = checkpoint.load_best(run)
    return export_network(network, make_manifest(network, run.read_recipe(), facts, manifest_of_weights(run, facts)))


def make_manifest(network: Network, recipe: Recipe, facts: Mapping[str, Any], former: Manifest | None) -> Manifest:
    """Describe a network by recipe, checkpoint's metadata, and the ``former`` manifest of the same weights."""
    content = recipe.resolved()
    for key in {"weights", "file"} & content["model"].keys():
        content["model"][key] = Path(content["model"][key]).name  # paths mean nothing to others
    if own := facts.get("not_of_the_recipe", {}).get("augment"):
        content["augment"]["name"] = own
    outputs = {
        name: OutputManifest(classes=tuple(each["classes"]), target=each["target"])
        for name, each in facts.get("outputs", {}).items()
    }
    measured: dict[str, Any] = {"outputs": outputs}
    if former is not None:
        measured = {name: getattr(former, name) for name in ("scores", "temperature", "outputs", "answer")}
    return Manifest(
        name=recipe.name,
        classes=tuple(facts["classes"]),
        input=recipe.input,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        recipe=content,
        recipe_digest=facts["recipe_digest"],
        data_fingerprint=facts["data_fingerprint"],
        cleaned_from=tuple(facts.get("cleaned_from", ())),
        taught_by=tuple(facts.get("taught_by", ())),
        epoch=facts["epoch"],
        **measured,
        licence=network.licence,
        mien_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def export_network(
    network: Network, manifest: Manifest, images: Pixels | None = None, start: RunFolder | None = None
) -> Export:
    """Export a network and compare the graph with it, or try :func:`export_of_start`. Raises as :func:`export_run`."""
    with busy("exporting model.onnx"):
        if start is not None and (export := export_of_start(network, manifest, images, start)):
            return export
        graph = to_graph(network, manifest.input.crop_px, manifest.outputs, manifest.input.channels)
    export = _open(network, graph, manifest, images)
    # Write "not <=" instead of ">", so that NaN fails too.
    if not export.parity.largest_difference <= MAX_DIFFERENCE:
        largest = f"{export.parity.largest_difference:.2g}"
        words = f"The exported model's probabilities differ from torch's by up to {largest} "
        words += f"(allowed: {MAX_DIFFERENCE:g}). Nothing was written."
        raise ModelError(words, code="export-failed")
    return export


def export_of_start(network: Network, manifest: Manifest, images: Pixels | None, start: RunFolder) -> Export | None:
    """Put a network's last layer into the graph of ``start``, which has its other weights; None if they disagree."""
    former = manifest_of_weights(start, checkpoint.load(start.best)[1])
    if former is None or former.input != manifest.input:
        return None
    export = _open(network, with_last_layer(start.model, network, manifest), manifest, images)
    return export if export.parity.largest_difference <= MAX_ROUNDED else None


def _open(network: Network, graph: bytes, manifest: Manifest, images: Pixels | None) -> Export:
    session, _ = open_model("model.onnx", content=_with_manifest(graph, manifest))
    return Export(network, graph, manifest, session, measure_parity(network, session, manifest, images))


def with_last_layer(file: Path, network: Network, manifest: Manifest) -> bytes:
    """Serialise a model file's graph, weights in fp32, with a network's last layer as its own, without a manifest."""
    model = Extractor(onnx.load(file)).extract_model(["images"], ["features"])
    graph, features = model.graph, model.graph.output.pop()
    halves = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    for cast in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in halves]:
        tensor = halves[cast.input[0]]
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), cast.output[0]))
        graph.node.remove(cast)
    batch = features.type.tensor_type.shape.dim[0].dim_param
    rows = _sizes(network, manifest.outputs)
    layers = zip(torch.split(network.head.weight, rows), torch.split(network.head.bias, rows), strict=True)
    for head, layer in zip(manifest.all_outputs, layers, strict=True):
        names = [f"{head.logits}.weight", f"{head.logits}.bias"]
        graph.initializer.extend(
            numpy_helper.from_array(part.detach().numpy(), name) for part, name in zip(layer, names, strict=True)
        )
        graph.node.append(helper.make_node("Gemm", ["features", *names], [head.logits], transB=1))
        graph.output.append(helper.make_tensor_value_info(head.logits, TensorProto.FLOAT, [batch, len(head.classes)]))
    graph.output.insert(1, features)
    return bytes(model.SerializeToString())


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network that predicts with torch, and is exported only when that is asked for."""

    network: Network
    manifest: Manifest

    @classmethod
    def of_run(cls, run: RunFolder) -> Self:
        """Load the network of a run's best epoch."""
        network, facts = checkpoint.load_best(run)
        return cls(network, make_manifest(network, run.read_recipe(), facts, None))

    def probabilities(self, images: Pixels) -> Floats:
        """Compute probabilities of face crops, float64 (N, C)."""
        head = self.manifest.all_outputs[0]
        return head.values(compute_logits(self.network, images, self.manifest.input)[:, : len(head.classes)])

    def to_onnx(self) -> bytes:
        """Return the content of the model file. Raises ModelError as :func:`export_run`."""
        return export_network(self.network, self.manifest).to_bytes()


def _with_manifest(graph: bytes, manifest: Manifest) -> bytes:
    """Add a manifest to a serialised graph without one: protobuf merges messages that follow one another."""
    model = ModelProto()
    model.metadata_props.add(key=MANIFEST_KEY, value=manifest.written())
    return graph + bytes(model.SerializeToString())


def manifest_of_weights(run: RunFolder, facts: dict[str, Any]) -> Manifest | None:
    """Return the manifest of the run's model, None if its weights are not those of the checkpoint's metadata: training
    on a CPU is deterministic, so recipe, data, teachers and epoch identify them.
    """
    try:
        former = read_manifest(run.model)
    except ModelError:
        return None
    names = (former.epoch, former.recipe_digest, former.data_fingerprint, former.taught_by)
    taught_by = tuple(facts.get("taught_by", ()))
    return former if names == (facts["epoch"], facts["recipe_digest"], facts["data_fingerprint"], taught_by) else None


def measure_parity(network: Network, session: Any, manifest: Manifest, faces: Pixels | None = None) -> Parity:
    """Compare a network in evaluation mode with a session of its graph on face crops, by the worst output."""
    spec = manifest.input
    if faces is None:
        drawn = render_faces(draw_labels(PARITY_FACES, seed=0), seed=0, channels=spec.channels)
        faces = np.stack([face_square(face, spec.size_px, spec.channels) for face in drawn])
    images = to_input(np.asarray(faces[:PARITY_FACES]), spec)
    heads, sizes = manifest.all_outputs, _sizes(network, manifest.outputs)
    with torch.inference_mode():
        ours = torch.split(network(torch.from_numpy(images)), sizes, dim=1)
    each = zip(heads, ours, session.run([head.logits for head in heads], {"images": images}), strict=True)
    pairs = [(head, head.values(one.numpy(), 1.0), head.values(two, 1.0)) for head, one, two in each]
    return Parity(
        faces=len(images),
        # NumPy's max, unlike Python's, propagates NaN.
        largest_difference=float(np.max([np.abs(one - two).max() for _, one, two in pairs])),
        agreement=min(float((one.argmax(1) == two.argmax(1)).mean()) for head, one, two in pairs if head.answers),
    )


def _sizes(network: Network, outputs: Mapping[str, OutputManifest]) -> list[int]:
    return [len(each.classes) for each in outputs.values()] or [network.head.out_features]


class _WithFeatures(nn.Module):
    """A network that returns its first logits, its features, and other logits, each with its own layer (for int8)."""

    def __init__(self, network: Network, sizes: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.heads = nn.ModuleList()
        if len(sizes) > 1:
            whole = network.head
            parts = zip(whole.weight.split(list(sizes)), whole.bias.split(list(sizes)), strict=True)  # type: ignore[no-untyped-call]
            for weight, bias in parts:
                layer = nn.Linear(weight.shape[1], weight.shape[0])
                layer.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
                self.heads.append(layer)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.network.features(images)
        if not self.heads:
            return self.network.head(features), features
        first, *others = (head(features) for head in self.heads)
        return first, features, *others


def to_graph(
    network: Network, crop_px: int, named: Mapping[str, OutputManifest] = MappingProxyType({}), channels: int = 1
) -> bytes:
    """Serialise a network: ``images`` -> ``logits`` (the first of ``named``), ``features``, ``logits_<name>``."""
    example = torch.zeros(2, channels, crop_px, crop_px)
    shapes: dict[str, Any] = {"images": {0: torch.export.Dim("batch", min=1)}}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with one_thread(), warnings.catch_warnings():
        # The exporter gives warnings about its own deprecated parts.
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                _WithFeatures(fuse_for_inference(network, crop_px), _sizes(network, named)).eval(),
                (example,),
                input_names=["images"],
                output_names=["logits", "features", *(f"logits_{name}" for name in list(named)[1:])],
                dynamic_shapes=shapes,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:
            if not isinstance(network, OwnNetwork):
                raise
            reason = next((line for line in str(error.__cause__ or error).splitlines() if line.strip()), "")
            words = f"The network {type(network.body).__name__} cannot be exported to ONNX: {reason.strip()[:300]}"
            raise ModelError(words, code="export-failed") from None
    assert program is not None
    model = program.model_proto
    # Remove the exporter's notes about the code, such as stack traces with local paths.
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    return bytes(model.SerializeToString())


NARROW = 16
"""A convolution of so few channels leaves much of an 8-bit instruction unused."""


def fuse_for_inference(network: Network, crop_px: int) -> Network:
    """Return a copy in evaluation mode; a MienNet's is fused for images of side ``crop_px``: faster in 8 bits."""
    network = deepcopy(network).eval()
    for part in network.modules():
        if isinstance(part, MienNet):
            _fuse_stages(part, crop_px)
    return network


def _fuse_stages(network: MienNet, crop_px: int) -> None:
    convolution = network.stem[0]
    assert isinstance(convolution, nn.Conv2d)
    side_px = crop_px // convolution.stride[0]
    network.stem = _fuse_conv_bn(network.stem, crop_px)
    for stage in network.stages:
        assert isinstance(stage, Stage)
        stage.entry = _fuse_conv_bn(stage.entry, side_px)
        side_px //= 2  # only the last stage may have no pooling


def _fuse_conv_bn(layers: nn.Sequential, side_px: int) -> nn.Sequential:
    """Fuse a convolution, an optional pooling, a norm and a ReLU, for feature maps of this side.

    With pooling in between this is exact only if no scale of the norm is negative; such layers are not fused.
    """
    convolution, *pools, norm, relu = layers
    # In a separable convolution, only the second half is fused.
    *first, convolution = convolution if isinstance(convolution, nn.Sequential) else [convolution]
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    if pools and bool((norm.weight < 0).any()):
        return layers
    fused = fuse_conv_bn_eval(convolution, norm)
    if not first and fused.out_channels <= NARROW and fused.stride == (1, 1) and side_px % 2 == 0:
        return nn.Sequential(Pairs(fused), *pools)
    return nn.Sequential(*first, fused, relu, *pools)


class Pairs(nn.Module):
    """A 3x3 convolution with bias and ReLU, computed for two neighbouring pixels of a row at once.

    It is a 3x4 convolution with stride 2 that gives twice the channels at half of the positions. With channels last, as
    in 8-bit convolutions, the memory layout equals that of the single outputs, so no data is moved. In fp32, this needs
    a third more multiplications.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        assert convolution.bias is not None
        single, bias = convolution.weight.detach(), convolution.bias.detach()
        self.register_buffer("weight", torch.cat([functional.pad(single, (0, 1)), functional.pad(single, (1, 0))]))
        self.register_buffer("bias", torch.cat([bias, bias]))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) with an even W to (N, channels of the convolution, H, W)."""
        pairs = functional.relu(functional.conv2d(x, self.weight, self.bias, stride=(1, 2), padding=1))
        return pairs.permute(0, 2, 3, 1).reshape(x.shape[0], *x.shape[2:], -1).permute(0, 3, 1, 2)
