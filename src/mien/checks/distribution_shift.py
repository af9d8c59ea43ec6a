"""Can a classifier tell two splits apart, or a class by what has nothing to do with a face? Arrays in, answers out.

A classifier two-sample test (Lopez-Paz & Oquab, ICLR 2017): where a split's images are drawn as another's are,
nothing can tell them apart, and the area under the ROC curve is 1/2 except for chance.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mien.errors import needs_extra
from mien.near_copies.resampling import Floats32

Floats = npt.NDArray[np.float64]
Images = npt.NDArray[np.uint8]

FOLDS = 5
MOST_ROWS = 4000
"""Of each of two splits, or in all to predict the class from: more cost time and say little more."""

_SEED = 0
_TREES, _LEAVES = 40, 15
_THUMBNAIL_PX = 8
_BORDER_PX = 2
_BORDER_PARTS = 4  # along each side


def two_splits(split: npt.NDArray[np.str_], first: str, second: str) -> npt.NDArray[np.int64]:
    """Positions of as many samples of one split as of the other, at most :data:`MOST_ROWS` of each, drawn at random."""
    members = [np.flatnonzero(split == name) for name in (first, second)]
    count = min(MOST_ROWS, *map(len, members))
    generator = np.random.default_rng(_SEED)
    drawn = [np.sort(generator.choice(each, count, replace=False)) for each in members]
    return np.concatenate(drawn).astype(np.int64)


def some_rows(count: int) -> npt.NDArray[np.int64]:
    """Positions of at most 2 x :data:`MOST_ROWS` of so many samples, drawn at random."""
    most = min(count, 2 * MOST_ROWS)
    return np.sort(np.random.default_rng(_SEED).choice(count, most, replace=False)).astype(np.int64)


def predict_out_of_fold(features: Floats, target: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]) -> Floats:
    """Probabilities of each class of the target, by boosted trees that learnt the other folds.

    Args:
        features: float (N, F).
        target: int64 (N,), 0..C-1, with two values at least.
        groups: int64 (N,), copies share a number and a fold.

    Returns:
        float64 (N, C); 0 for a class that the other folds do not have.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    with needs_extra("audit", "The audit"):
        from sklearn.ensemble import HistGradientBoostingClassifier
    distinct, number = np.unique(groups, return_inverse=True)
    folds = (np.random.default_rng(_SEED).permutation(len(distinct)) % FOLDS)[number]
    found = np.zeros((len(target), int(target.max()) + 1))
    for fold in np.unique(folds):
        inside = folds == fold
        known = np.unique(target[~inside])
        if len(known) < 2:
            found[np.ix_(inside, known)] = 1.0
            continue
        model = HistGradientBoostingClassifier(
            max_iter=_TREES, max_leaf_nodes=_LEAVES, early_stopping=False, random_state=_SEED
        )
        model.fit(features[~inside], target[~inside])
        found[np.ix_(inside, model.classes_)] = model.predict_proba(features[inside])
    return found


def thumbnails(images: Images) -> Floats:
    """Images at 8 x 8 pixels, as they are. uint8 (N, S, S) -> float64 (N, 64), 0..255."""
    side = images.shape[1]
    edges = np.linspace(0, side, _THUMBNAIL_PX + 1).round().astype(int)
    means = np.array(
        [
            [images[:, top:bottom, left:right].mean(axis=(1, 2)) for left, right in pairwise(edges)]
            for top, bottom in pairwise(edges)
        ]
    )
    return means.reshape(-1, len(images)).T


def borders(images: Images) -> Floats:
    """Mean and deviation of pieces of the outermost two pixels. uint8 (N, S, S) -> float64 (N, 32)."""
    sides = (
        images[:, :_BORDER_PX],
        images[:, -_BORDER_PX:],
        images[:, :, :_BORDER_PX].transpose(0, 2, 1),
        images[:, :, -_BORDER_PX:].transpose(0, 2, 1),
    )
    pieces = [piece for side in sides for piece in np.array_split(side, _BORDER_PARTS, axis=2)]
    return np.stack([measure for piece in pieces for measure in _mean_and_deviation(piece)], axis=1)


def _mean_and_deviation(pixels: Images) -> tuple[Floats, Floats]:
    plain: Floats32 = pixels.astype(np.float32)
    return plain.mean(axis=(1, 2), dtype=np.float64), plain.std(axis=(1, 2), dtype=np.float64)
