"""Several model files' graphs as one graph that answers with the mean of their probabilities."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import numpy as np

from mien.errors import ModelError
from mien.manifest import Manifest, ModelOutput
from mien.version import __version__

LEAST_PROBABILITY = 1e-30
"""What a mean below it becomes: the logarithm of 0 is no logit."""


def merge_graphs(graphs: Sequence[bytes], manifests: Sequence[Manifest]) -> bytes:
    """One graph with all members side by side, each at its own temperatures.

    Its logits are the logarithms of the mean of the members' probabilities, each at its own temperature, so that its
    softmax is that mean. Outputs and classes are those of the first member, found by name in the others. ``features``
    are those of all members, one after another.

    Args:
        graphs: serialised graphs of model files.
        manifests: theirs, checked by :func:`check_alike`.

    Raises:
        ModelError: graphs of different ONNX operator sets (``ensemble-operators-differ``).
    """
    import onnx

    members = [
        onnx.compose.add_prefix(onnx.load_model_from_string(graph), f"{at}.", rename_inputs=False)
        for at, graph in enumerate(graphs)
    ]
    first = members[0]
    versions = {each.version for member in members for each in member.opset_import if each.domain in {"", "ai.onnx"}}
    if len(versions) > 1:
        raise ModelError(
            f"These models have operators of different ONNX versions ({', '.join(map(str, sorted(versions)))}). "
            f"Export them again with one version of mien.",
            code="ensemble-operators-differ",
        )
    nodes: list[Any] = []
    constants: list[Any] = []
    for output in manifests[0].all_outputs:
        own = [next(each for each in manifest.all_outputs if each.name == output.name) for manifest in manifests]
        for parts, found in zip((nodes, constants), _mean_of(own, output), strict=True):
            parts += found
    features = [f"{at}.features" for at in range(len(members))]
    nodes.append(onnx.helper.make_node("Concat", features, ["features"], "features", axis=1))
    graph = onnx.helper.make_graph(
        [*(node for member in members for node in member.graph.node), *nodes],
        "ensemble",
        [next(each for each in first.graph.input if each.name == "images")],
        [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", size])
            for name, size in _output_sizes(manifests[0], members)
        ],
        [*(tensor for member in members for tensor in member.graph.initializer), *constants],
        value_info=[each for member in members for each in member.graph.value_info],
    )
    model = onnx.helper.make_model(
        graph,
        producer_name="mien",
        opset_imports=[onnx.helper.make_opsetid("", versions.pop())],
        ir_version=max(member.ir_version for member in members),
    )
    content: bytes = model.SerializeToString()
    return content


def _mean_of(outputs: Sequence[ModelOutput], first: ModelOutput) -> tuple[list[Any], list[Any]]:
    """Nodes and constants that make the logits of one output from those of all members."""
    import onnx

    nodes, constants = [], []

    def constant(name: str, value: Any) -> str:
        constants.append(onnx.numpy_helper.from_array(value, f"{first.logits}.{name}"))
        return constants[-1].name

    def node(kind: str, inputs: Sequence[str], name: str, **settings: Any) -> str:
        nodes.append(onnx.helper.make_node(kind, inputs, [name], name, **settings))
        return name

    shares = []
    for at, output in enumerate(outputs):
        member = f"{first.logits}.{at}"
        divisor = constant(f"{at}.temperature", np.array(output.temperature, np.float32))
        divided = node("Div", [f"{at}.{output.logits}", divisor], f"{member}.divided")
        share = node("Softmax", [divided], f"{member}.softmax", axis=1)
        if output.classes != first.classes:
            places = constant(f"{at}.order", np.array([output.classes.index(each) for each in first.classes]))
            share = node("Gather", [share, places], f"{member}.ordered", axis=1)
        shares.append(share)
    mean = node("Mean", shares, f"{first.logits}.mean")
    least = constant("least", np.array(LEAST_PROBABILITY, np.float32))
    node("Log", [node("Clip", [mean, least], f"{first.logits}.bounded")], first.logits)
    return nodes, constants


def _output_sizes(manifest: Manifest, members: Sequence[Any]) -> Iterable[tuple[str, int]]:
    """Names and widths of the graph's outputs, in the order of any model file's."""
    label, *others = manifest.all_outputs
    yield label.logits, len(label.classes)
    found = [each for member in members for each in member.graph.output if each.name.endswith(".features")]
    yield "features", sum(each.type.tensor_type.shape.dim[1].dim_value for each in found)
    for each in others:
        yield each.logits, len(each.classes)


def ensemble_manifest(
    name: str, graphs: Sequence[bytes], manifests: Sequence[Manifest], provenance: Mapping[str, Any]
) -> Manifest:
    """The manifest of :func:`merge_graphs`: no scores yet, every temperature 1, the members' recipes in its recipe.

    Args:
        name: of the model.
        graphs: the members' files, whose SHA-256 its recipe names.
        manifests: theirs, checked by :func:`check_alike`.
        provenance: ``data_fingerprint`` and ``cleaned_from``.
    """
    first = manifests[0]
    kept = ("epoch", "recipe", "recipe_digest", "data_fingerprint")
    recipe = {
        "name": "ensemble",
        "classes": first.recipe.get("classes", "all"),
        "model": {"name": "ensemble"},
        "members": [
            {"name": each.full_name, "sha256": hashlib.sha256(graph).hexdigest(), **each.model_dump(include=set(kept))}
            for graph, each in zip(graphs, manifests, strict=True)
        ],
    }
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    precisions = [each.precision for each in manifests]
    return Manifest(
        name=name,
        classes=first.classes,
        input=first.input,
        parameters=sum(each.parameters for each in manifests),
        precision="int8" if "int8" in precisions else "fp16" if "fp16" in precisions else "fp32",
        recipe=recipe,
        recipe_digest=f"sha256:{digest}",
        **provenance,
        taught_by=tuple(sorted({teacher for each in manifests for teacher in each.taught_by})),
        epoch=0,
        outputs={output: each.model_copy(update={"temperature": 1.0}) for output, each in first.outputs.items()},
        licence=" AND ".join(dict.fromkeys(each.licence for each in manifests)),
        mien_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def check_alike(manifests: Sequence[Manifest]) -> None:
    """Check that models read the same images and have the same outputs, their classes in any order.

    Raises:
        ModelError: a model with other images, classes or outputs than the first (``ensemble-input-differs``,
            ``ensemble-classes-differ``, ``ensemble-outputs-differ``).
    """
    first = manifests[0]
    for other in manifests[1:]:
        if first.input != other.input:
            _refuse("read the same images", "input-differs", first, str(first.input), other, str(other.input))
        if set(first.classes) != set(other.classes):
            classes = ", ".join(first.classes), ", ".join(other.classes)
            _refuse("have the same classes", "classes-differ", first, classes[0], other, classes[1])
        if _outputs(first) != _outputs(other):
            _refuse("have the same outputs", "outputs-differ", first, _listed(first), other, _listed(other))


def _outputs(manifest: Manifest) -> dict[str | None, tuple[str, set[str]]]:
    return {each.name: (each.target, set(each.classes)) for each in manifest.all_outputs}


def _listed(manifest: Manifest) -> str:
    """The outputs in words."""
    named = [f"{each.name} ({each.target}: {', '.join(each.classes)})" for each in manifest.all_outputs if each.name]
    return " and ".join(named) or "one without a name"


def _refuse(what: str, code: str, first: Manifest, firsts: str, other: Manifest, others: str) -> NoReturn:
    raise ModelError(
        f"Models of one ensemble must {what}. {first.full_name} has {firsts}; {other.full_name} has {others}.",
        code=f"ensemble-{code}",
    )
