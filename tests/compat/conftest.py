"""A photo as OpenCV reads it, and what mien says of it among the seven classes that fer and deepface have."""

import numpy as np
import pytest

import mien
from mien.base.labels import EXPRESSIONS


@pytest.fixture(autouse=True)
def _haar(monkeypatch):
    monkeypatch.setenv("MIEN_DETECTOR", "haar")


@pytest.fixture(scope="session")
def bgr(astronaut):
    return np.ascontiguousarray(astronaut[:, :, ::-1])


@pytest.fixture
def expected(astronaut):
    """The prediction, and the probabilities of the seven."""
    (prediction,) = mien.load().predict(astronaut)
    total = sum(prediction.probabilities[name] for name in EXPRESSIONS)
    return prediction, {name: prediction.probabilities[name] / total for name in EXPRESSIONS}
