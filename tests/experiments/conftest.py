"""What the tests of reports share."""

import numpy as np
import pytest

from mien.evaluation.scores import Scores


@pytest.fixture
def scored():
    """Scores of some skill for labels under classes: ``scored(labels, classes, rows, split, fingerprint)``."""

    def make(labels, classes, rows=None, split="validation", fingerprint="", seed=0):
        logits = np.random.default_rng(seed).normal(size=(len(labels), len(classes)))
        logits[np.arange(len(labels)), labels] += 1.5
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        rows = np.arange(len(labels)) if rows is None else rows
        return Scores(rows, np.asarray(labels), probabilities, tuple(classes), split, fingerprint)

    return make
