"""Drawing of faces: layers of smooth shapes, many faces at a time.

Traits describe the person, pose, light, and an expression as facial action units (AU1 inner brow raiser ... AU26 jaw
drop; Ekman & Friesen, Facial Action Coding System, 1978). Only +, -, *, /, sqrt, rint, min and max are used: IEEE 754
fixes their results, so the bytes are the same on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.labels import EXPRESSIONS

SIZE_PX = 48
NOISE_BANK = 1 << 18
_GLASSES, _HANDS = 0.10, 0.05  # fractions of the faces
_EYE_ROWS, _NOSE_ROWS, _MOUTH_ROWS, _NECK_ROWS = (2, 31), (12, 42), (22, 48), (32, 48)  # of 48: reach of each part

Array = npt.NDArray[np.floating[Any]]  # float32 when running; mypy takes 1 - float32 for float64
Traits = dict[str, Array]  # one (faces, 1) column for each trait

# Two patterns of action units (AU number: strength at full intensity) per expression; each face has one of them.
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
# These two settings make the task hard: logistic regression reaches 51.9%, a small CNN 84.4%. With 0.25 and 0.25 the
# CNN reached 91%.
_LOWEST_INTENSITY = np.float32(0.12)
_STRAY = np.float32(0.4)  # largest strength of an action unit that is not part of the expression

# Traits of person, pose and image: (lowest, highest) of a uniform distribution; lengths in px of a 48 px image.
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
    """Draw traits and action units of one chunk of faces; the numbers do not depend on the chunk size."""
    first = len(_UNIFORM)
    uniform = generator.random((len(labels), first + 2 * len(_ACTION_UNITS))).astype(np.float32)
    face: Traits = {
        name: np.float32(low) + np.float32(high - low) * uniform[:, i : i + 1]
        for i, (name, (low, high)) in enumerate(_UNIFORM.items())
    }
    # Most faces have half to full intensity; faint ones make the classes overlap.
    draw = face["intensity"]
    intensity = _LOWEST_INTENSITY + (1 - _LOWEST_INTENSITY) * draw * (2 - draw)
    strength = _STRENGTHS[labels, (face["pattern"][:, 0] < 0.5).astype(np.int64)]
    for i, unit in enumerate(_ACTION_UNITS):
        vary, stray = uniform[:, first + 2 * i, None], uniform[:, first + 2 * i + 1, None]
        stray = stray * stray * stray  # most are small: a quarter of the maximum on average
        face[f"AU{unit}"] = strength[:, i, None] * intensity * (0.7 + 0.6 * vary) + _STRAY * stray
    face["AU25"] = face["AU25"] + np.maximum(face["speaking"], 0) * (1 - face["AU23"])
    face["AU43"] = np.minimum(face["AU43"], 0.85)
    return face


def draw_faces(face: Traits, bank: Array, side: int = SIZE_PX, tint: Array | None = None) -> npt.NDArray[np.uint8]:
    """Draw F faces.

    Args:
        face: traits of each face; lengths are in px of a 48 px image for every ``side``.
        bank: float32 (NOISE_BANK,), normal noise; each face uses a section of it.
        side: side S in pixels; S * S is at most ``NOISE_BANK``.
        tint: float32 (F, 3), -1..1, added to red, green and blue of the middle tones; None draws in grey.

    Returns:
        uint8 (F, S, S), or (F, S, S, 3) with a tint.
    """
    x, y = _coordinates(face, side)
    canvas, head = _draw_head(face, x, y, side)
    # Turning the head moves the parts in front of its axis, most of all the middle of the face.
    x -= face["yaw_px"] * (1 - x * x * np.float32(1 / 700))
    y -= face["pitch_px"]
    for reached, draw in ((_EYE_ROWS, _draw_eyes), (_NOSE_ROWS, _draw_nose), (_MOUTH_ROWS, _draw_mouth)):
        rows = _pixels_of(reached, side)
        draw(face, canvas[:, rows], x[:, rows], y[:, rows])
    _draw_over(face, canvas, head, x, y)
    _draw_occlusion(face, canvas, x, y)
    return _finish(face, canvas, bank, side, tint)


def _pixels_of(rows: tuple[int, int], side: int) -> slice:
    """Return the pixels of some of 48 rows, scaled to an image of side ``side``."""
    first, last = rows
    return slice(first * side // SIZE_PX * side, -(-last * side // SIZE_PX) * side)


def _cover(inside_px: Array) -> Array:
    """Return the covered fraction of each pixel, from the signed distance to the shape's edge in px (in place)."""
    inside_px += np.float32(0.5)
    return np.clip(inside_px, 0, 1, out=inside_px)


