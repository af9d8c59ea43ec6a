"""Robustness: accuracy under corruptions with five strengths each, stored in ``robustness.json``.

The corruptions are in the style of ImageNet-C: Hendrycks & Dietterich, Benchmarking Neural Network Robustness to Common
Corruptions, ICLR 2019. Its strengths are for 224 px, those here for 48 px; lengths in px scale with the face's side.
Random numbers depend only on the seed and the corruption's name, so a face is corrupted in the same way at every
strength.
"""

import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien.base.arrays import Bools, Floats, Floats32, Groups, Ints, Pixels, Reals
from mien.base.errors import DataError
from mien.base.files import expand_home, write_text
from mien.base.progress import slices, track
from mien.evaluation.metrics import bootstrap_mean, bootstrap_means, share_interval
from mien.evaluation.results import Estimate, fields_to_dict

Apply = Callable[[Pixels, float, np.random.Generator], Pixels]
"""Images uint8 (N, S, S[, 3]), the parameter and a random generator -> the same shape."""

STRENGTHS: tuple[int, ...] = (1, 2, 3, 4, 5)
_CHUNK_FACES = 512
_REFERENCE_PX = 48


def corrupt_in_parts(images: Pixels, name: str, strength: int, seed: int) -> Iterator[Pixels]:
    """Corrupt faces, uint8 (N, S, S[, 3]), a few hundred at a time, so that a split is not copied in memory.

    ``name`` is one of :data:`CORRUPTIONS`, ``strength`` 1..5. The result for face i depends only on it, i and the seed.
    """
    apply, parameters = CORRUPTIONS[name]
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    # Random numbers are drawn face by face, so the parts do not affect the result.
    for part in slices(len(images), _CHUNK_FACES):
        yield apply(np.asarray(images[part]), parameters[strength - 1], generator)


def gaussian_blur(images: Pixels, sigma_px: float) -> Pixels:
    """Apply a Gaussian blur, truncated at 3.5 sigma, with repeated border: uint8 (N, S, S[, 3]) -> the same shape."""
    side = images.shape[1]
    reach = int(3.5 * sigma_px + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    matrix = np.zeros((side, side), dtype=np.float32)
    source = np.clip(np.arange(side)[:, None] + np.arange(-reach, reach + 1), 0, side - 1)
    np.add.at(matrix, (np.arange(side)[:, None], source), kernel / kernel.sum())
    return _both_ways(images, matrix)


def _both_ways(images: Pixels, matrix: Floats32) -> Pixels:
    values = images.astype(np.float32)
    filtered = matrix @ (values if images.ndim == 3 else np.moveaxis(values, 3, 1)) @ matrix.T
    return _bytes(filtered if images.ndim == 3 else np.moveaxis(filtered, 1, 3))


def _bytes(values: Reals) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _gaussian_noise(images: Pixels, deviation: float, generator: np.random.Generator) -> Pixels:
    return _bytes(images + 255 * deviation * generator.standard_normal(images.shape, dtype=np.float32))


def _blur(images: Pixels, sigma_px: float, _: np.random.Generator) -> Pixels:
    return gaussian_blur(images, sigma_px * images.shape[1] / _REFERENCE_PX)


def _jpeg(images: Pixels, quality: float, _: np.random.Generator) -> Pixels:
    out = np.empty_like(images)
    for index, face in enumerate(images):
        stream = io.BytesIO()
        Image.fromarray(face).save(stream, "JPEG", quality=int(quality))
        out[index] = np.asarray(Image.open(stream))
    return out


def _low_resolution(images: Pixels, share: float, _: np.random.Generator) -> Pixels:
    side = images.shape[1]
    fewer = max(round(side * share), 1)
    # Pillow's resizing is separable and linear, so resizing unit rows gives the whole filter.
    small = Image.fromarray(np.eye(side, dtype=np.float32)).resize((side, fewer), Image.Resampling.BOX)
    return _both_ways(images, np.asarray(small.resize((side, side), Image.Resampling.BILINEAR)))


def _darkness(images: Pixels, light: float, _: np.random.Generator) -> Pixels:
    return _bytes(images * np.float32(light))


def _contrast(images: Pixels, share: float, _: np.random.Generator) -> Pixels:
    grey = images.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    return _bytes(grey + np.float32(share) * (images - grey))


def _rotation(images: Pixels, degrees: float, generator: np.random.Generator) -> Pixels:
    angle = np.deg2rad(degrees) * generator.choice((-1.0, 1.0), len(images))
    return _turn_and_zoom(images, angle, np.ones(len(images)))


def _scale(images: Pixels, factor: float, generator: np.random.Generator) -> Pixels:
    return _turn_and_zoom(images, np.zeros(len(images)), factor ** generator.choice((-1.0, 1.0), len(images)))


def _turn_and_zoom(images: Pixels, angle: Reals, zoom: Reals) -> Pixels:
    side = images.shape[1]
    grid = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    cosine = (np.cos(angle) / zoom).astype(np.float32)[:, None, None]
    sine = (np.sin(angle) / zoom).astype(np.float32)[:, None, None]
    x = cosine * grid + sine * grid[:, None] + np.float32((side - 1) / 2)
    return _sample_bilinear(images, cosine * grid[:, None] - sine * grid + np.float32((side - 1) / 2), x)


def _shift(images: Pixels, length_px: float, generator: np.random.Generator) -> Pixels:
    side = images.shape[1]
    direction = 2 * np.pi * generator.random(len(images))
    length = length_px * side / _REFERENCE_PX
    positions = np.arange(side)
    rows, columns = (
        np.clip(positions - np.rint(length * part).astype(np.intp)[:, None], 0, side - 1)
        for part in (np.sin(direction), np.cos(direction))
    )
    return np.asarray(images[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]])


