"""The example that starts from a face network. Oracle: the folded networks in torch, small, with random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d, pad, prelu, relu6

import mien
from mien.data.synthetic import synthetic_faces
from support import load_script, raises

EXAMPLE = Path(__file__).parents[2] / "examples" / "face_network.py"
MODEL = {"model.file": str(EXAMPLE), "model.name": "FaceNetwork", "model.input_px": 48}
# Op, inputs, stride, padding ("SAME" or "VALID" in base 64) of each node, which is named by its place: parts as
# mobileface, mobilefacenet and faceres-deep have them.
GRAPH = (
    "Pad x pads; Conv2D 0 KEY 2 VkFMSUQ=; Maximum 1 zero; Minimum 1 zero; Mul slope 3; AddV2 2 4;"
    "FusedDepthwiseConv2dNative 5 deep bias 1 U0FNRQ==; Abs 6; Sub 6 7; Mul 8 slope; Add 6 9;"
    "_FusedConv2D 10 flat bias 1 U0FNRQ==; Add 11 5; DepthwiseConv2dNative 12 deep 2 U0FNRQ==; Mul 13 scale;"
    "Add 14 bias; Relu 15; Minimum 16 six; Mean 17 pads"
)
SHAPES = {"KEY": (3, 3, 3, 8), "deep": (3, 3, 8, 1), "flat": (1, 1, 8, 8), "bias": (8,), "scale": (8,), "slope": (8,)}
FIXED = {"zero": np.float32(0), "six": np.float32(6), "pads": np.ones((4, 2), np.int32)}
DLIB = {"conv32_down": (7, 7, 3, 8), "conv32_1/conv1": (3, 3, 8, 8), "conv32_1/conv2": (3, 3, 8, 8)}
DLIB |= {"conv256_down_out/conv1": (3, 3, 8, 16), "conv256_down_out/conv2": (3, 3, 16, 16)}
NAMES = ("conv/filters", "conv/bias", "scale/weights", "scale/biases")
DLIB_SHAPES = {f"{part}/{each}": DLIB[part][-4 if "filters" in each else -1 :] for part in DLIB for each in NAMES}


@pytest.fixture(params=["graph", "dlib"])
def packed(request, tmp_path):
    """A file as the package has it, and its arrays."""
    rng, nodes, shapes = np.random.default_rng(0), [], SHAPES if request.param == "graph" else DLIB_SHAPES
    for node in GRAPH.split(";"):
        op, *inputs = node.split()
        *inputs, stride, padding = inputs if "Conv" in op else [*inputs, "1", ""]
        attr = {"strides": {"list": {"i": ["1", stride, stride, "1"]}}, "padding": {"s": padding}}
        nodes.append({"name": str(len(nodes)), "op": op, "input": inputs, "attr": attr})
    stored = FIXED | {each: rng.integers(0, 256, shape, np.uint8) for each, shape in shapes.items()}
    weights = [{"name": each, "shape": data.shape, "dtype": data.dtype.name} for each, data in stored.items()]
    for entry in weights[len(FIXED) :]:
        entry |= {"dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.004, "min": -0.5}}
    manifest = [{"paths": ["net.bin"], "weights": weights}]
    graph = {"modelTopology": {"node": nodes}, "weightsManifest": manifest}
    text = json.dumps(graph if request.param == "graph" else manifest)
    (tmp_path / "net.json").write_text(text.replace("KEY", "stage4_unit1_conv2_df"))
    (tmp_path / "net.bin").write_bytes(b"".join(data.tobytes() for data in stored.values()))
    return tmp_path / "net.json", {each: (stored[each] * 0.004 - 0.5).astype(np.float32) for each in shapes}


def convolved(x, kernel, bias, stride=1, padding=(1, 1, 1, 1)):
    weight = torch.tensor(kernel).permute((2, 3, 0, 1) if kernel.shape[3] == 1 else (3, 2, 0, 1))
    return conv2d(pad(x, padding), weight, torch.tensor(bias), stride, groups=x.shape[1] // weight.shape[1])


def folded(arrays, x):
    """What the packaged network computes, with mobilefacenet's PReLU as it was before its conversion."""
    if "KEY" in arrays:
        key, deep, flat, bias, scale, slope = arrays.values()
        x = prelu(convolved(x, key, 0 * bias, 2), torch.tensor(slope))
        x = x + convolved(prelu(convolved(x, deep, bias), torch.tensor(-2 * slope)), flat, bias, padding=(0, 0))
        return relu6(convolved(x, deep * scale[:, None], bias, 2, (0, 1, 0, 1)))
    named = ([arrays[f"{part}/{each}"] for each in NAMES] for part in DLIB)
    one, two, three, four, five = ((kernel * scale, bias * scale + shift) for kernel, bias, scale, shift in named)
    x = max_pool2d(convolved(x, *one, 2, (0, 0)).relu(), 3, 2)
    x = (convolved(convolved(x, *two).relu(), *three) + x).relu()
    y = convolved(convolved(x, *four, 2, (0, 0)).relu(), *five)
    return (pad(y, (0, 1, 0, 1)) + pad(avg_pool2d(x, 2), (0, 0, 0, 0, 0, 8))).relu()


def test_the_network_computes_what_the_folded_one_does(packed):
    file, arrays = packed
    example = load_script(EXAMPLE)
    network = example.FaceNetwork(7, file, input_px=48, mean=0.5, std=0.25).eval()
    grey = torch.rand(10, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    known = example.NETWORKS["mobileface" if "KEY" in arrays else "dlib"]
    x = (255 * grey - torch.tensor(known.mean).view(1, 3, 1, 1)) / known.divisor
    expected = network.head(folded(arrays, x).mean(dim=(2, 3))).detach().numpy()
    assert abs(network((grey - 0.5) / 0.25).detach().numpy() - expected).max() < 1e-4 * expected.std()


@pytest.mark.parametrize("packed", ["graph"], indirect=True)
def test_mien_trains_it_from_a_recipe(packed, tmp_path, capsys):
    # With all but the head frozen, what was trained is what was read.
    settings = {**MODEL, "model.weights": str(packed[0]), "batch_size": 16, "tuning.frozen_epochs": 1}
    result = mien.train("tune", data := synthetic_faces(64, seed=0), epochs=1, settings=settings, out=tmp_path / "run")
    assert "[only-head-learns]" in (said := capsys.readouterr().err)
    assert "[weights-random-frozen]" not in said
    trained = safetensors.numpy.load_file(tmp_path / "run" / "best.safetensors")
    read = load_script(EXAMPLE).FaceNetwork(7, packed[0], input_px=48).steps.state_dict()
    assert all(np.array_equal(trained[f"body.steps.{each}"], value) for each, value in read.items())
    assert mien.load(result.run).predict_crops(np.asarray(data.images)[:1])[0].top in data.classes


@pytest.mark.parametrize("packed", ["graph"], indirect=True)
@pytest.mark.parametrize("bad", ["net.json is missing", "net.bin is missing", "another network", "no whole"])
def test_files_that_are_missing_cut_or_of_another_network_are_one_clear_error(packed, bad, tmp_path):
    if bad == "another network":
        packed[0].write_text(packed[0].read_text().replace("stage4", "stage5"))
    elif bad == "no whole":
        (tmp_path / "net.bin").write_bytes((tmp_path / "net.bin").read_bytes()[:-1])
    else:
        (tmp_path / bad.split()[0]).unlink()
    settings = {**MODEL, "model.weights": str(packed[0])}
    with raises(mien.RecipeError, "model-file", bad):
        mien.train("tune", synthetic_faces(64, seed=0), settings=settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
