"""Drawn faces with seven expressions: test and demo data that needs no download.

An expression is a pattern of action units times a random intensity: faint fear looks like surprise, faint sadness like
neutral. Overlap, pose, light and noise make the task hard for a small CNN. Accuracy on it says nothing about people.

Random numbers are drawn face by face, so the batch size has no effect. Traits describe the person, pose, light, and an
expression as facial action units (AU1 inner brow raiser ... AU26 jaw drop; Ekman & Friesen, Facial Action Coding
System, 1978). Only +, -, *, /, sqrt, min and max are used: IEEE 754 fixes their results, so the bytes are the same on
every machine.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.base.arrays import Array, Floats, Ints, Pixels, Reals
from mien.base.errors import DataError
from mien.base.labels import EXPRESSIONS
from mien.base.preprocess import face_shape
from mien.base.progress import slices, track
from mien.data.dataset import SPLITS, Dataset

SIZE_PX = 48
NOISE_BANK = 1 << 18

Traits = dict[str, Reals]  # one (faces, 1) column for each trait

# The action units of each expression (AU number: strength at full intensity).
_PATTERNS: dict[str, dict[int, float]] = {
    "angry": {4: 1.0, 6: 0.5, 23: 1.0, 25: 0.3},
    "disgust": {4: 0.6, 6: 0.4, 9: 1.0, 15: 0.4, 25: 0.4},
    "fear": {1: 1.0, 2: 0.4, 4: 0.4, 5: 1.0, 20: 1.0, 25: 0.7, 26: 0.2},
    "happy": {6: 0.7, 12: 1.0, 25: 0.6},
    "sad": {1: 0.9, 4: 0.5, 15: 1.0},
    "surprise": {1: 1.0, 2: 1.0, 5: 0.8, 25: 0.4, 26: 0.8},
    "neutral": {},
}
_ACTION_UNITS = (1, 2, 4, 5, 6, 9, 12, 15, 20, 23, 25, 26)
_STRENGTHS: Array = np.array(
    [[_PATTERNS[name].get(unit, 0.0) for unit in _ACTION_UNITS] for name in EXPRESSIONS], dtype=np.float32
)
# These two settings make the task hard: with them `mien demo` is right on 76.9% of its test faces.
_LOWEST_INTENSITY = np.float32(0.12)
_STRAY = np.float32(0.4)  # largest strength of an action unit that is not part of the expression

# Traits of person, pose and image: (lowest, highest) of a uniform distribution; lengths in px of a 48 px image.
_UNIFORM: dict[str, tuple[float, float]] = {
    "rotation_radians": (-0.22, 0.22), "shift_x_px": (-2.5, 2.5), "shift_y_px": (-2.5, 2.5), "scale": (0.98, 1.22),
    "yaw_px": (-3.0, 3.0), "pitch_px": (-1.2, 1.2), "head_width_px": (16.0, 20.5), "head_height_px": (22.5, 26.0),
    "jaw": (0.0, 0.22), "eye_x_px": (7.2, 9.6), "eye_length_px": (3.8, 5.0), "eye_open_px": (1.3, 2.1),
    "eye_slant": (-0.12, 0.08), "brow_tilt_px": (-0.7, 0.7), "brow_arch_px": (0.2, 1.6),
    "brow_lift_px": (-1.2, 1.2), "brow_thick_px": (0.3, 1.7), "intensity": (0.0, 1.0),
    "nose_y_px": (3.0, 5.8), "nose_width_px": (2.0, 4.0), "mouth_y_px": (10.8, 13.6), "mouth_width_px": (5.0, 8.2),
    "lip_px": (0.7, 2.0), "mouth_corner_px": (-0.7, 0.7), "skin": (0.30, 0.85), "hair": (0.05, 0.6),
    "hairline_px": (-22.0, -14.0), "hair_width_px": (0.0, 7.0), "hair_end_px": (-8.0, 28.0),
    "background": (0.05, 0.9), "light_x": (-0.4, 0.4), "light_y": (-0.25, 0.25), "brightness": (-0.10, 0.12),
    "contrast": (0.7, 1.25), "blur": (0.02, 0.22), "noise": (0.004, 0.035), "noise_start": (0.0, 1.0),
    "background_slope": (-0.3, 0.3), "beard": (-2.0, 0.45), "gaze_x_px": (-0.9, 0.9), "iris": (0.05, 0.35),
    "lip_shade": (0.55, 0.9), "hairline_slant": (-0.15, 0.15), "mouth_skew_px": (-0.7, 0.7),
}  # fmt: skip


_FER2013_TRAINING_COUNTS = (3995, 436, 4097, 7215, 4830, 3171, 4965)
EXPRESSION_PROPORTIONS: tuple[float, ...] = tuple(n / sum(_FER2013_TRAINING_COUNTS) for n in _FER2013_TRAINING_COUNTS)

_CHUNK_FACES = 32  # temporaries of 32 * 48 * 48 float32 (295 kB) fit into the L2 cache
MIN_PX, MAX_PX = 16, 448
_TINTS = np.array([[0.1, 0.6], [-0.15, 0.15], [-0.6, -0.1]], dtype=np.float32)  # (lowest, highest) of each channel


def check_seed(seed: int) -> None:
    """Raise an error for a negative seed. Raises :class:`DataError` (``options``)."""
    if seed < 0:
        raise DataError(f"A seed must be 0 or more; found {seed}.", code="options")


def _generator(seed: int, stream: int) -> np.random.Generator:
    check_seed(seed)
    return np.random.Generator(np.random.PCG64([seed, stream]))


def render_faces(labels: npt.NDArray[np.integer[Any]], seed: int, size_px: int = SIZE_PX, channels: int = 1) -> Pixels:
    """Draw one face for each label, 0..6 in the order of :data:`mien.base.labels.EXPRESSIONS`: uint8 (N, S, S[, 3]).

    Face i depends only on the seed, i, ``labels[i]``, size and channels. Raises DataError for impossible ones.
    """
    if not MIN_PX <= size_px <= MAX_PX or channels not in {1, 3}:
        found = f"{size_px} and {channels}"
        raise DataError(f"Drawn faces have {MIN_PX}..{MAX_PX} px, 1 or 3 channels; found {found}.", code="image-size")
    generator, tints = _generator(seed, 1), _generator(seed, 3)
    bank = _generator(0, 2).standard_normal(NOISE_BANK, dtype=np.float32)
    images = np.empty((len(labels), *face_shape(size_px, channels)), dtype=np.uint8)
    for chunk in slices(len(labels), _CHUNK_FACES):
        face = draw_traits(labels[chunk].astype(np.int64), generator)
        tint = _TINTS[:, 0] + tints.random((len(labels[chunk]), 3)).astype(np.float32) * (_TINTS[:, 1] - _TINTS[:, 0])
        images[chunk] = draw_faces(face, bank, size_px, tint if channels == 3 else None)
    return images


def _shares(count: int, proportions: Floats) -> Ints:
    """Divide ``count`` in given proportions (largest remainder method); at a tie, the earlier part gets more."""
    exact = count * proportions / proportions.sum()
    shares: Ints = np.floor(exact).astype(np.int64)
    shares[np.argsort(shares - exact, kind="stable")[: count - shares.sum()]] += 1
    return shares


def draw_labels(count: int, seed: int) -> Ints:
    """Draw labels, int64 (count,), in FER2013's proportions, one per class or more. Raises DataError."""
    if count < len(EXPRESSIONS):
        words = f"Synthetic faces need a count of {len(EXPRESSIONS)} or more, one per class; found {count}."
        raise DataError(words, code="options")
    shares = _shares(count, np.array(EXPRESSION_PROPORTIONS))
    while (shares == 0).any():  # a class without a face gets one from the largest class
        shares[np.argmax(shares)] -= 1
        shares[np.argmin(shares)] += 1
    labels = np.repeat(np.arange(len(EXPRESSIONS), dtype=np.int64), shares)
    _generator(seed, 0).shuffle(labels)
    return labels