def _cover(centre_y: float, aspect: float) -> Apply:
    """Cover a horizontally centred rectangle, ``height`` by ``aspect * height`` in fractions of the side."""

    def apply(images: Pixels, height: float, _: np.random.Generator) -> Pixels:
        count = len(images)
        return _fill(images, np.full(count, centre_y), np.full(count, 0.5), height, min(aspect * height, 1.0))

    return apply


def _cover_anywhere(images: Pixels, side: float, generator: np.random.Generator) -> Pixels:
    centres = generator.random((len(images), 2))
    return _fill(images, centres[:, 0], centres[:, 1], side, side)


def _fill(images: Pixels, centre_y: Reals, centre_x: Reals, height: float, width: float) -> Pixels:
    """Fill a rectangle (fractions of the side) with each face's mean pixel, moved inside the image if needed."""
    side = images.shape[1]
    positions = np.arange(side)

    def inside(centre: Reals, length: float) -> Bools:
        pixels = max(round(length * side), 1)
        first = np.clip(np.rint(centre * side - pixels / 2), 0, side - pixels)[:, None]
        return np.asarray((positions >= first) & (positions < first + pixels))

    covered = inside(centre_y, height)[:, :, None] & inside(centre_x, width)[:, None, :]
    covered = covered if images.ndim == 3 else covered[..., None]
    return np.asarray(np.where(covered, _bytes(images.mean(axis=(1, 2), keepdims=True)), images))


