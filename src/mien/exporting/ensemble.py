"""Several model files' graphs as one graph that answers with the mean of their probabilities."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mien.base.errors import ModelError
from mien.base.labels import parse_scheme
from mien.base.model_file import INT8, Manifest, ModelOutput
from mien.version import __version__

LEAST_PROBABILITY = 1e-30
"""What a mean below it becomes: the logarithm of 0 is no logit."""


def merge_graphs(graphs: Sequence[bytes], manifests: Sequence[Manifest]) -> bytes:
    """One graph with all members side by side.

    Its logits are the logarithms of the mean of the members' probabilities, each at temperature 1, so that its softmax
    is that mean. Outputs and classes are those of the first member, found by name in the others. Where all members have
    ``features``, the graph has them one after another.

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
    versions = {each.version for member in members for each in member.opset_import if each.domain in {"", "ai.onnx"}}
    if len(versions) > 1:
        raise ModelError(
            f"These models have operators of different ONNX versions ({', '.join(map(str, sorted(versions)))}). "
            f"Export all of them again with one version of mien.",
            code="ensemble-operators-differ",
        )
    nodes: list[Any] = []
    constants: list[Any] = []
    sizes = {}
    for output in manifests[0].all_outputs:
        own_nodes, own_constants = _mean_of([manifest.output(output.name) for manifest in manifests], output)
        nodes.extend(own_nodes)
        constants.extend(own_constants)
        sizes[output.logits] = len(output.classes)
    widths = [_width_of_features(member, f"{at}.features") for at, member in enumerate(members)]
    if all(widths):
        names = [f"{at}.features" for at in range(len(members))]
        nodes.append(onnx.helper.make_node("Concat", names, ["features"], "features", axis=1))
        sizes["features"] = sum(widths)
    graph = onnx.helper.make_graph(
        [*(node for member in members for node in member.graph.node), *nodes],
        "ensemble",
        [next(each for each in members[0].graph.input if each.name == "images")],
        [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", size])
            for name, size in sizes.items()
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
        share = node("Softmax", [f"{at}.{output.logits}"], f"{member}.softmax", axis=1)
        if output.classes != first.classes:
            places = constant(f"{at}.order", np.array([output.classes.index(each) for each in first.classes]))
            share = node("Gather", [share, places], f"{member}.ordered", axis=1)
        shares.append(share)
    mean = node("Mean", shares, f"{first.logits}.mean")
    least = constant("least", np.array(LEAST_PROBABILITY, np.float32))
    node("Log", [node("Clip", [mean, least], f"{first.logits}.bounded")], first.logits)
    return nodes, constants


def _width_of_features(member: Any, name: str) -> int:
    """The width of an output of a graph; 0 where the graph has no such output, or one of unknown width."""
    found = [each.type.tensor_type.shape.dim for each in member.graph.output if each.name == name]
    return int(found[0][1].dim_value) if found and len(found[0]) == 2 else 0


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
    kept = {"epoch", "recipe", "recipe_digest", "data_fingerprint"}
    recipe = {
        "name": "ensemble",
        "classes": first.recipe.get("classes", "all"),
        "model": {"name": "ensemble"},
        "members": [
            {"name": each.full_name, "sha256": hashlib.sha256(graph).hexdigest(), **each.model_dump(include=kept)}
            for graph, each in zip(graphs, manifests, strict=True)
        ],
    }
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    precisions = [each.precision for each in manifests]
    if "int8" in precisions:
        name = name.removesuffix(INT8)  # which full_name adds
    return Manifest(
        name=name or "ensemble",
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
        licence=" AND ".join(dict.fromkeys(_one_term(each.licence) for each in manifests)),
        mien_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _one_term(licence: str) -> str:
    """A licence as a part of a longer SPDX expression."""
    return f"({licence})" if " " in licence else licence


def check_alike(manifests: Sequence[Manifest], names: Sequence[str]) -> None:
    """Check that models read the same images and have the same outputs, their classes in any order.

    Args:
        manifests: of the models.
        names: theirs, for the error.

    Raises:
        ModelError: a model with another input, label scheme or outputs than the first (``ensemble-members-differ``).
    """
    first = _compared(manifests[0])
    for manifest, name in zip(manifests[1:], names[1:], strict=True):
        other = _compared(manifest)
        for what, (value, words) in first.items():
            if other[what][0] != value:
                raise ModelError(
                    f"Models of one ensemble must have the same {what}. {names[0]} has {words}; "
                    f"{name} has {other[what][1]}. Leave one of them out.",
                    code="ensemble-members-differ",
                )


def _compared(manifest: Manifest) -> dict[str, tuple[Any, str]]:
    """What models of one ensemble must share: its value, and that in words."""
    given = str(manifest.recipe.get("classes", "all"))
    scheme = parse_scheme(given)
    groups = None if scheme is None else {name: set(merged) for name, merged in scheme.groups.items()}
    outputs = {each.name: (each.target, set(each.classes)) for each in manifest.all_outputs}
    named = [f"{each.name or each.target}: {', '.join(each.classes)}" for each in manifest.all_outputs]
    return {
        "input": (manifest.input, str(manifest.input)),
        "label scheme": (groups, given),
        "outputs": (outputs, " and ".join(named)),
    }