def synthetic_faces(count: int = 10_000, seed: int = 0, size_px: int = SIZE_PX, channels: int = 1) -> Dataset:
    """Return a Dataset of drawn faces in FER2013's proportions, split 80/10/10 within each class by ``seed``."""
    labels = draw_labels(count, seed)
    split = np.empty(count, dtype="<U10")
    for label in range(len(EXPRESSIONS)):
        members = np.flatnonzero(labels == label)
        split[members] = np.repeat(SPLITS, _shares(len(members), np.array([0.8, 0.1, 0.1])))
    return Dataset(
        images=render_faces(labels, seed, size_px, channels),
        labels=labels,
        classes=EXPRESSIONS,
        split=split,
        source=np.array([f"synthetic seed {seed} face {i}" for i in range(count)]),
        rows=np.arange(count, dtype=np.int64),
    )


def write_class_folders(dataset: Dataset, folder: Path) -> None:
    """Write ``folder/SPLIT/CLASS/NUMBER.png``, whole or not at all. Raises DataError if it exists (``file-exists``)."""
    if folder.exists():
        raise DataError(f"{folder} already exists. Choose another folder.", code="file-exists")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        whole = Path(temporary) / folder.name
        for index in track(range(len(dataset)), len(dataset), f"writing {folder}", "images"):
            place = whole / str(dataset.split[index]) / dataset.classes[dataset.labels[index]]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(dataset.images[index]).save(place / f"{index:06}.png")
        whole.rename(folder)