# In FER2013, eyes lie about 0.38 of the side below the top, and the mouth 0.77.
CORRUPTIONS: dict[str, tuple[Apply, tuple[float, float, float, float, float]]] = {
    "gaussian-noise": (_gaussian_noise, (0.03, 0.06, 0.1, 0.15, 0.22)),
    "blur": (_blur, (0.6, 1.0, 1.5, 2.0, 3.0)),
    "jpeg": (_jpeg, (60, 35, 20, 12, 6)),
    "low-resolution": (_low_resolution, (0.7, 0.5, 0.375, 0.29, 0.21)),
    "darkness": (_darkness, (0.75, 0.55, 0.4, 0.25, 0.15)),
    "contrast": (_contrast, (0.7, 0.5, 0.35, 0.22, 0.12)),
    "rotation": (_rotation, (6, 12, 18, 26, 36)),
    "shift": (_shift, (2, 4, 6, 8, 11)),
    "scale": (_scale, (1.08, 1.16, 1.26, 1.4, 1.6)),
    "cover-eyes": (_cover(0.38, 3.5), (0.08, 0.13, 0.18, 0.24, 0.3)),
    "cover-mouth": (_cover(0.77, 2.0), (0.1, 0.16, 0.22, 0.29, 0.36)),
    "cover-anywhere": (_cover_anywhere, (0.2, 0.3, 0.4, 0.5, 0.6)),
}
"""Corruptions by printed name, with the parameter for strengths 1 to 5. docs/robustness.md has the units."""


def _sample_bilinear(images: Pixels, rows: Floats32, columns: Floats32) -> Pixels:
    """Sample images uint8 (N, H, W[, 3]) at coordinates float32 (N, H, W), bilinearly, with repeated border."""
    height, width = images.shape[1:3]
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    top, left = rows.astype(np.int64), columns.astype(np.int64)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    colours = (...,) + (np.newaxis,) * (images.ndim - 3)
    down, across = (rows - top)[colours], (columns - left)[colours]
    each = np.arange(len(images))[:, np.newaxis, np.newaxis]
    upper = images[each, top, left] * (1 - across) + images[each, top, right] * across
    lower = images[each, bottom, left] * (1 - across) + images[each, bottom, right] * across
    return np.asarray(np.rint(upper * (1 - down) + lower * down), dtype=np.uint8)


Predict = Callable[[Pixels], Floats]
"""Function that maps faces uint8 (N, S, S[, 3]) to probabilities (N, C), e.g. ``Predictor.probabilities``."""

NAME = "robustness.json"
_STORED: dict[str, type[Any]] = dict.fromkeys(("faces", "seed", "groups", "trained_on"), int)
_STORED |= dict.fromkeys(("model", "data", "split", "data_fingerprint"), str)


