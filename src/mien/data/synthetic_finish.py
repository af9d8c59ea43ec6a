"""What is done to a drawing as a whole: light, blur, noise, contrast and colour.

As in synthetic_drawing.py, only operations whose results IEEE 754 fixes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.data.synthetic_traits import Array, Traits

NOISE_BANK = 1 << 18


def finish(face: Traits, canvas: Array, bank: Array, side: int, tint: Array | None) -> npt.NDArray[np.uint8]:
    """Finish F drawings, float32 (F, side * side), as bytes. See :func:`mien.data.synthetic_drawing.draw_faces`."""
    faces = len(canvas)
    image = canvas.reshape(faces, side, side)
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    image *= (1 + face["light_x"] * 0.5 * ramp)[:, None, :]
    image *= (1 + face["light_y"] * ramp)[:, :, None]
    blur = face["blur"][:, :, None]
    for _ in range(2):
        bent = image[:, :, :-2] + image[:, :, 2:]
        bent -= 2 * image[:, :, 1:-1]
        bent *= blur
        image[:, :, 1:-1] += bent
        bent = image[:, :-2] + image[:, 2:]
        bent -= 2 * image[:, 1:-1]
        bent *= blur
        image[:, 1:-1] += bent
    starts = (face["noise_start"][:, 0] * (NOISE_BANK - side**2)).astype(np.int64)
    noise = np.lib.stride_tricks.sliding_window_view(bank, side**2)[starts]
    noise *= face["noise"]
    canvas += noise
    canvas -= 0.45
    canvas *= face["contrast"]
    canvas += 0.47 + face["brightness"]
    shape: tuple[int, ...] = (faces, side, side)
    if tint is not None:
        np.clip(canvas, 0, 1, out=canvas)
        middle = canvas * (1 - canvas)  # black and white stay as they are
        canvas = canvas[:, :, None] + tint[:, None, :] * middle[:, :, None]
        shape = (*shape, 3)
    canvas *= 255
    canvas += 0.5
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8).reshape(shape)
