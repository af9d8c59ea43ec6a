"""What a drawn face is like: person, pose, light, and an expression as a pattern of facial action units.

Action units (AU1 inner brow raiser ... AU26 jaw drop) are those of Ekman & Friesen, Facial Action Coding System, 1978.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mien.labels import EXPRESSIONS

Array = npt.NDArray[np.floating[Any]]  # float32 when running; mypy takes 1 - float32 for float64
Traits = dict[str, Array]  # one (faces, 1) column for each trait

# Two patterns of action units (AU number: strength at full intensity) an expression; a face has one or the other.
_PATTERNS: dict[str, tuple[dict[int, float], dict[int, float]]] = {
    "angry": (
        {4: 1.0, 5: 0.3, 7: 0.7, 23: 1.0, 17: 0.4},
        {4: 1.0, 7: 0.6, 9: 0.3, 10: 0.8, 25: 0.9, 20: 0.3, 26: 0.25},
    ),
    "disgust": (
        {4: 0.5, 7: 0.7, 9: 1.0, 10: 0.9, 15: 0.6, 17: 0.5},
        {4: 0.6, 6: 0.3, 7: 0.6, 9: 1.0, 10: 1.0, 25: 0.5},
    ),
    "fear": (
        {1: 1.0, 2: 0.4, 4: 0.5, 5: 1.0, 20: 1.0, 25: 0.7},
        {1: 1.0, 2: 0.5, 4: 0.4, 5: 1.0, 20: 0.7, 25: 0.6, 26: 0.6},
    ),
    "happy": ({6: 0.8, 12: 1.0, 25: 0.9}, {6: 0.5, 12: 1.0}),
    "sad": ({1: 1.0, 4: 0.6, 15: 1.0, 17: 0.6}, {1: 0.8, 4: 0.5, 7: 0.7, 15: 0.9, 43: 0.6, 25: 0.2}),
    "surprise": ({1: 1.0, 2: 1.0, 5: 0.9, 25: 0.4, 26: 1.0}, {1: 0.9, 2: 1.0, 5: 0.7, 25: 0.3, 26: 0.55}),
    "neutral": ({}, {}),
}
_ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 17, 20, 23, 25, 26, 43)
_STRENGTHS: Array = np.array(
    [[[pattern.get(unit, 0.0) for unit in _ACTION_UNITS] for pattern in _PATTERNS[name]] for name in EXPRESSIONS],
    dtype=np.float32,
)
# These two set how hard the faces are: 51.9% for logistic regression and 84.4% for a small CNN; with 0.25 and 0.25 the
# CNN reached 91%.
_LOWEST_INTENSITY = np.float32(0.12)
_STRAY = np.float32(0.4)  # the most of an action unit that a face shows for no reason

# Traits of the person, the pose and the picture: (lowest, highest) of a uniform draw; lengths in px of a 48 px image.
_UNIFORM: dict[str, tuple[float, float]] = {
    "rotation_radians": (-0.22, 0.22), "shift_x_px": (-2.5, 2.5), "shift_y_px": (-2.5, 2.5), "scale": (0.98, 1.22),
    "yaw_px": (-3.0, 3.0), "pitch_px": (-1.2, 1.2), "gaze_x_px": (-0.9, 0.9), "gaze_y_px": (-0.4, 0.4),
    "head_width_px": (17.0, 20.5), "head_height_px": (22.5, 26.0), "jaw": (0.0, 0.22), "age": (0.0, 1.0),
    "eye_x_px": (7.6, 9.2), "eye_length_px": (3.8, 5.0), "eye_open_px": (1.3, 2.1), "eye_slant": (-0.12, 0.08),
    "brow_lift_px": (-0.8, 0.8), "brow_thick_px": (0.5, 1.4), "brow_tilt_px": (-0.7, 0.7), "brow_arch_px": (0.2, 1.6),
    "nose_length_px": (-1.0, 1.0), "nose_width_px": (2.2, 3.6),
    "mouth_y_px": (11.2, 13.2), "mouth_width_px": (5.6, 7.6),
    "lip_px": (0.7, 2.0), "mouth_corner_px": (-0.7, 0.7), "mouth_skew_px": (-0.7, 0.7), "lip_shade": (0.55, 0.9),
    "skin": (0.30, 0.85), "hair": (0.05, 0.6), "hairline_px": (-21.0, -15.0), "hairline_slant": (-0.15, 0.15),
    "hair_width_px": (0.5, 6.0), "hair_end_px": (-8.0, 28.0), "iris": (0.05, 0.35),
    "background": (0.05, 0.9), "background_slope": (-0.3, 0.3),
    "light_x": (-0.4, 0.4), "light_y": (-0.25, 0.25), "brightness": (-0.10, 0.12), "contrast": (0.7, 1.25),
    "blur": (0.02, 0.22), "noise": (0.004, 0.035), "beard": (-2.0, 0.45), "noise_start": (0.0, 1.0),
    "intensity": (0.0, 1.0), "pattern": (0.0, 1.0), "speaking": (-2.2, 0.8), "occlusion": (0.0, 1.0),
    "hand_x_px": (-14.0, 14.0), "hand_y_px": (5.0, 17.0), "hand_lean": (-1.0, 1.0),
}  # fmt: skip


def draw_traits(labels: npt.NDArray[np.int64], generator: np.random.Generator) -> Traits:
    """Draw the traits and the action units of one chunk of faces; the numbers drawn do not depend on chunking."""
    first = len(_UNIFORM)
    uniform = generator.random((len(labels), first + 2 * len(_ACTION_UNITS))).astype(np.float32)
    face: Traits = {
        name: np.float32(low) + np.float32(high - low) * uniform[:, i : i + 1]
        for i, (name, (low, high)) in enumerate(_UNIFORM.items())
    }
    # Most faces show half to full intensity; the lower tail is what mixes the classes.
    draw = face["intensity"]
    intensity = _LOWEST_INTENSITY + (1 - _LOWEST_INTENSITY) * draw * (2 - draw)
    strength = _STRENGTHS[labels, (face["pattern"][:, 0] < 0.5).astype(np.int64)]
    for i, unit in enumerate(_ACTION_UNITS):
        vary, stray = uniform[:, first + 2 * i, None], uniform[:, first + 2 * i + 1, None]
        stray = stray * stray * stray  # mostly slight: a quarter of the most on average
        face[f"AU{unit}"] = strength[:, i, None] * intensity * (0.7 + 0.6 * vary) + _STRAY * stray
    face["AU25"] = face["AU25"] + np.maximum(face["speaking"], 0) * (1 - face["AU23"])
    face["AU43"] = np.minimum(face["AU43"], 0.85)
    return face
