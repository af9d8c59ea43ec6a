"""Quantize an exported graph: weights stored in fp16, or nearly everything in int8."""

import io
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.arrays import Floats32
from mien.base.errors import ModelError
from mien.base.model_file import stay_offline
from mien.base.progress import slices

BATCH = 64


def to_fp16(graph: bytes) -> bytes:
    """Store a graph's matrices and kernels as fp16: half the size at the same speed. It still computes in fp32.

    A cast node converts each to fp32; onnxruntime evaluates it once, when it opens the file. Vectors (biases, norms)
    stay fp32: they are small and have a wider range. Raises ModelError if a weight exceeds fp16's range.
    """
    import onnx

    model = onnx.load_model_from_string(graph)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name = tensor.name
        with np.errstate(over="ignore"):
            values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        if not np.isfinite(values).all():
            raise ModelError(f"The weights {name} exceed fp16's range; keep this model in fp32.", code="export-failed")
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def to_int8(graph: bytes, inputs: Floats32) -> bytes:
    """Quantize a graph to 8-bit weights with one scale per channel, and 8-bit activations with measured ranges.

    It uses onnxruntime's static QDQ format. A range, measured on network inputs of ordinary faces, omits the outermost
    0.0005% of the activations on either side; on FER2013 this changes fewer answers than a full range. Batch norms that
    were not fused stay fp32, because they have no 8-bit kernel. The first convolution also stays fp32, because one
    channel cannot fill an 8-bit instruction; in ``fast`` it takes a seventh of the time. Means over a feature map
    become global poolings.
    """
    import onnx

    stay_offline()
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as name, _without_remarks():
        plain, prepared, small = (Path(name) / f"{each}.onnx" for each in ("plain", "prepared", "small"))
        plain.write_bytes(_with_pooled_means(graph))
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        nodes = onnx.load(prepared).graph.node
        kinds = {node.op_type for node in nodes}
        quantization.quantize_static(
            prepared,
            small,
            _Batches(inputs),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            # x86 and ARM have instructions for this pair of integer types.
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=sorted(kinds - {"BatchNormalization"}),
            nodes_to_exclude=[node.name for node in nodes if node.op_type == "Conv" and node.input[0] == "images"],
            calibrate_method=quantization.CalibrationMethod.Percentile,
            # Process one batch of activations at a time; those of all faces would take gigabytes.
            extra_options={"CalibStridedMinMax": 1},
        )
        return small.read_bytes()


def _with_pooled_means(graph: bytes) -> bytes:
    """Replace means over positions, which become fp32 on one thread, by global poolings, which have an 8-bit kernel."""
    import onnx

    model = onnx.load_model_from_string(graph)
    whole_numbers = [each for each in model.graph.initializer if each.data_type == onnx.TensorProto.INT64]
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor).tolist() for tensor in whole_numbers}
    made_by = {output: node for node in model.graph.node for output in node.output}
    nodes = []
    for node in model.graph.node:
        turned: Any = made_by.get(node.input[0]) if node.op_type == "ReduceMean" else None
        last = turned is not None and turned.op_type == "Transpose" and _settings(turned).get("perm") == [0, 2, 3, 1]
        if last and constants.get(node.input[-1]) == [1, 2] and _settings(node).get("keepdims") == 0:
            pooled = f"{node.output[0]}.pooled"
            nodes.append(onnx.helper.make_node("GlobalAveragePool", turned.input, [pooled], f"{node.name}.pool"))
            nodes.append(onnx.helper.make_node("Flatten", [pooled], node.output, f"{node.name}.flat"))
        else:
            nodes.append(node)
    # Remove unused tensors, about which onnxruntime would warn.
    used = {name for node in nodes for name in node.input} | {output.name for output in model.graph.output}
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(node for node in nodes if used.intersection(node.output))
    model.graph.initializer.extend(tensors)
    return bytes(model.SerializeToString())


def _settings(node: Any) -> dict[str, Any]:
    import onnx

    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


class _Batches:
    """Provides input batches to onnxruntime's calibration."""

    def __init__(self, inputs: Floats32) -> None:
        self._parts = [inputs[part] for part in slices(len(inputs), BATCH)]
        self._range = iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._range = iter(self._parts[start_index:end_index])

    def get_next(self) -> dict[str, Any] | None:
        part = next(self._range, None)
        return None if part is None else {"images": part}


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Silence onnxruntime's quantization, which prints and logs advice through the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
