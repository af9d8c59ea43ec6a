"""A map laid in colour over its face, which stays visible."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError

# Matplotlib's magma (Smith & van der Walt, CC0), every 16th of its colours: perceptually even, for the colour-blind
# too. Between them linearly, which is off by 3 of 255 at most.
_MAGMA_HEX = """
000004 0a0822 1d1146 36106a 50127c 691c81 822681 9c2e7f b63779
cf4170 e65163 f5695c fb8761 fea571 fec387 fde0a2 fcfdbf
"""
_MAGMA = np.array([list(bytes.fromhex(each)) for each in _MAGMA_HEX.split()], dtype=np.float64)

SCALED_BY = 0.99
"""Quantile of the positive values of a map that gets the last colour."""


def colour(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Colours of magma: (...), 0..1 -> RGB float64 (..., 3), 0..255."""
    stops = np.linspace(0, 1, len(_MAGMA))
    return np.stack([np.interp(values, stops, channel) for channel in _MAGMA.T], axis=-1)


def overlay(
    face: npt.NDArray[np.uint8], face_map: npt.NDArray[np.floating[Any]], enlarge: int = 4, strength: float = 0.6
) -> npt.NDArray[np.uint8]:
    """Colour a face by a map. Where the map is 0 or below, the face is as it is.

    The greatest hundredth of the map's positive values share the last colour (Smilkov et al., SmoothGrad, 2017, section
    3.1): scaled by its largest pixel alone, a gradient's map would be hardly visible.

    Args:
        face: uint8 (S, S), in colour (S, S, 3).
        face_map: float (S, S). What spoke against the class (below 0) is not shown.
        enlarge: k, how many pixels a side each pixel becomes; none is made up between them.
        strength: how much of the face the colour covers where the map is largest, 0..1.

    Returns:
        RGB uint8 (S * k, S * k, 3).

    Raises:
        DataError: shapes that differ, or ``enlarge`` below 1.
    """
    if face.shape[2:] not in {(), (3,)} or face.shape[:2] != face_map.shape or enlarge < 1:
        raise DataError(
            f"A face must be (S, S[, 3]) and its map (S, S); found {face.shape} and {face_map.shape}.",
            code="maps-shape",
        )
    share = np.clip(face_map.astype(np.float64) / (full_scale(face_map) or 1.0), 0.0, 1.0)
    return painted(face, share, strength).repeat(enlarge, axis=0).repeat(enlarge, axis=1)


def painted(
    face: npt.NDArray[np.uint8], share: npt.NDArray[np.float64], strength: float = 0.6
) -> npt.NDArray[np.uint8]:
    """Colour pixels uint8 (H, W[, 3]) by a share (H, W), 0..1, of the last colour: RGB uint8 (H, W, 3)."""
    cover = strength * share[:, :, None]
    # The lowest colours of magma are black, which would read as a dark face: begin where it has turned violet.
    pixels_below = face[:, :, None] if face.ndim == 2 else face
    blend = (1 - cover) * pixels_below + cover * colour(0.35 + 0.65 * share)
    pixels: npt.NDArray[np.uint8] = np.rint(blend).astype(np.uint8)
    return pixels


def full_scale(face_map: npt.NDArray[np.floating[Any]]) -> float:
    """The value that gets the last colour in :func:`overlay`; 0.0 where no pixel speaks for the class."""
    positive = face_map[face_map > 0].astype(np.float64)
    return float(np.quantile(positive, SCALED_BY)) if len(positive) else 0.0
