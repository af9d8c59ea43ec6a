"""``torch.onnx.export`` for tests: networks of one shape are exported once a session, with the weights of each.

An export takes ten times as long as the tiny training before it, and hundreds of tests train one of a few networks.
What mien does before and after the export is done each time: fusing, the manifest, the comparison with torch.

Processes share the graphs in a folder: the workers of pytest, and the commands that tests start
(``for_children/sitecustomize.py``).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.Size)
OF_EVERY_MODULE = vars(nn.Module()).keys()


def remembering(export: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    """``torch.onnx.export`` that puts the weights of a network into the graph of the first of its shape.

    Graphs are kept in the folder, by what they depend on.
    """

    @wraps(export)
    def export_once(module: nn.Module, inputs: tuple[torch.Tensor, ...], **options: Any) -> Any:
        try:
            key = repr((_shape(module), [(each.shape, each.dtype) for each in inputs], options))
        except TypeError:
            return export(module, inputs, **options)
        weights = {name: tensor.detach().numpy() for name, tensor in _weights(module).items()}
        kept = folder / f"{hashlib.sha256(key.encode()).hexdigest()}.onnx"
        if not kept.is_file():
            graph = export(module, inputs, optimize=False, **options).model_proto
            if not _has_all(graph, weights):
                return export(module, inputs, **options)
            _write(kept, graph.SerializeToString())
        from onnx_ir import serde

        # The first of a shape too: names of nodes come out otherwise, and two runs alike have the same bytes.
        model = serde.deserialize_model(_with(kept.read_bytes(), weights))
        program = torch.onnx.ONNXProgram(model, exported_program=None)  # type: ignore[arg-type]
        # This makes one weight of several, as of a convolution and its norm: before it each has its own place.
        program.optimize()
        return program

    return export_once


def _weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """All weights that a graph may hold. A count of batches is none."""
    every = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    # The graph of a model of several outputs has the rows of each output's head instead of the whole head.
    unused = "network.head." if getattr(module, "heads", None) else "-"
    return {n: tensor for n, tensor in every.items() if tensor.is_floating_point() and not n.startswith(unused)}


def _shape(module: nn.Module) -> object:
    """What the graph of a network depends on, without its weights.

    Raises:
        TypeError: it depends on something that this function does not know.
    """
    parts: list[object] = []
    for name, each in module.named_modules():
        kind = type(each)
        parts += [name, kind.__module__, kind.__qualname__, each.training]
        parts += [_code(method) for method in (kind.forward, getattr(kind, "features", None)) if method]
        own = {key: value for key, value in vars(each).items() if key not in OF_EVERY_MODULE}
        parts += [(key, _plain(own[key])) for key in sorted(own)]
    parts += [(name, tensor.shape, tensor.dtype) for name, tensor in _weights(module).items()]
    return tuple(parts)


def _code(function: Any) -> object:
    """What a function does; a test may have put another in its place."""
    code = getattr(function, "__code__", None)
    if code is None:
        raise TypeError(type(function))
    constants = [each for each in code.co_consts if isinstance(each, PLAIN)]
    return function.__module__, function.__qualname__, code.co_code, code.co_names, constants


def _write(path: Path, content: bytes) -> None:
    """Another process may do the same now, and one that reads finds a whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = path.with_suffix(f".{os.getpid()}")
    mine.write_bytes(content)
    mine.replace(path)


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
    known = ((found.get(name), weight) for name, weight in weights.items())
    return all(own is not None and np.array_equal(own, weight, equal_nan=True) for own, weight in known)


def _with(graph: bytes, weights: dict[str, np.ndarray]) -> Any:
    """The graph with other weights."""
    import onnx

    model = onnx.load_model_from_string(graph)
    for each in model.graph.initializer:
        if each.name in weights:
            each.raw_data = np.ascontiguousarray(weights[each.name]).tobytes()
    return model
