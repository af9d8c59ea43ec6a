"""Valence and arousal, derived from the probabilities of the expressions. They do not measure a person's feeling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.base.heads.label import Floats

VALENCE = {
    **{"happy": 0.496, "sad": -0.546, "surprise": -0.024, "fear": -0.694},
    **{"disgust": -0.566, "angry": -0.51, "contempt": -0.135, "neutral": 0.046},
}
"""Valence of each expression, -1 (unpleasant) to 1 (pleasant). Fitted by least squares to the mean ratings of 1,600
pictures by 25 people, with ``benchmarks/valence.py``. In ten-fold cross-validation on the people's own votes, the
concordance correlation (CCC) is 0.94."""

AROUSAL = {
    **{"happy": 0.059, "sad": 0.112, "surprise": 0.364, "fear": 0.226},
    **{"disgust": 0.264, "angry": 0.319, "contempt": -0.507, "neutral": -0.799},
}
"""Arousal of each expression, -1 (calm) to 1 (excited), fitted likewise. CCC 0.78; between two halves of the people,
0.89."""


def derived_affect(shares: Floats, classes: Sequence[str]) -> Floats:
    """Compute the valence and arousal of N faces from the probabilities of their expressions.

    Args:
        shares: share of people who would choose each class, float64 (N, C). Classes without a value are left out.
        classes: C names.

    Returns:
        float64 (N, 2), valence and arousal in -1..1: means of the classes' values, weighted by ``shares``.
    """
    words = np.array([[VALENCE.get(name, 0.0), AROUSAL.get(name, 0.0)] for name in classes])
    kept = shares * np.isin(classes, list(VALENCE))
    return np.asarray(kept @ words / np.maximum(kept.sum(axis=1, keepdims=True), 1e-12))
