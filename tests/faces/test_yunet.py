"""YuNet through OpenCV, on a network made here in YuNet's form: a face is wherever an 8 px cell is red.

The official file is not among the test material. What this network answers is known in closed form.
"""

import math

import numpy as np
import pytest

from mien.base.errors import ModelError
from mien.faces.face import Box
from mien.faces.find import VARIABLE, find_detector
from mien.faces.yunet import LANDMARKS, YuNetDetector
from support import raises

onnx = pytest.importorskip("onnx")

WIDE, HIGH = 4, 6
"""Every box of the network, in cells."""


def red_cells(path):
    """A network with YuNet's inputs and outputs (a grid each of 8, 16 and 32 px, of which only the first answers)."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, outputs = [], [], []

    def head(name, stride, channels, kernel, bias):
        values = {"weight": kernel, "bias": bias, "shape": np.array([1, -1, channels], dtype=np.int64)}
        weights.extend(numpy_helper.from_array(value, f"{name}.{part}") for part, value in values.items())
        nodes.append(
            helper.make_node(
                "Conv",
                ["input", f"{name}.weight", f"{name}.bias"],
                [f"{name}.map"],
                kernel_shape=[stride, stride],
                strides=[stride, stride],
            )
        )
        nodes.append(helper.make_node("Transpose", [f"{name}.map"], [f"{name}.last"], perm=[0, 2, 3, 1]))
        nodes.append(helper.make_node("Reshape", [f"{name}.last", f"{name}.shape"], [name]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, (64 // stride) ** 2, channels]))

    def nothing(channels, stride):
        return np.zeros((channels, 3, stride, stride), dtype=np.float32)

    for kind, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            kernel, bias = nothing(channels, stride), np.zeros(channels, dtype=np.float32)
            if stride == 8 and channels == 1:
                # OpenCV's order is blue, green, red. Mean red minus mean blue: white is no face.
                kernel[0, 2], kernel[0, 0] = 1 / 64 / 255, -1 / 64 / 255
            if kind == "bbox":
                bias[:] = 0.5, 0.5, math.log(WIDE), math.log(HIGH)
            if kind == "kps":
                bias[:] = np.arange(10) / 10
            head(f"{kind}_{stride}", stride, channels, kernel, bias)
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 64, 64])
    graph = helper.make_graph(nodes, "red cells", [image], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return YuNetDetector(red_cells(tmp_path_factory.mktemp("yunet") / "Gesicht-détecteur.onnx"))


def paint(rgb, column, row, cell=8, colour=(255, 0, 0)):
    rgb[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = colour


@pytest.mark.parametrize("shape", [(256, 320), (250, 317)])
def test_boxes_scores_and_landmarks_are_in_pixels_of_the_image(detector, shape):
    """Oracle: a cell (c, r) is centred on 8 (c + 0.5), and landmark i at 8 (c + 2i/10), 8 (r + (2i + 1)/10)."""
    rgb = np.zeros((*shape, 3), dtype=np.uint8)
    paint(rgb, 5, 10)
    paint(rgb, 25, 20, colour=(240, 0, 0))
    paint(rgb, 15, 5, colour=(255, 255, 255))
    paint(rgb, 10, 20, colour=(0, 0, 255))
    paint(rgb, 30, 5, colour=(150, 0, 0))  # below the least score
    first, second = detector.detect(rgb)
    assert first.box == Box(8 * 5 + 4 - 16, 8 * 10 + 4 - 24, 8 * WIDE, 8 * HIGH)
    assert second.box == Box(8 * 25 + 4 - 16, 8 * 20 + 4 - 24, 8 * WIDE, 8 * HIGH)
    assert (first.score, second.score) == pytest.approx((1, 240 / 255), abs=1e-4)
    assert tuple(first.landmarks) == LANDMARKS
    for index, point in enumerate(first.landmarks.values()):
        assert point == pytest.approx((8 * (5 + 2 * index / 10), 8 * (10 + (2 * index + 1) / 10)), abs=1e-3)


def test_a_large_image_is_shrunk_and_its_boxes_are_not(detector):
    """Oracle: the image at half the size, which is searched as it is."""
    small = np.zeros((640, 640, 3), dtype=np.uint8)
    paint(small, 20, 30)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    (face,), (half,) = detector.detect(large), detector.detect(small)
    assert face.box == Box(*(2 * side for side in half.box.to_dict().values()))
    assert face.landmarks["nose"] == pytest.approx(tuple(2 * at for at in half.landmarks["nose"]))


def test_overlapping_answers_are_one_face(detector):
    rgb = np.zeros((256, 256, 3), dtype=np.uint8)
    paint(rgb, 10, 10)
    paint(rgb, 11, 10, colour=(250, 0, 0))
    assert [face.score for face in detector.detect(rgb)] == pytest.approx([1], abs=1e-4)


def test_what_is_too_thin_for_a_face_is_not_searched(detector, monkeypatch):
    """OpenCV would pad it to 32 pixels: to 100 million, for 3 million pixels."""
    monkeypatch.setattr(detector, "_network", None)
    assert detector.detect(np.zeros((1, 3_000_000, 3), dtype=np.uint8)) == []
    assert detector.detect(np.zeros((3000, 20, 3), dtype=np.uint8)[:, :9]) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (40, 30)])
def test_an_image_without_a_face_holds_none(detector, shape):
    assert detector.detect(np.zeros((*shape, 3), dtype=np.uint8)) == []


def test_the_variable_chooses_it(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(red_cells(tmp_path / "mine.onnx")))
    assert find_detector().name == "YuNet"


def test_another_network_is_refused_in_one_line(tiny_run, capfd):
    with raises(ModelError, "detector-format"):
        YuNetDetector(tiny_run.model)
    assert capfd.readouterr().out == ""