def _blob(x: Array, y: Array, x_px: Array | float, y_px: Array | float, width: Array | float, height: float) -> Array:
    """Return a soft spot: 1 at its centre, falling to 0 at distance ``width`` and ``height`` px."""
    across, down = (x - x_px) / width, (y - y_px) * np.float32(1 / height)
    across *= across
    down *= down
    across += down
    np.maximum(np.subtract(1, across, out=across), 0, out=across)
    across *= across
    return across


def _paint(canvas: Array, shade: Array | float, alpha: Array) -> None:
    """Blend `shade` over the canvas in place."""
    difference = shade - canvas
    difference *= alpha
    canvas += difference


def _darken(canvas: Array, alpha: Array) -> None:
    """Multiply the canvas by 1 - alpha in place."""
    alpha *= canvas
    canvas -= alpha


def _coordinates(face: Traits, side: int) -> tuple[Array, Array]:
    """Return each pixel's face coordinates (x to the viewer's right, y down, px, origin between eyes and nose)."""
    angle, scale = face["rotation_radians"], face["scale"]
    square = angle * angle
    sine = angle * (1 - square * np.float32(1 / 6)) / scale  # series, not sin(): exact to 1e-5, same on all machines
    cosine = (1 - square / 2 + square * square * np.float32(1 / 24)) / scale
    grid = np.arange(side, dtype=np.float32)[None, :] - np.float32((side - 1) / 2)
    grid *= np.float32(SIZE_PX / side)
    column, row = grid - face["shift_x_px"], grid - face["shift_y_px"]
    x = (cosine * column)[:, None, :] + (sine * row)[:, :, None]
    y = (cosine * row)[:, :, None] - (sine * column)[:, None, :]
    return x.reshape(len(angle), -1), y.reshape(len(angle), -1)


def _draw_head(face: Traits, x: Array, y: Array, side: int) -> tuple[Array, Array]:
    """Draw background, hair behind the head and the shaded head. Return the canvas and the head's coverage."""
    width, height = face["head_width_px"], face["head_height_px"]
    canvas = face["background"] + face["background_slope"] * np.float32(1 / 24) * (x + y)
    jaw = np.maximum(y, 0)
    down = (y - jaw * (2.0 * face["AU26"] / height)) / height  # the jaw drops 2 px, the forehead does not move
    down *= down
    jaw *= face["jaw"] / height
    jaw += 1
    jaw *= x
    jaw /= width
    jaw *= jaw
    radius = jaw + down  # squared distance: 1 on the outline
    outer = x / (width + face["hair_width_px"])
    outer *= outer
    outer += down * np.float32(0.85)
    _paint(canvas, face["hair"], _cover((1 - outer) * (width / 2)) * np.clip((face["hair_end_px"] - y) * 0.15, 0, 1))
    low = _pixels_of(_NECK_ROWS, side)  # the neck and the shade under the chin
    neck = np.minimum(face["head_width_px"] * 0.55 - np.abs(x[:, low]), y[:, low] - 12.0)
    _paint(canvas[:, low], face["skin"] * 0.6, _cover(neck))
    head = _cover((1 - radius) * (width / 2))
    radius *= radius
    radius *= np.float32(-0.22)
    radius += 1
    radius += (face["light_x"] / 24) * x
    radius *= face["skin"]
    _paint(canvas, radius, head)
    return canvas, head


