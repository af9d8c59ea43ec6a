"""What tests of figures share: predictions of made-up runs."""

import numpy as np
import pytest

from mien.evaluation.predictions import Predictions

CLASSES = ("angry", "fear", "happy", "sad", "surprise")


@pytest.fixture
def make_predictions():
    """Makes predictions of a run: labels do not depend on the seed; what is said about them does."""

    def make(seed: int, rows: int = 200, right: float = 0.7) -> Predictions:
        labels, generator = np.random.default_rng(99).integers(0, len(CLASSES), rows), np.random.default_rng(seed)
        said = np.where(generator.random(rows) < right, labels, generator.integers(0, len(CLASSES), rows))
        probabilities = generator.dirichlet(np.ones(len(CLASSES)), rows) * 0.3 + 0.7 * np.eye(len(CLASSES))[said]
        return Predictions(np.arange(rows), labels, probabilities, CLASSES, "validation", "sha256:data")

    return make
