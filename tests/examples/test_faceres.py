"""The example that starts from faceres-deep. Oracle: the folded network, computed from the file's arrays."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch.nn import functional

import mien
from mien.data.synthetic import render_faces, synthetic_faces
from support import load_script

EXAMPLE = Path(__file__).parents[2] / "examples" / "faceres.py"


@pytest.fixture(scope="module")
def faceres():
    return load_script(EXAMPLE)


@pytest.fixture(scope="module")
def weights(faceres, tmp_path_factory):
    """Random weights in the shape of the package's files."""
    rng = np.random.default_rng(0)
    named = {"conv1/convolution/merged_input": (3, 3, 3, 32), "conv1_bn/batchnorm_1/sub": (32,)}
    channels = 32
    for number, width in enumerate(faceres.WIDTHS, start=1):
        named[f"conv_dw_{number}/depthwise_kernel"] = (3, 3, channels, 1)
        named[f"conv_dw_{number}_bn/batchnorm_1/mul"] = named[f"conv_dw_{number}_bn/batchnorm_1/sub"] = (channels,)
        named[f"conv_pw_{number}/convolution/merged_input"] = (1, 1, channels, width)
        named[f"conv_pw_{number}_bn/batchnorm_1/sub"] = (width,)
        channels = width
    arrays = {
        name: (rng.normal(0, np.sqrt(2 / max(np.prod(shape[:3]) if len(shape) > 1 else 20, 1)), shape)).astype("<f4")
        for name, shape in named.items()
    }
    file = tmp_path_factory.mktemp("weights") / "faceres-deep.json"
    entries = [{"name": name, "shape": list(array.shape)} for name, array in arrays.items()]
    file.write_text(json.dumps({"weightsManifest": [{"weights": entries}]}))
    file.with_suffix(".bin").write_bytes(b"".join(array.tobytes() for array in arrays.values()))
    return file


def test_the_network_computes_what_the_folded_one_does(faceres, weights):
    network = faceres.FaceRes(7).eval()
    network.load(weights)
    images = (torch.from_numpy(render_faces(np.arange(10) % 7, seed=5)).float().unsqueeze(1) / 255 - 0.508) / 0.255
    x = network.prepared(images)
    for (convolution, _), (kernel, bias) in zip(network.layers, faceres.read_folded(weights), strict=False):
        stride, groups = convolution.stride[0], convolution.groups
        padded = functional.pad(x, (0, 1, 0, 1)) if stride == 2 else x
        padding = 1 if kernel.shape[2] == 3 and stride == 1 else 0
        x = functional.relu6(functional.conv2d(padded, kernel, bias, stride, padding, groups=groups))
    with torch.no_grad():
        expected = network.head(x.mean(dim=(2, 3)))
        assert network(images).numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    assert float(expected.std()) > 1e-2


def test_files_of_another_network_are_refused(faceres, weights, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(weights.read_text())
    with pytest.raises(ValueError, match="faceres-deep"):
        faceres.FaceRes(7).load(other)
    with pytest.raises(ValueError, match="faceres-deep"):
        faceres.FaceRes(7).load(tmp_path / "missing.json")


def test_mien_trains_it_from_a_recipe(weights, tmp_path, capsys):
    data = synthetic_faces(64, seed=0)
    model = {"model.file": str(EXAMPLE), "model.name": "FaceRes", "model.weights": str(weights)}
    # With all but the head frozen, what was trained is what was read.
    settings = {**model, "batch_size": 16, "tuning.frozen_epochs": 1}
    result = mien.train("tune", data, epochs=1, settings=settings, out=tmp_path / "run")
    assert "[only-head-learns]" in (said := capsys.readouterr().err)
    assert "[weights-random-frozen]" not in said
    trained = safetensors.numpy.load_file(tmp_path / "run" / "best.safetensors")
    kernel = next(value for value in trained.values() if value.shape == (32, 3, 3, 3))
    assert kernel == pytest.approx(load_script(EXAMPLE).read_folded(weights)[0][0].numpy(), abs=1e-6)
    assert mien.load(result.run).predict_crops(np.asarray(data.images)[:1])[0].top in data.classes


def test_a_missing_file_of_weights_is_one_clear_error(tmp_path):
    model = {"model.file": str(EXAMPLE), "model.name": "FaceRes", "model.weights": str(tmp_path / "missing.json")}
    with pytest.raises(mien.RecipeError, match=r"missing\.json") as caught:
        mien.train("tune", synthetic_faces(64, seed=0), settings=model, out=tmp_path / "run", verbose=0)
    assert caught.value.code == "model-file-output"
