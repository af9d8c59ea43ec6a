"""What a model file may ask of this machine, read from its bytes before onnxruntime sees them.

A graph passes where the cost of a run follows from the number of images: no data in other files, no loop or branch, no
operator that mien does not know, and no size that is computed from pixels. How much that cost is, a first run in a
process of its own finds out (``mien.first_run``).

Field numbers are those of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from mien.errors import ModelError

GROWING: dict[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Pad": (1,),
    "Range": (0, 1, 2),
    "Resize": (2, 3),
    "Tile": (1,),
}
"""Operators whose output can be of any size, and which of their inputs say how large it gets."""

_SUMMING = ("L1", "L2", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
SHAPING: dict[str, tuple[int, ...]] = {
    **{"Reshape": (1,), "Slice": (1, 2, 3, 4), "Split": (1,), "Squeeze": (1,), "Unsqueeze": (1,)},
    **{f"Reduce{name}": (1,) for name in _SUMMING},
}
"""Operators of bounded output, and which of their inputs shape it. ``Shape`` would tell a later one what they held."""

_OF_CLASSIFIERS = """
Abs Add And ArgMax AveragePool BatchNormalization Cast Ceil Clip Concat Constant Conv ConvInteger Cos DepthToSpace
DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal Erf Exp Flatten Floor Gather GatherElements Gelu Gemm
GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity
InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LRN MatMul MatMulInteger Max MaxPool
Mean Min Mish Mul Neg Not Or Pow PRelu QLinearConv QLinearMatMul QuantizeLinear Reciprocal ReduceL1 ReduceL2 ReduceMax
ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round Selu Shape Sigmoid Sign Sin Size Slice
Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tanh Transpose Trilu Unsqueeze Where Xor
"""
ALLOWED: frozenset[str] = frozenset(_OF_CLASSIFIERS.split()).union(GROWING)
"""Operators that a model may have: those of image classifiers. None holds a graph of its own."""

_MOST_FIELDS = 2_000_000
_METADATA = 14
_Fields = Iterator[tuple[int, "memoryview | int"]]


def check_graph(model: bytes, path: Path) -> None:
    """Refuse a model whose cost or origin cannot be known before it runs.

    Args:
        model: the file's content.
        path: named in errors.

    Raises:
        ModelError: not a serialised ONNX model (``model-damaged``); data in other files (``model-external-data``); an
            operator that is not allowed (``model-operator``); a size that is computed from pixels (``model-size``).
    """
    try:
        _Check(path).model(memoryview(model))
    except (ValueError, IndexError):
        raise ModelError(
            f"{path} is not an ONNX model that can be read, or the file is damaged.", code="model-damaged"
        ) from None


def graph_sha256(model: bytes) -> str:
    """SHA-256 of a model without its metadata, 64 hex digits: another manifest leaves it as it is."""
    digest = hashlib.sha256()
    for number, value in _fields(memoryview(model)):
        if number != _METADATA:
            digest.update(b"%d:%d:" % (number, value if isinstance(value, int) else len(value)))
            digest.update(b"" if isinstance(value, int) else value)
    return digest.hexdigest()


class _Check:
    """One pass over a model. ``known`` are the values computed so far, ``pixels`` those computed from pixels."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[bytes] = {b""}
        self._pixels: set[bytes] = set()

    def model(self, message: memoryview) -> None:
        graphs = [_message(value) for number, value in _fields(message) if number == 7]
        if len(graphs) != 1:
            raise ValueError("not one graph")
        if any(number == 25 for number, _ in _fields(message)):
            self._refuse("has functions of its own", "model-operator")
        self._graph(graphs[0])

    def _graph(self, message: memoryview) -> None:
        nodes = []
        for number, value in _fields(message):
            if number == 1:
                nodes.append(_message(value))
            elif number == 5:
                self._known.add(self._tensor(_message(value)))
            elif number == 11:
                self._pixels.add(_only(_message(value), 1))
            elif number == 15:
                self._refuse("has sparse weights", "model-operator")
        self._known |= self._pixels
        for node in nodes:
            self._node(node)

    def _node(self, message: memoryview) -> None:
        inputs = [bytes(_message(value)) for number, value in _fields(message) if number == 1]
        outputs = [bytes(_message(value)) for number, value in _fields(message) if number == 2]
        kind, domain = _only(message, 4).decode(), _only(message, 7).decode()
        if kind not in ALLOWED or domain not in {"", "ai.onnx"}:
            name = f"{domain}.{kind}" if domain else kind
            self._refuse(f"has the operator {name[:80]!r}, which mien's models do not have", "model-operator")
        for attribute in (_message(value) for number, value in _fields(message) if number == 5):
            self._attribute(attribute)
        if not self._known.issuperset(inputs):
            raise ValueError("a value is used before it is computed")
        sizes = GROWING.get(kind, ()) or SHAPING.get(kind, ())
        if any(at < len(inputs) and inputs[at] in self._pixels for at in sizes):
            self._refuse(f"has a {kind} whose size is computed from pixels", "model-size")
        self._known.update(outputs)
        if kind not in {"Shape", "Size"} and not self._pixels.isdisjoint(inputs):
            self._pixels.update(output for output in outputs if output)

    def _attribute(self, message: memoryview) -> None:
        for number, value in _fields(message):
            if number in {5, 10}:
                self._tensor(_message(value))
            elif number in {6, 11, 22, 23}:
                self._refuse("has a graph inside an operator, or sparse data", "model-operator")

    def _tensor(self, message: memoryview) -> bytes:
        """The tensor's name, once its data is known to be in this file."""
        for number, value in _fields(message):
            if number == 13 or (number == 14 and value != 0):
                self._refuse("has weights in other files", "model-external-data")
        return _only(message, 8)

    def _refuse(self, what: str, code: str) -> None:
        raise ModelError(f"{self._path} {what}; such a model is not opened. Export it again with mien.", code=code)


def _fields(message: memoryview) -> _Fields:
    """The fields of a protobuf message: number, and content or whole number. Raises ValueError or IndexError."""
    at = 0
    for _ in range(_MOST_FIELDS):
        if at == len(message):
            return
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in {1, 5}:
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("not a field of protobuf's third version")
        if number == 0 or at + size > len(message):
            raise ValueError("cut off")
        yield number, message[at : at + size]
        at += size
    raise ValueError("more fields than a model has")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number without an end")


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number in place of a message")
    return value


def _only(message: memoryview, wanted: int) -> bytes:
    """The content of a field that occurs at most once: of several, other readers might take another one."""
    found = [bytes(_message(value)) for number, value in _fields(message) if number == wanted]
    if len(found) > 1:
        raise ValueError("a field occurs twice")
    return found[0] if found else b""
