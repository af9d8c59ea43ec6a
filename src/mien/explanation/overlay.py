"""Draw a saliency map in colour over its face."""

from typing import Any

import numpy as np
import numpy.typing as npt

# Every 16th colour of matplotlib's magma (Smith & van der Walt, CC0), which is perceptually uniform, also for
# colour-blind people. Linear interpolation between them is off by at most 3 of 255.
_MAGMA_HEX = """
000004 0a0822 1d1146 36106a 50127c 691c81 822681 9c2e7f b63779
cf4170 e65163 f5695c fb8761 fea571 fec387 fde0a2 fcfdbf
"""
_MAGMA = np.array([list(bytes.fromhex(each)) for each in _MAGMA_HEX.split()], dtype=np.float64)

SCALED_BY = 0.99
"""Positive values above this quantile of a map all get the last colour."""


def colour(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Map values (...), 0..1, to magma colours: RGB float64 (..., 3), 0..255."""
    stops = np.linspace(0, 1, len(_MAGMA))
    return np.stack([np.interp(values, stops, channel) for channel in _MAGMA.T], axis=-1)


STRENGTH = 0.6
"""Opacity of the colour where a map is largest, 0..1."""


def overlay(
    face: npt.NDArray[np.uint8], face_map: npt.NDArray[np.floating[Any]], enlarge: int = 4
) -> npt.NDArray[np.uint8]:
    """Colour a face, uint8 (S, S[, 3]), by a map, and enlarge it. Where the map is 0 or less, the face is unchanged.

    The top hundredth of the map's positive values gets the last colour (Smilkov et al., SmoothGrad, 2017, section 3.1).
    Scaled by its largest pixel, a gradient map would hardly be visible. Returns RGB uint8, ``enlarge`` times as large.
    """
    share = np.clip(face_map.astype(np.float64) / (full_scale(face_map) or 1.0), 0.0, 1.0)
    cover = STRENGTH * share[:, :, None]
    # magma's first colours are black, which would look like a dark face, so begin where it is violet.
    blend = (1 - cover) * (face[:, :, None] if face.ndim == 2 else face) + cover * colour(0.35 + 0.65 * share)
    pixels: npt.NDArray[np.uint8] = np.rint(blend).astype(np.uint8)
    return pixels.repeat(enlarge, axis=0).repeat(enlarge, axis=1)


def full_scale(face_map: npt.NDArray[np.floating[Any]]) -> float:
    """Return the value that :func:`overlay` shows in the last colour; 0.0 if no pixel favours the class."""
    positive = face_map[face_map > 0].astype(np.float64)
    return float(np.quantile(positive, SCALED_BY)) if len(positive) else 0.0


FACE_PX = 288
"""Smallest side of each of the two faces in :func:`beside`, in pixels."""


def beside(face: npt.NDArray[np.uint8], face_map: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Draw a face, and beside it the same face under its map, each a multiple of S pixels wide: RGB uint8."""
    enlarge = -(-FACE_PX // len(face))
    return np.concatenate([overlay(face, shown, enlarge) for shown in (np.zeros_like(face_map), face_map)], axis=1)
