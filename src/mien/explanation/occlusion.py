"""Occlusion: cover parts of the face and measure the drop of the class's probability. Needs no torch."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Predict = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]
"""Function that maps faces uint8 (N, S, S[, 3]) to probabilities (N, C), e.g. ``Predictor.probabilities``."""


def occlusion(
    predict: Predict,
    images: npt.NDArray[np.uint8],
    targets: npt.NDArray[np.int64],
    *,
    patch_px: int | None = None,
    stride_px: int | None = None,
    crop_px: int | None = None,
) -> npt.NDArray[np.float32]:
    """Slide a patch of the face's mean colour over it. A pixel's value is the mean drop while covered.

    Source: Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section 4.2. The default
    patch is a sixth of the crop: 8 px of FER2013's 48, about an eye. It moves by half of its side, at most by its side,
    so that every pixel is covered. Images are uint8 (N, S, S[, 3]), targets int64 (N,), classes to explain. Returns
    float32 (N, S, S), drop of the class's probability, -1..1; 0 outside the crop.
    """
    side = images.shape[1]
    crop = side if crop_px is None else crop_px
    patch_px = max(crop // 6, 1) if patch_px is None else patch_px
    stride_px = max(patch_px // 2, 1) if stride_px is None else stride_px
    maps = np.zeros(images.shape[:3], dtype=np.float32)
    whole = predict(images)
    patches = patch_masks(side, patch_px, stride_px, crop)
    times_covered = np.maximum(patches.sum(axis=0), 1)
    covered = patches if images.ndim == 3 else patches[..., None]
    start = (side - crop) // 2
    for index, (face, target) in enumerate(zip(images, targets, strict=True)):
        fill = np.rint(face[start : start + crop, start : start + crop].mean(axis=(0, 1))).astype(np.uint8)
        drops = whole[index, target] - predict(np.where(covered, fill, face))[:, target]
        maps[index] = np.tensordot(drops, patches, axes=1) / times_covered
    return maps


def patch_masks(side: int, patch_px: int, stride_px: int, crop_px: int) -> npt.NDArray[np.bool_]:
    """Return all positions of the patch in the central crop, bool (P, side, side); the last touches the edge."""
    start = (side - crop_px) // 2
    offsets = sorted({*range(0, crop_px - patch_px, stride_px), crop_px - patch_px})
    covered = np.zeros((len(offsets), side), dtype=np.bool_)
    for row, offset in zip(covered, offsets, strict=True):
        row[start + offset : start + offset + patch_px] = True
    return (covered[:, None, :, None] & covered[None, :, None, :]).reshape(-1, side, side)