def draw_traits(labels: Ints, generator: np.random.Generator) -> Traits:
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
    for i, unit in enumerate(_ACTION_UNITS):
        vary, stray = uniform[:, first + 2 * i, None], uniform[:, first + 2 * i + 1, None]
        stray = stray * stray * stray  # most are small: a quarter of the maximum on average
        face[f"AU{unit}"] = _STRENGTHS[labels, i, None] * intensity * (0.7 + 0.6 * vary) + _STRAY * stray
    return face


def draw_faces(face: Traits, bank: Reals, side: int = SIZE_PX, tint: Reals | None = None) -> Pixels:
    """Draw F faces: uint8 (F, S, S), or (F, S, S, 3) with a tint.

    ``face`` has the traits, lengths in px of a 48 px image; ``bank`` is normal noise, float32 (NOISE_BANK,); ``tint``,
    float32 (F, 3), -1..1, is added to red, green and blue of the middle tones.
    """
    x, y = _coordinates(face, side)
    canvas = face["background"] + face["background_slope"] * np.float32(1 / 24) * (x + y)
    _draw_head(face, canvas, x, y)
    # Turning the head moves the parts in front of its axis, most of all the middle of the face.
    x -= face["yaw_px"] * (1 - x * x * np.float32(1 / 700))
    y -= face["pitch_px"]
    _draw_eyes(face, canvas, x, y)
    _draw_nose(face, canvas, x, y)
    _draw_mouth(face, canvas, x, y)
    return _finish(face, canvas, bank, side, tint)


def _cover(inside_px: Reals) -> Reals:
    """Return the covered fraction of each pixel, from the signed distance to the shape's edge in px."""
    return np.asarray(np.clip(inside_px + np.float32(0.5), 0, 1))


def _blob(x: Reals, y: Reals, width: Reals | float, height: float) -> Reals:
    """Return a soft spot: 1 at its centre, falling to 0 at distance ``width`` and ``height`` px."""
    across, down = x / width, y * np.float32(1 / height)
    inside: Array = np.maximum(1 - across * across - down * down, 0)
    return inside * inside


def _paint(canvas: Reals, shade: Reals | float, alpha: Reals) -> None:
    canvas += (shade - canvas) * alpha


def _coordinates(face: Traits, side: int) -> tuple[Reals, Reals]:
    """Return each pixel's face coordinates (x to the viewer's right, y down, px, origin between eyes and nose)."""
    angle, scale = face["rotation_radians"], face["scale"]
    square = angle * angle
    sine = angle * (1 - square * np.float32(1 / 6)) / scale  # series, not sin(): exact to 1e-5, same on all machines
    cosine = (1 - square / 2 + square * square * np.float32(1 / 24)) / scale
    grid = np.arange(side, dtype=np.float32)[None, :] - np.float32((side - 1) / 2)
    grid *= np.float32(SIZE_PX / side)
    column, row = grid - face["shift_x_px"], grid - face["shift_y_px"]
    x = (cosine * column)[:, None, :] + (sine * row)[:, :, None]
    return x.reshape(len(angle), -1), ((cosine * row)[:, :, None] - (sine * column)[:, None, :]).reshape(len(angle), -1)


