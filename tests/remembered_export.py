"""``torch.onnx.export`` for tests: networks of one shape are exported once a process, with the weights of each.

An export takes ten times as long as the tiny training before it, and hundreds of tests train one of a few networks.
What mien does before and after the export is done each time: fusing, the manifest, the comparison with torch.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import nn

PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.Size)
OF_EVERY_MODULE = vars(nn.Module()).keys()


def remembering(export: Callable[..., Any]) -> Callable[..., Any]:
    """``torch.onnx.export`` that puts the weights of a network into the graph of the first of its shape."""
    known: dict[object, tuple[Any, bytes]] = {}

    @wraps(export)
    def export_once(module: nn.Module, inputs: tuple[torch.Tensor, ...], **options: Any) -> Any:
        try:
            key = (_shape(module), tuple((each.shape, each.dtype) for each in inputs), repr(options))
        except TypeError:
            return export(module, inputs, **options)
        weights = {name: tensor.detach().numpy() for name, tensor in _weights(module).items()}
        if key not in known:
            first = export(module, inputs, optimize=False, **options)
            graph = first.model_proto
            if not _has_all(graph, weights):
                return export(module, inputs, **options)
            known[key] = (first, graph.SerializeToString())
        from onnx_ir import serde

        # The first of a shape too: names of nodes come out otherwise, and two runs alike have the same bytes.
        program = copy(known[key][0])
        program.model = serde.deserialize_model(_with(known[key][1], weights))
        # This makes one weight of several, as of a convolution and its norm: before it each has its own place.
        program.optimize()
        return program

    return export_once


def _weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """All weights that a graph may hold. A count of batches is none."""
    every = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: tensor for name, tensor in every.items() if tensor.is_floating_point()}


def _shape(module: nn.Module) -> object:
    """What the graph of a network depends on, without its weights.

    Raises:
        TypeError: it depends on something that this function does not know.
    """
    parts: list[object] = []
    for name, each in module.named_modules():
        kind = type(each)
        parts += [name, kind, kind.forward, getattr(kind, "features", None), each.training]
        own = {key: value for key, value in vars(each).items() if key not in OF_EVERY_MODULE}
        parts += [(key, _plain(own[key])) for key in sorted(own)]
    parts += [(name, tensor.shape, tensor.dtype) for name, tensor in _weights(module).items()]
    return tuple(parts)


def _plain(value: Any) -> object:
    if isinstance(value, (tuple, list)):
        return tuple(map(_plain, value))
    if not isinstance(value, PLAIN):
        raise TypeError(type(value))
    return type(value), value


def _has_all(graph: Any, weights: dict[str, np.ndarray]) -> bool:
    """Whether a graph has each weight under its own name."""
    from onnx import numpy_helper

    found = {each.name: numpy_helper.to_array(each) for each in graph.graph.initializer}
    return all(
        name in found and np.array_equal(found[name], weight, equal_nan=True) for name, weight in weights.items()
    )


def _with(graph: bytes, weights: dict[str, np.ndarray]) -> Any:
    """The graph with other weights."""
    import onnx

    model = onnx.load_model_from_string(graph)
    for each in model.graph.initializer:
        if each.name in weights:
            each.raw_data = np.ascontiguousarray(weights[each.name]).tobytes()
    return model