@dataclass(frozen=True, eq=False)
class RobustnessResult:
    """Accuracy under corruptions: the content of a ``robustness.json``.

    Attributes:
        corruptions: names of the K corruptions.
        accuracy: float64 (K, 5), accuracy for each corruption and strength.
        clean_accuracy: accuracy on unchanged faces, with an interval over faces or groups.
        mean_accuracy: mean over all corruptions and strengths, with an interval over faces or groups.
        faces: number of faces.
        seed: seed of the corruptions.
        groups: number of resampled groups; None if faces were resampled.
        model, data, split: arguments given to ``mien robustness``, as text.
        data_fingerprint: fingerprint of the data as loaded; ``""`` if unknown.
        trained_on: number of these faces that the model was trained on, although they are not in its train split now.
    """

    corruptions: tuple[str, ...]
    accuracy: Floats
    clean_accuracy: Estimate
    mean_accuracy: Estimate
    faces: int
    seed: int
    groups: int | None = None
    model: str = "unknown"
    data: str = "unknown"
    split: str = "unknown"
    data_fingerprint: str = ""
    trained_on: int = 0

    def __str__(self) -> str:
        """Return a text table: accuracy in percent for each corruption and strength."""
        clean, corrupted = (
            f"{each.value:.1%} ({each.low:.1%} to {each.high:.1%})".replace("nan%", "–")
            for each in (self.clean_accuracy, self.mean_accuracy)
        )
        groups = "" if self.groups is None else f"; intervals draw {self.groups:,} groups"
        heads = [*map(str, STRENGTHS), "mean"]
        lines = [
            f"Clean accuracy {clean}, corrupted {corrupted}, on {self.faces:,} samples{groups}",
            "",
            f"{'accuracy % at strength':24}" + "".join(f"{each:>7}" for each in heads),
        ]
        for name, accuracies in zip(self.corruptions, self.accuracy, strict=True):
            lines.append(f"{name:24}" + "".join(f"{100 * each:7.1f}" for each in (*accuracies, accuracies.mean())))
        if self.trained_on:
            lines.append(f"The model was trained on {self.trained_on:,} of these {self.faces:,} samples.")
        return "\n".join(lines)

    @property
    def description(self) -> str:
        """Description of what was measured."""
        return f"the model {self.model} on {self.faces:,} samples of the split {self.split} of {self.data}"

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``robustness.json``; :func:`read_robustness` reads it."""
        left_out = "corruptions", *(name for name in ("groups", "trained_on") if not getattr(self, name))
        accuracy = dict(zip(self.corruptions, self.accuracy.tolist(), strict=True))
        return fields_to_dict(self, left_out) | {"accuracy": accuracy}


def measure_robustness(
    predict: Predict,
    images: Pixels,
    labels: Ints,
    *,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    seed: int = 0,
    groups: Groups | None = None,
) -> RobustnessResult:
    """Measure a model's accuracy under K corruptions of five strengths, in 5 K + 1 passes over the faces."""
    clean = predict(images).argmax(axis=1) == labels
    right = np.empty((len(corruptions), len(STRENGTHS), len(images)), dtype=np.bool_)
    cells = [(index, name, strength) for index, name in enumerate(corruptions) for strength in STRENGTHS]
    for index, name, strength in track(cells, total=len(cells), what="corrupting", unit="passes"):
        parts = corrupt_in_parts(images, name, strength, seed)
        right[index, strength - 1] = np.concatenate([predict(part).argmax(axis=1) for part in parts]) == labels
    return RobustnessResult(
        corruptions=tuple(corruptions),
        accuracy=right.mean(axis=2),
        clean_accuracy=share_interval(clean, bootstrap_means(clean[:, np.newaxis], 1000, groups)[:, 0], groups),
        mean_accuracy=bootstrap_mean(right.mean(axis=(0, 1)), groups=groups),
        faces=len(images),
        seed=seed,
        groups=None if groups is None else len(np.unique(groups)),
    )


def write_robustness(folder: Path, result: RobustnessResult) -> Path:
    """Write ``robustness.json`` into a folder. Raises :class:`RunError` if it cannot be written."""
    write_text(folder / NAME, json.dumps(result.to_dict(), indent=2) + "\n")
    return folder / NAME


def read_robustness(path: str | os.PathLike[str]) -> RobustnessResult:
    """Read a ``robustness.json`` file, or the one in a folder. Raises :class:`DataError` if missing or invalid."""
    path = path / NAME if (path := expand_home(path)).is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        accuracy = np.array(list(content["accuracy"].values()), dtype=np.float64)
        names, parts = ("clean_accuracy", "mean_accuracy"), ("value", "low", "high")
        # The ends are null, here NaN, where one group alone was measured.
        clean, mean = np.array([[content[name][part] for part in parts] for name in names], dtype=np.float64).tolist()
        in_range = all(0 <= each <= 1 for each in (*accuracy.flat, clean[0], mean[0]))
        in_range &= not any(each < 0 or each > 1 for each in (*clean, *mean))
        if accuracy.shape[1:] != (len(STRENGTHS),) or not in_range:
            raise ValueError("it needs accuracies in 0..1, five for each corruption")
        return RobustnessResult(
            corruptions=tuple(content["accuracy"]),
            accuracy=accuracy,
            clean_accuracy=Estimate(*clean),
            mean_accuracy=Estimate(*mean),
            **{name: kind(content[name]) for name, kind in _STORED.items() if name in content},
        )
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Make it with mien robustness.", code="file-missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", code="file-unreadable") from None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise DataError(f"{path} is not a {NAME}. Make it with mien robustness.", code="file-unreadable") from None
