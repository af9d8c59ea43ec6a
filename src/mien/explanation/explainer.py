"""Saliency maps of a model by every method, checks of them, and how they are drawn over a face."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, Literal

import numpy as np

from mien.base.arrays import Array, Bools, Floats, Floats32, Ints, Pixels, Reals
from mien.base.errors import DataError, ModelError, nearest, needs_extra
from mien.base.model_file import Manifest
from mien.base.progress import slices
from mien.base.run_folder import RunFolder
from mien.evaluation.metrics import bootstrap_mean
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import Predict, gaussian_blur

METHODS: tuple[str, ...] = ("gradient", "gradcam", "occlusion")
"""Names of the methods, and of their functions: occlusion is below, the others are in ``gradient.py``."""


def needs_torch(method: str) -> bool:
    """Return whether a method needs a network of torch. Raises :class:`DataError` for no such method."""
    if method not in METHODS:
        raise DataError(f"There is no method '{method}'." + nearest(method, METHODS), code="method-unknown")
    return method != "occlusion"


@dataclass(frozen=True)
class Explainer:
    """Saliency maps of a model, and checks of them.

    Attributes:
        predict: function that maps faces, uint8 (N, S, S[, 3]), to probabilities (N, C).
        crop_px: side of the central square that the model sees.
        network: a :class:`mien.explanation.gradient.TorchModel` for gradients; None allows occlusion alone.
    """

    predict: Predict
    crop_px: int
    network: Any = None

    @classmethod
    def with_gradients(cls, run: RunFolder | None, manifest: Manifest, predict: Predict) -> "Explainer":
        """Make an explainer with the network of the run that a model file was exported from.

        Raises MissingExtraError without torch, ModelError for no weights (``model-not-trainable``) or others than the
        model file's (``gradients-other-weights``).
        """
        if run is None or not run.best.is_file():
            words = f"'{manifest.full_name}' has no weights for gradients, only for occlusion. Give a run folder."
            raise ModelError(words, code="model-not-trainable")
        with needs_extra("train", "Explaining a model by gradients"):
            # Import by name, because training writes a report too, and pages must not need torch.
            gradient = import_module("mien.explanation.gradient")
        return cls(predict, manifest.input.crop_px, gradient.matching_torch_model(run, manifest, predict))

    @cached_property
    def unsupported(self) -> dict[str, str]:
        """Reason for each method that the network does not allow, such as Grad-CAM without convolutional maps."""
        reasons = {}
        for method in METHODS:
            try:
                if needs_torch(method) and self.network is not None:
                    self.attribute(np.zeros((1, *self.network.spec.face_shape), dtype=np.uint8), method=method)
            except DataError as error:
                reasons[method] = str(error)
        return reasons

    @property
    def methods(self) -> list[str]:
        """Names of the usable methods."""
        usable = [method for method in METHODS if self.network is not None or not needs_torch(method)]
        return [method for method in usable if method not in self.unsupported]

    def attribute(self, images: Pixels, target: Ints | None = None, *, method: str = "occlusion") -> Floats32:
        """Compute maps of faces, uint8 (N, S, S[, 3]); larger values favour the class more.

        ``target`` is the class to explain of each face, by default the predicted one. Returns float32 (N, S, S),
        finite, 0 outside the crop that the model sees. Raises DataError for no such method.
        """
        of_torch = needs_torch(method)
        target = self.predict(images).argmax(axis=1) if target is None else target
        if not of_torch:
            return occlusion(self.predict, images, target, self.crop_px)
        maps: Floats32 = getattr(import_module("mien.explanation.gradient"), method)(self.network, images, target)
        return maps

    def check(self, images: Pixels, method: str) -> "MapCheck":
        """Check on faces whether a method's maps are faithful and, with a network, depend on the trained weights.

        Raises DataError without faces (``no-face``).
        """
        if not len(images):
            raise DataError("The check of a method needs at least one face.", code="no-face")
        maps = self.attribute(images, method=method)
        gains = measure_faithfulness(self.predict, images, maps, self.crop_px)
        correlation = None
        if self.network is not None:
            with needs_extra("report", "The check of a method"):
                gradient = import_module("mien.explanation.gradient")
                correlation = gradient.rank_correlation(method, self.network, images, maps)
        return MapCheck(method, len(images), *gains, correlation, maps)


MIN_FACES = 20
"""With fewer faces there is no verdict, because an interval over few faces is meaningless."""

MAX_CORRELATION = 0.5
"""The interval of the rank correlation with the maps of the randomised network must lie below this. Adebayo et al. give
no number. At 0.5, the maps still share a quarter (r squared) of their variation with those of an untrained network.
"""


@dataclass(frozen=True, eq=False)
class MapCheck:
    """Checks of a method's maps of a model.

    Attributes:
        method: name of the method.
        faces: number of faces N.
        deletion_gain, insertion_gain: see :func:`mien.explanation.explainer.measure_faithfulness`.
        rank_correlation: of the maps with those of the network with shuffled weights, -1..1; None if not tested.
        maps: the checked maps, float32 (N, S, S).
    """

    method: str
    faces: int
    deletion_gain: Estimate
    insertion_gain: Estimate
    rank_correlation: Estimate | None = None
    maps: Floats32 = field(default_factory=lambda: np.empty((0, 0, 0), dtype=np.float32), repr=False)

    @property
    def verdict(self) -> Literal["passes", "fails", "undecided"]:
        """Whether the maps can be trusted; ``"undecided"`` with fewer than :data:`MIN_FACES` faces.

        They pass if the interval of the deletion gain lies above 0, that of the insertion gain does not lie below 0,
        and the maps change when the weights are randomised.
        """
        if self.faces < MIN_FACES:
            return "undecided"
        faithful = self.deletion_gain.low > 0 and self.insertion_gain.high >= 0
        # Maps that are all alike have no interval.
        test = self.rank_correlation
        alike = test is not None and any(end >= MAX_CORRELATION for end in (test.value, test.high))
        return "passes" if faithful and not alike else "fails"


def mean_maps(maps: Floats32, targets: Sequence[int] | Ints) -> dict[int, Floats32]:
    """Return the mean of the maps (N, S, S) of each explained class, each map divided by its largest value: (S, S)."""
    scale = np.maximum(np.abs(maps).max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
    chosen = np.asarray(targets)
    return {int(each): (maps / scale)[chosen == each].mean(axis=0) for each in np.unique(chosen)}


_BATCH_FACES = 16
STEPS = 24
"""Number of steps in which the pixels of a face change."""

BLUR_PX = 5.0
"""Standard deviation of the Gaussian blur, in pixels of a 48 px face."""


def measure_faithfulness(predict: Predict, images: Pixels, maps: Floats32, crop_px: int) -> tuple[Estimate, Estimate]:
    """Measure deletion and insertion of maps (N, S, S) of the predicted classes; larger is more important.

    These are the measures of Petsiuk, Das & Saenko, RISE, BMVC 2018, section 4.2. Deletion blurs the pixels of the
    face, the most important first; a good map makes the probability fall early. Insertion restores them in the blurred
    face. A map is compared with the same map moved to a random position: random orders of single pixels would be too
    easy to beat, because any map that removes whole regions is better than they are.

    Returns two gains as means over faces, with intervals: the area under the curve of the moved map minus that of the
    map (deletion), and that of the map minus that of the moved map (insertion). Above 0 the maps are better.

    ``predict`` maps faces, uint8 (n, S, S[, 3]), to probabilities (n, C). ``crop_px`` is the side of the central square
    that the model sees; its pixels change in :data:`STEPS` equal parts.
    """
    side = images.shape[1]
    window = slice((side - crop_px) // 2, (side - crop_px) // 2 + crop_px)
    chosen = predict(images).argmax(axis=1)
    blurred = gaussian_blur(images, BLUR_PX * side / 48)
    generator = np.random.default_rng(0)

    def areas(ranks: Ints) -> tuple[Floats, Floats]:
        deletion = removal_curves(predict, images, blurred, ranks, chosen)
        return area(deletion), area(removal_curves(predict, blurred, images, ranks, chosen))

    deletion, insertion = areas(pixel_ranks(maps, window, generator))
    random_deletion, random_insertion = areas(pixel_ranks(_moved_maps(maps, window, generator), window, generator))
    return bootstrap_mean(random_deletion - deletion), bootstrap_mean(insertion - random_insertion)


def pixel_ranks(maps: Array, window: slice, generator: np.random.Generator) -> Ints:
    """Rank each map's pixels from 0, the most important, int64 (N, S, S), -1 outside the ``window`` of rows and
    columns. Ties are broken at random: by position, an empty map would be ranked from top to bottom.
    """
    inside = maps[:, window, window]
    values = inside.reshape(len(maps), -1)
    order = np.lexsort((generator.random(values.shape), -values), axis=1)
    ranks = np.full(maps.shape, -1, dtype=np.int64)
    ranks[:, window, window] = np.argsort(order, axis=1).reshape(inside.shape)
    return ranks


def removal_curves(
    predict: Predict, before: Pixels, after: Pixels, ranks: Ints, targets: Ints, steps: int = STEPS
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


def _moved_maps(maps: Floats32, window: slice, generator: np.random.Generator) -> Floats32:
    """Shift each map cyclically in the window by a random offset, so that it is unrelated to its face."""
    inside = maps[:, window, window]
    offsets = generator.integers(0, inside.shape[1], (len(maps), 2))
    moved = np.zeros(maps.shape, dtype=np.float32)
    moved[:, window, window] = [np.roll(each, offset, (0, 1)) for each, offset in zip(inside, offsets, strict=True)]
    return moved


def occlusion(predict: Predict, images: Pixels, targets: Ints, crop_px: int) -> Floats32:
    """Slide a patch of the face's mean colour over it. A pixel's value is the mean drop while covered.

    Source: Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section 4.2. The patch is
    a sixth of the crop: 8 px of FER2013's 48, about an eye. It moves by half of its side. Images are uint8 (N, S, S[,
    3]), targets int64 (N,), classes to explain. Returns float32 (N, S, S), drop of the class's probability, -1..1; 0
    outside the crop.
    """
    side = images.shape[1]
    patch_px = max(crop_px // 6, 1)
    maps = np.zeros(images.shape[:3], dtype=np.float32)
    whole = predict(images)
    patches = patch_masks(side, patch_px, max(patch_px // 2, 1), crop_px)
    times_covered = np.maximum(patches.sum(axis=0), 1)
    covered = patches if images.ndim == 3 else patches[..., None]
    start = (side - crop_px) // 2
    for index, (face, target) in enumerate(zip(images, targets, strict=True)):
        fill = np.rint(face[start : start + crop_px, start : start + crop_px].mean(axis=(0, 1))).astype(np.uint8)
        drops = whole[index, target] - predict(np.where(covered, fill, face))[:, target]
        maps[index] = np.tensordot(drops, patches, axes=1) / times_covered
    return maps


def patch_masks(side: int, patch_px: int, stride_px: int, crop_px: int) -> Bools:
    """Return all positions of the patch in the central crop, bool (P, side, side); the last touches the edge."""
    start = (side - crop_px) // 2
    offsets = sorted({*range(0, crop_px - patch_px, stride_px), crop_px - patch_px})
    covered = np.zeros((len(offsets), side), dtype=np.bool_)
    for row, offset in zip(covered, offsets, strict=True):
        row[start + offset : start + offset + patch_px] = True
    return (covered[:, None, :, None] & covered[None, :, None, :]).reshape(-1, side, side)


# Every 16th colour of matplotlib's magma (Smith & van der Walt, CC0), which is perceptually uniform, also for
# colour-blind people. Linear interpolation between them is off by at most 3 of 255.
_MAGMA_HEX = """
000004 0a0822 1d1146 36106a 50127c 691c81 822681 9c2e7f b63779
cf4170 e65163 f5695c fb8761 fea571 fec387 fde0a2 fcfdbf
"""
_MAGMA = np.array([list(bytes.fromhex(each)) for each in _MAGMA_HEX.split()], dtype=np.float64)

SCALED_BY = 0.99
"""Positive values above this quantile of a map all get the last colour."""


def colour(values: Array) -> Floats:
    """Map values (...), 0..1, to magma colours: RGB float64 (..., 3), 0..255."""
    return np.stack([np.interp(values, np.linspace(0, 1, len(_MAGMA)), channel) for channel in _MAGMA.T], axis=-1)


STRENGTH = 0.6
"""Opacity of the colour where a map is largest, 0..1."""


def overlay(face: Pixels, face_map: Reals, enlarge: int = 4) -> Pixels:
    """Colour a face, uint8 (S, S[, 3]), by a map, and enlarge it. Where the map is 0 or less, the face is unchanged.

    The top hundredth of the map's positive values gets the last colour (Smilkov et al., SmoothGrad, 2017, section 3.1).
    Scaled by its largest pixel, a gradient map would hardly be visible. Returns RGB uint8, ``enlarge`` times as large.
    """
    share = np.clip(face_map.astype(np.float64) / (full_scale(face_map) or 1.0), 0.0, 1.0)
    cover = STRENGTH * share[:, :, None]
    # magma's first colours are black, which would look like a dark face, so begin where it is violet.
    blend = (1 - cover) * (face[:, :, None] if face.ndim == 2 else face) + cover * colour(0.35 + 0.65 * share)
    pixels: Pixels = np.rint(blend).astype(np.uint8)
    return pixels.repeat(enlarge, axis=0).repeat(enlarge, axis=1)


def full_scale(face_map: Reals) -> float:
    """Return the value that :func:`overlay` shows in the last colour; 0.0 if no pixel favours the class."""
    positive = face_map[face_map > 0].astype(np.float64)
    return float(np.quantile(positive, SCALED_BY)) if len(positive) else 0.0


FACE_PX = 288
"""Smallest side of each of the two faces in :func:`beside`, in pixels."""


def beside(face: Pixels, face_map: Reals) -> Pixels:
    """Draw a face, and beside it the same face under its map, each a multiple of S pixels wide: RGB uint8."""
    enlarge = -(-FACE_PX // len(face))
    return np.concatenate([overlay(face, shown, enlarge) for shown in (np.zeros_like(face_map), face_map)], axis=1)
