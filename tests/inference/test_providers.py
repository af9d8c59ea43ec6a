"""Oracle: onnxruntime's own list of providers, and the CPU's probabilities.

The CPU build also has Azure's provider, which computes nothing itself: a real second provider wherever tests run.
"""

import numpy as np
import onnxruntime
import pytest

import mien
from mien.base.errors import ModelError
from mien.base.model_file import open_model
from mien.base.run_folder import find_model
from mien.inference.onnx_classifier import CPU, OnnxClassifier, find_provider
from support import raises, refused

AZURE = "AzureExecutionProvider"


def test_providers_are_known_by_short_and_full_name():
    assert find_provider(None) == find_provider("cpu") == find_provider("CPUExecutionProvider") == CPU


def test_a_missing_provider_is_one_line_that_lists_those_present(mien, face_folder, tmp_path, encode_video):
    for command in (("predict", face_folder / "test"), ("evaluate", "fast", "--data", face_folder)):
        refused(mien(*command, "--provider", "tpu"), "provider", "cpu")
    refused(mien("serve", "--provider", "tpu"), "provider", "cpu")
    clip = encode_video(tmp_path / "clip.mp4", [np.zeros((32, 32, 3), np.uint8)])
    refused(mien("video", clip, "--provider", "tpu"), "provider", "cpu")


@pytest.mark.skipif(AZURE not in onnxruntime.get_available_providers(), reason="onnxruntime has the CPU alone")
def test_another_provider_is_used():
    faces = np.random.default_rng(1).integers(0, 256, size=(4, 48, 48), dtype=np.uint8)
    model = mien.load("fast", provider="azure")
    assert AZURE in model._session.get_providers()
    np.testing.assert_allclose(model.probabilities(faces), mien.load("fast").probabilities(faces), atol=1e-6)


def test_a_provider_that_does_not_start_is_one_line(monkeypatch):
    """ONNX Runtime itself goes on with the CPU."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["XExecutionProvider", CPU])
    session, manifest = open_model(find_model("fast"))
    monkeypatch.setattr("mien.inference.onnx_classifier.open_model", lambda *given: (session, manifest))
    with raises(ModelError, "provider", "X"):
        OnnxClassifier(find_model("fast"), provider="x")