def _draw_eyes(face: Traits, canvas: Array, x: Array, y: Array) -> None:
    """Draw eyes, lids, brows, forehead and eye wrinkles."""
    side = np.abs(x)
    lower_lift = 0.9 * face["AU6"] + 0.5 * face["AU7"] + 0.3 * face["AU9"]
    open_up = face["eye_open_px"] + 1.5 * face["AU5"] - 0.55 * face["AU7"] - 0.35 * face["AU6"] - 0.4 * face["AU9"]
    open_up = np.maximum(open_up, 0.35) * (1 - face["AU43"])
    open_low = np.maximum(face["eye_open_px"] * 0.75 + 0.35 * face["AU5"] - lower_lift, 0.2)
    across = side - face["eye_x_px"]
    middle = y + 5.0
    middle -= across * face["eye_slant"]
    # Eye socket and, with AU6, the bulge below the eye.
    _darken(canvas, 0.22 * _blob(across, middle, 0.0, -2.2, 8.0, 5.0))
    bulge = _blob(across, middle, 0.0, 3.6 - face["AU6"], 6.0, 1.6)
    _darken(canvas, bulge * (0.08 + 0.3 * face["AU6"] + 0.15 * face["age"]))
    arch = across / face["eye_length_px"]
    arch *= arch
    np.subtract(1, arch, out=arch)
    above = middle + open_up * arch  # px below the upper lid
    below = open_low * arch - middle  # px above the lower lid
    ends = np.clip(arch * 4, 0, 1)
    eye = _cover(np.minimum(above, below)) * ends
    _paint(canvas, 0.35 + 0.65 * face["skin"], eye * 0.9)
    gaze = across - np.where(x > 0, face["gaze_x_px"], -face["gaze_x_px"])
    gaze *= gaze
    height = middle - face["gaze_y_px"]
    height *= height
    gaze += height
    np.sqrt(gaze, out=gaze)
    iris = _cover(2.05 - gaze)
    iris *= eye
    _paint(canvas, face["iris"] * face["skin"], iris)
    np.abs(above, out=above)
    np.abs(below, out=below)
    _darken(canvas, np.clip(1.25 - above, 0, 0.75) * ends)
    _darken(canvas, np.clip(0.9 - below, 0, 0.35) * ends)
    # Brows: a parabola over -1 (inner end) .. 1 (outer end).
    along = side - (8.8 - 0.9 * face["AU4"])
    along *= np.float32(1 / 6.0)
    inner = -3.2 * face["AU1"] + 2.6 * face["AU4"] + 0.8 * face["AU9"] + face["brow_tilt_px"]
    outer = -2.8 * face["AU2"] + 0.9 * face["AU4"] + 0.4 * face["AU1"] - face["brow_tilt_px"] + 0.4
    centre = (inner + outer) / 2 - 0.5 * (face["AU2"] + face["AU1"]) * 0.8
    height = -10.6 - face["brow_lift_px"] + centre - face["brow_arch_px"] + 0.3 * face["AU4"]
    line = along * (face["brow_arch_px"] + 0.3 * face["AU2"])
    line += (outer - inner) / 2
    line *= along
    line += height
    line -= y
    np.abs(line, out=line)
    along *= along
    taper = 1 - along
    taper *= face["brow_thick_px"] + 0.55
    taper -= line
    _paint(canvas, face["hair"] * 0.8 * face["skin"], np.clip(taper, 0, 0.85))
    # Furrows: two upright ones between the brows (AU4), two across the forehead (AU1, AU2), crow's feet (AU6).
    upright = np.clip(1.2 - np.abs(side - 1.7), 0, 1)
    upright *= np.clip(3.4 - np.abs(y + 8.8), 0, 1)
    _darken(canvas, upright * (0.5 * np.minimum(face["AU4"] + 0.5 * face["AU9"], 1) * (0.5 + 0.5 * face["age"])))
    level = np.minimum(np.abs(y + 16.4 - 0.02 * x * x), np.abs(y + 19.2 - 0.02 * x * x))
    raised = np.minimum(face["AU1"] * 0.6 + face["AU2"] * 0.6, 1) * (0.35 + 0.65 * face["age"]) * 0.4
    _darken(canvas, np.clip(1.1 - level, 0, 1) * (np.clip(9.5 - side, 0, 1) * raised))
    feet = np.abs(np.abs(middle) - 0.35 * (across - face["eye_length_px"]))
    feet = np.clip(1 - feet, 0, 1) * np.clip(3 - np.abs(across - face["eye_length_px"] - 2.6), 0, 1)
    _darken(canvas, feet * (0.55 * np.minimum(face["AU6"], 1) * (0.3 + 0.7 * face["age"])))


