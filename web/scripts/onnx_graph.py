"""What make_detector.py and make_face_check.py share: a graph that is built node by node, and its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
"""Versions that onnxruntime-web and every onnxruntime that mien supports can load."""


class OnnxGraph:
    """Nodes and initializers of a graph, added in the order in which they run."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._initializers: list[TensorProto] = []

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def _initializer(self, name: str, values: npt.NDArray[np.generic]) -> None:
        self._initializers.append(numpy_helper.from_array(values, name))

    def _write(
        self, out: Path, title: str, pixels: Sequence[int | str], output: str, shape: Sequence[int | str]
    ) -> None:
        """Write the file: input ``pixels``, uint8 of one shape, and one output, float32 of another."""
        inputs = [helper.make_tensor_value_info("pixels", TensorProto.UINT8, pixels)]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self._nodes, title, inputs, outputs, self._initializers)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, producer_name="mien", ir_version=IR_VERSION, opset_imports=opset)
        onnx.checker.check_model(model, full_check=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(model.SerializeToString(deterministic=True))
