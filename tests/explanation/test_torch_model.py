import numpy as np
import pytest

from mien.base.errors import RunError
from mien.base.run_folder import RunFolder
from mien.explanation.gradient.torch_model import load_torch_model, run_order
from mien.inference.predictor import load
from mien.models.network import Network
from mien.training.checkpoint import load_best, load_network
from support import raises


def test_it_answers_as_the_artifact_does(tiny_model, tiny_run, faces):
    """Oracle: onnxruntime on the exported file."""
    images = np.asarray(faces.images[:70])
    assert tiny_model.predict(images) == pytest.approx(load(tiny_run.path).probabilities(images), abs=1e-5)
    assert tiny_model.predict(images[:0]).shape == (0, 7)


def test_logits_are_divided_by_the_temperature(tiny_run, faces):
    """Oracle: p(T) is proportional to p ** (1 / T)."""
    images = np.asarray(faces.images[:5])
    expected = load_torch_model(tiny_run, temperature=1.0).predict(images) ** 0.5
    expected /= expected.sum(axis=1, keepdims=True)
    assert load_torch_model(tiny_run, temperature=2.0).predict(images) == pytest.approx(expected, abs=1e-9)


def test_a_network_of_a_run(tiny_run, tmp_path):
    network = load_network(tiny_run)
    assert isinstance(network, Network)
    assert not network.training
    assert load_best(tiny_run)[1]["classes"][0] == "angry"
    with raises(RunError, "run-missing"):
        load_network(RunFolder(tmp_path / "none"))
    run = RunFolder(tmp_path)
    run.recipe_file.write_bytes(tiny_run.recipe_file.read_bytes())
    with raises(RunError, "checkpoint-missing"):
        load_network(run)


def test_modules_in_the_order_in_which_they_run(tiny_model):
    names = [name for name, _, _ in run_order(tiny_model)]
    assert names[0] == "stem.0"
    assert names[-1] == "head"
    assert not any(module._forward_hooks for module in tiny_model.network.modules())