def _draw_nose(face: Traits, canvas: Array, x: Array, y: Array) -> None:
    """Draw the shaded bridge, nostrils, wrinkles of AU9 and the folds from nose to mouth corners."""
    side = np.abs(x)
    tip = 4.4 + face["nose_length_px"] - 1.2 * face["AU9"] - 0.4 * face["AU10"]
    width = face["nose_width_px"] + 0.6 * face["AU9"] + 0.3 * face["AU12"]
    _darken(canvas, -0.22 * _blob(x, y, 0.0, tip - 3.5, 2.2, 8.0))  # a highlight
    _darken(canvas, 0.2 * _blob(side, y, width, tip - 1.0, 2.2, 3.2))
    _darken(canvas, 0.75 * _blob(side, y, width * 0.62, tip + 0.6, 1.7, 1.3))
    _darken(canvas, 0.28 * _blob(x, y, 0.0, tip + 1.2, width + 0.6, 1.4))
    wrinkle = np.minimum(np.abs(y + 4.2 - 0.5 * side), np.abs(y + 1.6 - 0.5 * side))
    wrinkle = np.clip(1.0 - wrinkle, 0, 1)
    wrinkle *= np.clip(3.8 - side, 0, 1)
    _darken(canvas, wrinkle * (0.55 * np.minimum(face["AU9"], 1.2)))
    strength = 0.05 + 0.12 * face["age"] + 0.32 * face["AU12"] + 0.4 * face["AU10"] + 0.25 * face["AU9"]
    drop = y - (tip - 1.0)
    fold = side - (width + 1.6 + 0.55 * drop + 0.6 * face["AU12"])
    np.abs(fold, out=fold)
    fold = np.clip(1.3 - fold, 0, 1)
    fold *= np.clip(4.6 - np.abs(drop - 3.8), 0, 1)
    _darken(canvas, fold * np.minimum(strength, 0.6))


def _draw_mouth(face: Traits, canvas: Array, x: Array, y: Array) -> None:
    """Draw the lips, the opening with teeth and the chin's shade."""
    lift, part, jaw = face["AU12"], face["AU25"], face["AU26"]
    half = face["mouth_width_px"] + 2.4 * lift - 1.7 * jaw
    half = half + 1.8 * face["AU20"] - 0.7 * face["AU23"] + 0.4 * face["AU15"]
    height = face["mouth_y_px"] - 0.6 * face["AU17"] + 0.4 * jaw
    corner = height + face["mouth_corner_px"] - 3.0 * lift + 2.6 * face["AU15"] + 0.9 * face["AU20"] + 1.0 * jaw
    upper = height - 0.6 * part - 1.5 * face["AU10"] + 0.4 * lift - 0.6 * face["AU15"] - 0.5 * jaw
    lower = height + 1.7 * part + 7.0 * jaw + 1.8 * lift * part - 0.5 * face["AU17"] + 0.4 * lift - 0.4 * face["AU15"]
    lower = np.maximum(lower, upper + 0.1)
    along = x / half
    skewed = y - face["mouth_skew_px"] * along  # asymmetry: one corner higher than the other
    along *= along
    square = np.clip(0.3 * part + 0.9 * jaw + 0.5 * face["AU10"] + 0.4 * face["AU20"], 0, 0.75)
    bend = along * square
    bend += 1 - square
    bend *= along  # 0 in the middle, 1 in the corners
    inside_upper = skewed - (upper + (corner - upper) * bend)
    inside_lower = (lower + (corner - lower) * bend) - skewed
    ends = np.clip((1 - along) * (half / 2) + 0.3, 0, 1)
    thin = np.maximum(1 - 0.65 * face["AU23"] - 0.25 * lift - 0.25 * face["AU20"], 0.2)
    taper = np.maximum(1 - along, 0)
    taper *= face["lip_px"] * thin
    lips = np.minimum(inside_upper + 0.9 * taper, inside_lower + 1.3 * taper)
    _darken(canvas, 0.2 * _blob(x, y, 0.0, lower + 1.3 * face["lip_px"] + 1.6, half * 0.8, 1.8))
    _darken(canvas, (0.1 + 0.35 * face["AU17"]) * _blob(x, y, 0.0, lower + 5.4, 4.5, 1.8))
    _paint(canvas, face["skin"] * face["lip_shade"] * 0.9, _cover(lips) * ends * 0.8)
    seam = np.clip(1.15 - np.abs(inside_upper), 0, 0.65)
    _darken(canvas, seam * ends)
    opening = _cover(np.minimum(inside_upper, inside_lower) - 0.2) * ends
    _paint(canvas, 0.13 * face["skin"], opening)
    teeth = _cover((1.6 + 0.3 * lift + 0.3 * face["AU20"] + 0.3 * face["AU10"]) - np.abs(inside_upper - 0.4))
    teeth *= opening
    _paint(canvas, 0.3 + 0.65 * face["skin"], teeth * np.clip(0.2 + lift + face["AU10"] + 0.5 * face["AU20"], 0, 0.95))
    beside = _blob(np.abs(x), skewed, half + 0.6, corner + 0.8 * face["AU15"], 1.8, 2.0)
    _darken(canvas, (0.15 + 0.25 * lift + 0.3 * face["AU15"]) * beside)


