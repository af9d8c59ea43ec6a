"""Oracle: onnxruntime's own list of providers, and the CPU's probabilities.

The CPU build also has Azure's provider, which computes nothing itself: a real second provider wherever tests run.
"""

import numpy as np
import onnxruntime
import pytest

import mien
from mien.base.errors import ModelError
from mien.inference.find_model import find_model
from mien.inference.onnx_classifier import CPU, OnnxClassifier, check_provider, find_provider
from support import raises, refused

AZURE = "AzureExecutionProvider"


def test_providers_are_known_by_short_and_full_name():
    assert find_provider(None) == find_provider("cpu") == find_provider("CPUExecutionProvider") == CPU


def test_a_missing_provider_is_one_line_that_lists_those_present(mien, face_folder, tmp_path, encode_video):
    for command in (("predict", face_folder / "test"), ("evaluate", "fast", "--data", face_folder)):
        answer = mien(*command, "--provider", "tpu")
        refused(answer, "provider-missing", "cpu")
    refused(mien("serve", "--provider", "tpu"), "provider-missing", "cpu")
    clip = encode_video(tmp_path / "clip.mp4", [np.zeros((32, 32, 3), np.uint8)])
    refused(mien("video", clip, "--provider", "tpu"), "provider-missing", "cpu")


@pytest.mark.skipif(AZURE not in onnxruntime.get_available_providers(), reason="onnxruntime has the CPU alone")
def test_another_provider_is_used_and_checked():
    faces = np.random.default_rng(1).integers(0, 256, size=(4, 48, 48), dtype=np.uint8)
    model = mien.load("fast", provider="azure")
    assert AZURE in model._session.get_providers()
    np.testing.assert_allclose(model.probabilities(faces), mien.load("fast").probabilities(faces), atol=1e-6)


class Session:
    """A session that answers with one changed output."""

    def __init__(self, inner, change, providers, output="logits"):
        self.inner, self.change, self.providers, self.output = inner, change, providers, output

    def get_providers(self):
        return self.providers

    def get_inputs(self):
        return self.inner.get_inputs()

    def run(self, outputs, inputs):
        answers = zip(outputs, self.inner.run(outputs, inputs), strict=True)
        return [self.change(each) if name == self.output else each for name, each in answers]


def test_a_provider_that_answers_differently_is_refused():
    cpu = OnnxClassifier(find_model("fast"))._session
    check_provider(Session(cpu, lambda logits: logits + 1, ["X"]), cpu, "X")  # the softmax is the same
    outputs = [each.name for each in cpu.get_outputs()]
    assert len(outputs) >= 2
    for output in outputs:
        for change in (np.negative, lambda logits: logits * 1.2, lambda logits: logits * np.nan):
            with raises(ModelError, "provider-parity", output):
                check_provider(Session(cpu, change, ["X"], output), cpu, "X")
    with raises(ModelError, "provider-unusable"):
        check_provider(Session(cpu, lambda logits: logits, [CPU]), cpu, "X")
