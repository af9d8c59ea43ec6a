"""Valence and arousal, derived from how likely each expression is: a mean of words, not a measurement of a person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.base.heads.label import Floats

VALENCE = {
    **{"happy": 0.496, "sad": -0.546, "surprise": -0.024, "fear": -0.694},
    **{"disgust": -0.566, "angry": -0.51, "contempt": -0.135, "neutral": 0.046},
}
"""Valence of each word, -1 (unpleasant) to 1: least squares on the means of 25 people's ratings of 1,600 pictures, by
``benchmarks/valence.py``. Ten-fold, on the people's own words, the concordance correlation (CCC) is 0.94."""

AROUSAL = {
    **{"happy": 0.059, "sad": 0.112, "surprise": 0.364, "fear": 0.226},
    **{"disgust": 0.264, "angry": 0.319, "contempt": -0.507, "neutral": -0.799},
}
"""Arousal, -1 (calm) to 1, likewise: CCC 0.78, where two halves of the people have 0.89."""


def derived_affect(shares: Floats, classes: Sequence[str]) -> Floats:
    """Valence and arousal of N faces.

    Args:
        shares: of people who would choose each class, float64 (N, C); other classes than the eight are left out.
        classes: C names.

    Returns:
        float64 (N, 2), each in -1..1: the mean of the words' values, weighted by their shares.
    """
    words = np.array([[VALENCE.get(name, 0.0), AROUSAL.get(name, 0.0)] for name in classes])
    kept = shares * np.isin(classes, list(VALENCE))
    return np.asarray(kept @ words / np.maximum(kept.sum(axis=1, keepdims=True), 1e-12))
