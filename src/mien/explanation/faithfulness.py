"""Faithfulness of saliency maps: remove the most important pixels first and measure the probability.

The measures are deletion and insertion of Petsiuk, Das & Saenko, RISE, BMVC 2018, section 4.2. *Deletion* blurs the
pixels of the face, the most important first; a good map makes the probability fall early. *Insertion* restores them in
the blurred face; a good map makes it rise early.

By default a map is compared with the same map moved to a random position. Random orders of single pixels would be too
easy to beat: any map that removes whole regions is better than they are.

:meth:`mien.explanation.explainer.Explainer.check` combines this with the test of randomised weights.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.progress import slices
from mien.evaluation.corruptions import gaussian_blur
from mien.evaluation.intervals import bootstrap_mean
from mien.evaluation.results import Estimate
from mien.explanation.occlusion import Predict

Floats = npt.NDArray[np.float64]
_BATCH_FACES = 16

BLUR_PX = 5.0
"""Standard deviation of the Gaussian blur, in pixels of a 48 px face."""


def measure_faithfulness(
    predict: Predict,
    images: npt.NDArray[np.uint8],
    maps: npt.NDArray[np.float32],
    *,
    crop_px: int | None = None,
    steps: int = 24,
    seed: int = 0,
) -> tuple[Estimate, Estimate]:
    """Measure deletion and insertion of maps (N, S, S) of the predicted classes; larger is more important.

    Returns two gains as means over faces, with intervals: the area under the curve of the moved map minus that of the
    map (deletion), and that of the map minus that of the moved map (insertion). Above 0 the maps are better.

    ``predict`` maps faces, uint8 (n, S, S[, 3]), to probabilities (n, C). ``crop_px`` is the side of the central square
    that the model sees, ``steps`` the number of equal parts of the pixels. ``seed`` draws positions and breaks ties.
    """
    side = images.shape[1]
    crop = side if crop_px is None else crop_px
    window = slice((side - crop) // 2, (side - crop) // 2 + crop)
    chosen = predict(images).argmax(axis=1)
    blurred = gaussian_blur(images, BLUR_PX * side / 48)
    generator = np.random.default_rng(seed)

    def areas(ranks: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        deletion = removal_curves(predict, images, blurred, ranks, chosen, steps)
        return area(deletion), area(removal_curves(predict, blurred, images, ranks, chosen, steps))

    deletion, insertion = areas(pixel_ranks(maps, window, generator))
    random_deletion, random_insertion = areas(pixel_ranks(_moved_maps(maps, window, generator), window, generator))
    return bootstrap_mean(random_deletion - deletion), bootstrap_mean(insertion - random_insertion)


def pixel_ranks(maps: npt.NDArray[Any], window: slice, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rank the pixels of each map from 0, the most important: (N, S, S) -> int64 (N, S, S), -1 outside the window.

    ``window`` is the range of rows and columns, as :attr:`InputSpec.window`. Ties are broken at random, because
    breaking them by position would rank an empty map from top to bottom.
    """
    inside = maps[:, window, window]
    values = inside.reshape(len(maps), -1)
    order = np.lexsort((generator.random(values.shape), -values), axis=1)
    ranks = np.full(maps.shape, -1, dtype=np.int64)
    ranks[:, window, window] = np.argsort(order, axis=1).reshape(inside.shape)
    return ranks


def removal_curves(
    predict: Predict,
    before: npt.NDArray[np.uint8],
    after: npt.NDArray[np.uint8],
    ranks: npt.NDArray[np.int64],
    targets: npt.NDArray[np.int64],
    steps: int,
) -> Floats:
    """Compute each face's probability of its class while pixels change from ``before`` to ``after``, (N, steps + 1)."""
    limits = np.rint(np.linspace(0, ranks.max() + 1, steps + 1)).astype(np.int64)[:, None, None]
    curves = np.empty((len(before), steps + 1))
    for part in slices(len(before), _BATCH_FACES):
        turned = (ranks[part, None] >= 0) & (ranks[part, None] < limits)
        turned = turned if before.ndim == 3 else turned[..., None]
        answers = predict(np.where(turned, after[part, None], before[part, None]).reshape(-1, *before.shape[1:]))
        curves[part] = answers[np.arange(len(answers)), np.repeat(targets[part], steps + 1)].reshape(-1, steps + 1)
    return curves


def area(curves: Floats) -> Floats:
    """Compute the area under curves over fractions 0..1 by the trapezoid rule: (N, K + 1) -> (N,)."""
    return np.asarray((curves[:, :-1] + curves[:, 1:]).mean(axis=1) / 2)


def _moved_maps(
    maps: npt.NDArray[np.float32], window: slice, generator: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Shift each map cyclically in the window by a random offset, so that it is unrelated to its face."""
    inside = maps[:, window, window]
    offsets = generator.integers(0, inside.shape[1], (len(maps), 2))
    moved = np.zeros(maps.shape, dtype=np.float32)
    moved[:, window, window] = [np.roll(each, offset, (0, 1)) for each, offset in zip(inside, offsets, strict=True)]
    return moved
