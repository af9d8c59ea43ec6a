"""Rendered people for tests: frames of a sequence are near-copies, and all sequences of a person share a face."""

from __future__ import annotations

import numpy as np

from mien.data.synthetic import NOISE_BANK, draw_faces, draw_traits

_OF_A_FRAME = ("noise_start",)
_OF_A_SEQUENCE = ("rotation_radians", "yaw_px", "gaze_x_px", "light_x", "intensity")


def rendered_people(people: int, sequences: int, frames: int, seed: int):
    """Images uint8 (N, 48, 48), labels int64 (N,) and people int64 (N,), N = people * sequences * frames.

    Frames of a sequence differ in noise and by a fraction of a pixel; sequences of a person in pose, light, expression.
    """
    generator = np.random.default_rng(seed)
    shape = (people, sequences, frames)
    labels = np.repeat(generator.integers(0, 7, shape[:2])[:, :, np.newaxis], frames, axis=2)
    traits = draw_traits(labels.ravel(), generator)
    for name, values in traits.items():
        grid = values.reshape(shape)
        if name.startswith("AU") or name in _OF_A_SEQUENCE:
            grid[:] = grid[:, :, :1]
        elif name not in _OF_A_FRAME:
            grid[:] = grid[:, :1, :1]
    for name in ("shift_x_px", "shift_y_px"):
        traits[name] += generator.uniform(-0.2, 0.2, traits[name].shape).astype(np.float32)
    traits["noise"] *= np.float32(0.5)  # or frames of a sequence would not be near-copies
    bank = np.random.default_rng(0).standard_normal(NOISE_BANK, dtype=np.float32)
    parts = ({k: v[at : at + 32] for k, v in traits.items()} for at in range(0, labels.size, 32))
    images = np.concatenate([draw_faces(part, bank) for part in parts])
    return images, labels.ravel().astype(np.int64), np.repeat(np.arange(people), sequences * frames)
