"""Wrap YuNet's network with what stands around it, so that Python and the page only run a file.

    python release/wrap_detector.py face_detection_yunet_2026may.onnx

writes src/mien/faces/networks/detector.onnx: the network of OpenCV Zoo, its weights unchanged (MIT,
networks/licences.txt), between two steps. Before it, pixels uint8 (height, width, 4) RGBA of any size become
BGR on sides that are multiples of 32. After it, boxes and landmarks are decoded as in OpenCV's FaceDetectorYN, and
overlapping faces are suppressed. ``faces`` is float32 (N, 15): left, top, width, height, score, then x and y of right
eye, left eye, nose, right and left corner of the mouth, in pixels of the input, the best score first.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TARGET = Path(__file__).parents[1] / "src" / "mien" / "faces" / "networks" / "detector.onnx"
STRIDES = (8, 16, 32)
MIN_SCORE, MAX_IOU, MAX_FACES = 0.3, 0.3, 1000
"""Lowest score in the output (mien asks for more), the overlap above which two boxes are one face, and a bound."""


class Graph:
    """Nodes and constants in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: type[np.generic] = np.int64) -> str:
        """Add a constant and return its name."""
        self.constants.append(
            numpy_helper.from_array(np.asarray(value, dtype=dtype), f"constant_{len(self.constants)}")
        )
        return self.constants[-1].name

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def part(self, value: str, start: int, end: int, axis: int) -> str:
        """Add a slice along one axis."""
        return self.add("Slice", value, *(self.constant([number]) for number in (start, end, axis)))


def wrapped(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with its input prepared and its outputs decoded."""
    graph = Graph()
    # uint8 (H, W, 4) -> float32 (1, 3, H', W'), BGR, black to the right and below.
    planes = graph.add("Gather", graph.add("Transpose", "pixels", perm=[2, 0, 1]), graph.constant([2, 1, 0]), axis=0)
    sides = graph.part(graph.add("Shape", "pixels"), 0, 2, 0)
    missing = graph.add("Mod", graph.add("Neg", sides), graph.constant([32]))
    pads = graph.add("Concat", graph.constant([0, 0, 0, 0, 0, 0]), missing, axis=0)
    image = graph.add("Unsqueeze", graph.add("Cast", planes, to=TensorProto.FLOAT), axes=[0])
    graph.add("Pad", image, pads, output=network.graph.input[0].name)
    padded = graph.add("Add", sides, missing)
    graph.nodes.extend(network.graph.node)

    boxes, points, scores = [], [], []
    for stride in STRIDES:
        cells = graph.add("Div", padded, graph.constant([stride]))
        ones = graph.add("ConstantOfShape", cells, value=helper.make_tensor("one", TensorProto.INT64, [1], [1]))
        rows_columns = graph.add("Transpose", graph.add("NonZero", ones), perm=[1, 0])
        corner = graph.add("Gather", rows_columns, graph.constant([1, 0]), axis=1)
        corner = graph.add("Cast", corner, to=TensorProto.FLOAT)  # column and row of each cell, (cells, 2)
        size = graph.constant(stride, np.float32)
        box = graph.add("Squeeze", f"bbox_{stride}", axes=[0])
        middle = graph.add("Add", graph.part(box, 0, 2, 1), corner)
        decoded = graph.add("Concat", middle, graph.add("Exp", graph.part(box, 2, 4, 1)), axis=1)
        boxes.append(graph.add("Mul", decoded, size))
        relative = graph.add("Reshape", f"kps_{stride}", graph.constant([-1, 5, 2]))
        point = graph.add("Add", relative, graph.add("Unsqueeze", corner, axes=[1]))
        points.append(graph.add("Reshape", graph.add("Mul", point, size), graph.constant([-1, 10])))
        scores.append(graph.add("Sqrt", graph.add("Mul", f"cls_{stride}", f"obj_{stride}")))
    box, point, score = (
        graph.add("Concat", *parts, axis=axis) for parts, axis in ((boxes, 0), (points, 0), (scores, 1))
    )
    kept = graph.add(
        "NonMaxSuppression",
        graph.add("Unsqueeze", box, axes=[0]),
        graph.add("Transpose", score, perm=[0, 2, 1]),
        graph.constant([MAX_FACES]),
        graph.constant([MAX_IOU], np.float32),
        graph.constant([MIN_SCORE], np.float32),
        center_point_box=1,
    )
    kept = graph.add("Squeeze", graph.part(kept, 2, 3, 1), axes=[1])
    box, point, score = (
        graph.add("Gather", value, kept, axis=0) for value in (box, point, graph.add("Squeeze", score, axes=[0]))
    )
    size = graph.part(box, 2, 4, 1)
    corner = graph.add("Sub", graph.part(box, 0, 2, 1), graph.add("Mul", size, graph.constant(0.5, np.float32)))
    graph.add("Concat", corner, size, score, point, axis=1, output="faces")
    whole = helper.make_graph(
        graph.nodes,
        "yunet",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["height", "width", 4])],
        [helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["faces", 15])],
        [*network.graph.initializer, *graph.constants],
    )
    model = helper.make_model(whole, opset_imports=network.opset_import, ir_version=network.ir_version)
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    onnx.save(wrapped(onnx.load(sys.argv[1])), TARGET)
