"""Corruptions of face images with five strengths each, in the style of ImageNet-C.

Source: Hendrycks & Dietterich, Benchmarking Neural Network Robustness to Common Corruptions, ICLR 2019. Its strengths
are for 224 px, those here for 48 px; lengths in px scale with the face's side. Random numbers depend only on the seed
and the corruption's name, so a face is corrupted in the same way at every strength.
"""

import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.base.progress import slices

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]
Apply = Callable[[Images, float, np.random.Generator], Images]
"""Images uint8 (N, S, S[, 3]), the parameter and a random generator -> the same shape."""

STRENGTHS: tuple[int, ...] = (1, 2, 3, 4, 5)
_CHUNK_FACES = 512
_REFERENCE_PX = 48


def corrupt_in_parts(images: Images, name: str, strength: int, seed: int) -> Iterator[Images]:
    """Corrupt faces, uint8 (N, S, S[, 3]), a few hundred at a time, so that a split is not copied in memory.

    ``name`` is one of :data:`CORRUPTIONS`, ``strength`` 1..5. The result for face i depends only on it, i and the seed.
    """
    apply, parameters = CORRUPTIONS[name]
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    # Random numbers are drawn face by face, so the parts do not affect the result.
    for part in slices(len(images), _CHUNK_FACES):
        yield apply(np.asarray(images[part]), parameters[strength - 1], generator)


def gaussian_blur(images: Images, sigma_px: float) -> Images:
    """Apply a Gaussian blur, truncated at 3.5 sigma, with repeated border: uint8 (N, S, S[, 3]) -> the same shape."""
    side = images.shape[1]
    reach = int(3.5 * sigma_px + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    matrix = np.zeros((side, side), dtype=np.float32)
    source = np.clip(np.arange(side)[:, None] + np.arange(-reach, reach + 1), 0, side - 1)
    np.add.at(matrix, (np.arange(side)[:, None], source), kernel / kernel.sum())
    return _both_ways(images, matrix)


def _both_ways(images: Images, matrix: npt.NDArray[np.float32]) -> Images:
    """Apply a linear filter, (S, S), to the rows and columns of each channel."""
    values = images.astype(np.float32)
    filtered = matrix @ (values if images.ndim == 3 else np.moveaxis(values, 3, 1)) @ matrix.T
    return _bytes(filtered if images.ndim == 3 else np.moveaxis(filtered, 1, 3))


def _bytes(values: Floats) -> Images:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _gaussian_noise(images: Images, deviation: float, generator: np.random.Generator) -> Images:
    return _bytes(images + 255 * deviation * generator.standard_normal(images.shape, dtype=np.float32))


def _blur(images: Images, sigma_px: float, _: np.random.Generator) -> Images:
    return gaussian_blur(images, sigma_px * images.shape[1] / _REFERENCE_PX)


def _jpeg(images: Images, quality: float, _: np.random.Generator) -> Images:
    out = np.empty_like(images)
    for index, face in enumerate(images):
        stream = io.BytesIO()
        Image.fromarray(face).save(stream, "JPEG", quality=int(quality))
        out[index] = np.asarray(Image.open(stream))
    return out


def _low_resolution(images: Images, share: float, _: np.random.Generator) -> Images:
    side = images.shape[1]
    fewer = max(round(side * share), 1)
    # Pillow's resizing is separable and linear, so resizing unit rows gives the whole filter.
    small = Image.fromarray(np.eye(side, dtype=np.float32)).resize((side, fewer), Image.Resampling.BOX)
    return _both_ways(images, np.asarray(small.resize((side, side), Image.Resampling.BILINEAR)))


def _darkness(images: Images, light: float, _: np.random.Generator) -> Images:
    return _bytes(images * np.float32(light))


def _contrast(images: Images, share: float, _: np.random.Generator) -> Images:
    grey = images.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    return _bytes(grey + np.float32(share) * (images - grey))


def _rotation(images: Images, degrees: float, generator: np.random.Generator) -> Images:
    angle = np.deg2rad(degrees) * generator.choice((-1.0, 1.0), len(images))
    return _turn_and_zoom(images, angle, np.ones(len(images)))


def _scale(images: Images, factor: float, generator: np.random.Generator) -> Images:
    return _turn_and_zoom(images, np.zeros(len(images)), factor ** generator.choice((-1.0, 1.0), len(images)))


def _turn_and_zoom(images: Images, angle: Floats, zoom: Floats) -> Images:
    """Rotate (radians) and zoom each face about its centre, bilinearly, with repeated border."""
    side = images.shape[1]
    grid = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    cosine = (np.cos(angle) / zoom).astype(np.float32)[:, None, None]
    sine = (np.sin(angle) / zoom).astype(np.float32)[:, None, None]
    x = cosine * grid + sine * grid[:, None] + np.float32((side - 1) / 2)
    return _sample_bilinear(images, cosine * grid[:, None] - sine * grid + np.float32((side - 1) / 2), x)


def _shift(images: Images, length_px: float, generator: np.random.Generator) -> Images:
    """Shift each face by whole pixels in a random direction, with repeated border."""
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

    def apply(images: Images, height: float, _: np.random.Generator) -> Images:
        count = len(images)
        return _fill(images, np.full(count, centre_y), np.full(count, 0.5), height, min(aspect * height, 1.0))

    return apply


def _cover_anywhere(images: Images, side: float, generator: np.random.Generator) -> Images:
    centres = generator.random((len(images), 2))
    return _fill(images, centres[:, 0], centres[:, 1], side, side)


def _fill(images: Images, centre_y: Floats, centre_x: Floats, height: float, width: float) -> Images:
    """Fill a rectangle (fractions of the side) with each face's mean pixel, moved inside the image if needed."""
    side = images.shape[1]
    positions = np.arange(side)

    def inside(centre: Floats, length: float) -> npt.NDArray[np.bool_]:
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


def _sample_bilinear(
    images: npt.NDArray[np.uint8], rows: npt.NDArray[np.float32], columns: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
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