def _draw_head(face: Traits, canvas: Reals, x: Reals, y: Reals) -> None:
    width, height, low = face["head_width_px"], face["head_height_px"], np.maximum(y, 0)
    down = (y - low * (2.0 * face["AU26"] / height)) / height  # the jaw drops 2 px, the forehead does not move
    across = x * (1 + low * face["jaw"] / height) / width
    outer = x / (width + face["hair_width_px"])
    hair = _cover((1 - outer * outer - down * down * np.float32(0.85)) * (width / 2))
    _paint(canvas, face["hair"], hair * np.clip((face["hair_end_px"] - y) * 0.15, 0, 1))
    radius = across * across + down * down  # squared distance: 1 on the outline
    head = _cover((1 - radius) * (width / 2))
    _paint(canvas, face["skin"] * (1 - 0.22 * radius * radius + face["light_x"] * np.float32(1 / 24) * x), head)
    _paint(canvas, 0, np.clip((y - 9.0 - 0.35 * np.abs(x)) * 0.3, 0, 1) * np.maximum(face["beard"], 0) * head)
    hairline = face["hairline_px"] + face["hairline_slant"] * x + np.float32(0.012) * x * x
    _paint(canvas, face["hair"], _cover((hairline - y) * 0.7) * head)


def _draw_eyes(face: Traits, canvas: Reals, x: Reals, y: Reals) -> None:
    side = np.abs(x)
    across = side - face["eye_x_px"]
    middle = y + 5.0 - across * face["eye_slant"]
    _paint(canvas, 0, 0.22 * _blob(across, middle + 2.2, 8.0, 5.0))
    open_up = np.maximum(face["eye_open_px"] + 1.5 * face["AU5"] - 0.6 * face["AU6"] - 0.4 * face["AU9"], 0.35)
    open_low = np.maximum(face["eye_open_px"] * 0.75 + 0.35 * face["AU5"] - face["AU6"] - 0.3 * face["AU9"], 0.2)
    arch = across / face["eye_length_px"]
    arch = 1 - arch * arch
    above, below = middle + open_up * arch, open_low * arch - middle  # px from upper and lower lid into the eye
    ends = np.clip(arch * 4, 0, 1)
    eye = _cover(np.minimum(above, below)) * ends
    _paint(canvas, 0.35 + 0.65 * face["skin"], eye * 0.9)
    gaze = across - np.where(x > 0, face["gaze_x_px"], -face["gaze_x_px"])
    _paint(canvas, face["iris"] * face["skin"], eye * _cover(2.05 - np.sqrt(gaze * gaze + middle * middle)))
    _paint(canvas, 0, np.clip(1.25 - np.abs(above), 0, 0.75) * ends)
    _paint(canvas, 0, np.clip(0.9 - np.abs(below), 0, 0.35) * ends)
    # Brows: a parabola over -1 (inner end) .. 1 (outer end).
    along = (side - 8.8 + 0.9 * face["AU4"]) * np.float32(1 / 6)
    inner = -3.2 * face["AU1"] + 2.6 * face["AU4"] + 0.8 * face["AU9"] + face["brow_tilt_px"]
    outer = -2.8 * face["AU2"] + 0.9 * face["AU4"] + 0.4 * face["AU1"] - face["brow_tilt_px"] + 0.4
    centre = (inner + outer) / 2 - 0.4 * (face["AU1"] + face["AU2"]) - face["brow_lift_px"] - face["brow_arch_px"]
    line = centre - 10.6 + along * ((outer - inner) / 2 + along * face["brow_arch_px"])
    thick = (1 - along * along) * (face["brow_thick_px"] + 0.55)
    _paint(canvas, face["hair"] * 0.8 * face["skin"], np.clip(thick - np.abs(line - y), 0, 0.85))