def _draw_over(face: Traits, canvas: Array, head: Array, x: Array, y: Array) -> None:
    """Draw beard, hair, and glasses or a hand on some faces."""
    chin = np.clip((y - 9.0 + np.abs(x) * -0.35) * 0.3, 0, 1)
    _darken(canvas, chin * head * np.maximum(face["beard"], 0))
    edge = face["hairline_px"] + face["hairline_slant"] * x + np.float32(0.012) * x * x
    _paint(canvas, face["hair"], _cover((edge - y) * 0.7) * head)


def _draw_occlusion(face: Traits, canvas: Array, x: Array, y: Array) -> None:
    """Draw glasses on some faces and a hand on a few others."""
    draw = face["occlusion"][:, 0]
    chosen = np.flatnonzero(draw < _GLASSES)
    if len(chosen):
        some = {name: face[name][chosen] for name in ("eye_x_px", "head_width_px", "skin", "age")}
        side, down, picture = np.abs(x[chosen]), y[chosen] + 4.6, canvas[chosen]
        across = side - some["eye_x_px"]
        rim = across * across * np.float32(1 / 36) + down * down * np.float32(1 / 23)
        rim = np.sqrt(rim)
        rim -= 1
        rim *= 5
        _paint(picture, 0.12 * some["skin"], np.clip(1.1 - np.abs(rim), 0, 0.9))
        bridge = np.clip(1.1 - np.abs(down + 0.8), 0, 0.9) * np.clip(some["eye_x_px"] - 5.5 - side, 0, 1)
        temple = np.minimum(across - 5.5, some["head_width_px"] - 1 - side)
        bridge += np.clip(1.1 - np.abs(down + 1.0), 0, 0.9) * np.clip(temple, 0, 1)
        _paint(picture, 0.12 * some["skin"], bridge)
        _paint(picture, 0.95, _cover(-rim) * np.clip(1 - np.abs(across + down - 2.0), 0, 0.4) * some["age"])
        canvas[chosen] = picture
    chosen = np.flatnonzero((draw >= _GLASSES) & (draw < _GLASSES + _HANDS))
    if len(chosen):
        some = {name: face[name][chosen] for name in ("hand_x_px", "hand_y_px", "hand_lean", "skin")}
        picture, down = canvas[chosen], y[chosen] - some["hand_y_px"]
        across = x[chosen] - some["hand_x_px"] - some["hand_lean"] * 0.4 * down
        tips = down - np.float32(0.1) * across * across
        finger = across - 3.4 * np.rint(across * np.float32(1 / 3.4))
        finger *= finger  # 0 on a finger's axis, 2.9 between two fingers
        tips -= finger
        hand = _cover(np.minimum(tips, 6.8 - np.abs(across)))
        _paint(picture, some["skin"] * 1.1 - finger * (0.13 * some["skin"]), hand)
        canvas[chosen] = picture


def _finish(face: Traits, canvas: Array, bank: Array, side: int, tint: Array | None) -> npt.NDArray[np.uint8]:
    """Apply light, blur, noise, contrast and colour to F drawings, float32 (F, side * side). See :func:`draw_faces`."""
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
        middle = canvas * (1 - canvas)  # black and white do not change
        canvas = canvas[:, :, None] + tint[:, None, :] * middle[:, :, None]
        shape = (*shape, 3)
    canvas *= 255
    canvas += 0.5
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8).reshape(shape)
