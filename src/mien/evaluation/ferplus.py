"""FER+'s evaluation protocol, and the cross-entropy of distributions.

E. Barsoum, C. Zhang, C. Canton Ferrer, Z. Zhang, "Training Deep Networks for Facial Expression Recognition with
Crowd-Sourced Label Distribution", ICMI 2016. Ten annotators chose one of eight expressions, "unknown" or "not a face"
for each image of FER2013. Later papers use this protocol:

1. Single votes are noise: counts of exactly 1 become 0 (except an image's only vote, or shares of annotators).
2. The majority of an image is the class with more than half of the remaining votes.
3. Images without a majority are left out, and so are those whose majority is "unknown" or "not a face".
4. A prediction is the most probable of the eight expressions. Accuracy is the fraction equal to the majority.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.labels import NO_EXPRESSION

Floats = npt.NDArray[np.float64]

_OUTLIER = 1.0
_MIN_PROBABILITY = 1e-12


def majority(votes: npt.NDArray[Any], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Compute the majority class of each image, by steps 1 to 3 of the protocol.

    Args:
        votes: (N, V), number of votes for each class, 0 or more. A row with a fraction, or with a sum of 1, holds
            shares of annotators or a single vote; step 1 does not change it.
        classes: V class names; see :data:`mien.base.labels.NO_EXPRESSION`.

    Returns:
        int64 (N,): index of the majority class; -1 without votes, or if the protocol leaves the image out.
    """
    several = (votes == np.rint(votes)).all(axis=1) & (votes.sum(axis=1) > 1)
    kept = np.where(several[:, np.newaxis] & (votes == _OUTLIER), 0, votes).astype(np.float64)
    best = kept.argmax(axis=1)
    clear = kept.max(axis=1, initial=0) * 2 > kept.sum(axis=1)
    return np.where(clear & np.array([name not in NO_EXPRESSION for name in classes])[best], best, -1).astype(np.int64)


def majority_predictions(probabilities: Floats, classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the most probable expression of each image, ignoring classes that are not expressions.

    float64 (N, V) -> int64 (N,), indices into ``classes``.
    """
    competing = np.array([name not in NO_EXPRESSION for name in classes])
    return np.asarray(np.where(competing, probabilities, -1.0).argmax(axis=1), dtype=np.int64)


def majority_accuracy(votes: npt.NDArray[Any], probabilities: Floats, classes: Sequence[str]) -> float:
    """Compute the accuracy by FER+'s protocol; NaN if the protocol leaves out all images.

    Votes and classes are as in :func:`majority`; probabilities float64 (N, V), in the same order of classes.
    """
    truth = majority(votes, classes)
    counted = truth >= 0
    if not counted.any():
        return float("nan")
    return float((majority_predictions(probabilities, classes) == truth)[counted].mean())


def sample_cross_entropies(targets: Floats, probabilities: Floats) -> Floats:
    """Compute the cross-entropy ``-sum_k t_k log p_k`` of each row, in nats.

    Args:
        targets: float64 (N, V), rows sum to 1.
        probabilities: float64 (N, V), clipped below at 1e-12.

    Returns:
        float64 (N,), 0 or more.
    """
    return np.asarray(-(targets * np.log(np.maximum(probabilities, _MIN_PROBABILITY))).sum(axis=1))