def _draw_nose(face: Traits, canvas: Reals, x: Reals, y: Reals) -> None:
    side, width = np.abs(x), face["nose_width_px"] + 0.6 * face["AU9"]
    down = y - face["nose_y_px"] + 1.2 * face["AU9"]
    _paint(canvas, 0, 0.2 * _blob(side - width, down + 1.0, 2.2, 3.2))
    _paint(canvas, 0, 0.75 * _blob(side - width * 0.62, down - 0.6, 1.7, 1.3))
    wrinkle = np.clip(1 - np.abs(y + 2.9 - 0.5 * side), 0, 1) * np.clip(3.8 - side, 0, 1)
    _paint(canvas, 0, wrinkle * 0.55 * np.minimum(face["AU9"], 1.2))
    fold = np.abs(side - width - 2.2 - 0.55 * down - 0.6 * face["AU12"])
    fold = np.clip(1.3 - fold, 0, 1) * np.clip(4.6 - np.abs(down - 2.8), 0, 1)
    _paint(canvas, 0, fold * np.minimum(0.1 + 0.32 * face["AU12"] + 0.45 * face["AU9"], 0.6))


def _draw_mouth(face: Traits, canvas: Reals, x: Reals, y: Reals) -> None:
    smile, part, jaw, raised = face["AU12"], face["AU25"], face["AU26"], face["AU9"]
    half = face["mouth_width_px"] + 2.4 * smile + 1.8 * face["AU20"] - 0.7 * face["AU23"] - 1.7 * jaw
    height = face["mouth_y_px"] + 0.4 * jaw
    corner = height + face["mouth_corner_px"] - 3.0 * smile + 2.6 * face["AU15"] + 0.9 * face["AU20"] + jaw
    upper = height - 0.6 * part - 1.2 * raised + 0.4 * smile - 0.6 * face["AU15"] - 0.5 * jaw
    lower = height + 1.7 * part + 7.0 * jaw + 1.8 * smile * part + 0.4 * smile - 0.4 * face["AU15"]
    lower = np.maximum(lower, upper + 0.1)
    along = x / half
    y = y - face["mouth_skew_px"] * along  # one corner higher than the other
    along *= along  # 0 in the middle, 1 in the corners
    inside_upper = y - (upper + (corner - upper) * along)
    inside_lower = lower + (corner - lower) * along - y
    ends = np.clip((1 - along) * (half / 2) + 0.3, 0, 1)
    taper = np.maximum(1 - along, 0) * face["lip_px"] * np.maximum(1 - 0.65 * face["AU23"] - 0.25 * smile, 0.2)
    lips = np.minimum(inside_upper + 0.9 * taper, inside_lower + 1.3 * taper)
    _paint(canvas, face["skin"] * face["lip_shade"] * 0.9, _cover(lips) * ends * 0.8)
    _paint(canvas, 0, np.clip(1.15 - np.abs(inside_upper), 0, 0.65) * ends)
    opening = _cover(np.minimum(inside_upper, inside_lower) - 0.2) * ends
    _paint(canvas, 0.13 * face["skin"], opening)
    teeth = opening * _cover(2.0 + 0.3 * smile - np.abs(inside_upper - 0.4))
    _paint(canvas, 0.3 + 0.65 * face["skin"], teeth * np.clip(0.2 + smile + raised + 0.5 * face["AU20"], 0, 0.95))


def _finish(face: Traits, canvas: Reals, bank: Reals, side: int, tint: Reals | None) -> Pixels:
    """Apply light, blur, noise, contrast and colour to F drawings, float32 (F, side * side). See :func:`draw_faces`."""
    image = canvas.reshape(len(canvas), side, side)
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    image *= (1 + face["light_x"] * 0.5 * ramp)[:, None, :]
    image *= (1 + face["light_y"] * ramp)[:, :, None]
    blur = face["blur"][:, :, None]
    for _ in range(2):
        image[:, :, 1:-1] += (image[:, :, :-2] + image[:, :, 2:] - 2 * image[:, :, 1:-1]) * blur
        image[:, 1:-1] += (image[:, :-2] + image[:, 2:] - 2 * image[:, 1:-1]) * blur
    starts = (face["noise_start"][:, 0] * (NOISE_BANK - side**2)).astype(np.int64)
    canvas += np.lib.stride_tricks.sliding_window_view(bank, side**2)[starts] * face["noise"]
    canvas = np.clip((canvas - 0.45) * face["contrast"] + 0.47 + face["brightness"], 0, 1)
    if tint is not None:  # black and white do not change
        canvas = canvas[:, :, None] + tint[:, None, :] * (canvas * (1 - canvas))[:, :, None]
    drawn = np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8)
    return drawn.reshape(len(canvas), side, side, *(() if tint is None else (3,)))
