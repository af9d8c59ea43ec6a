"""Drawn faces with seven expressions: test and demo data that needs no download.

An expression is a pattern of action units times a random intensity: faint fear looks like surprise, faint sadness like
neutral. Overlap, pose, light and noise make the task hard for a small CNN. Accuracy on it says nothing about people.

Random numbers are drawn face by face, so the batch size has no effect. synthetic_drawing.py draws the faces.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.base.errors import DataError
from mien.base.labels import EXPRESSIONS
from mien.base.preprocess import face_shape
from mien.base.progress import slices, track
from mien.data.dataset import SPLITS, Dataset
from mien.data.synthetic_drawing import NOISE_BANK, SIZE_PX, draw_faces, draw_traits

_FER2013_TRAINING_COUNTS = (3995, 436, 4097, 7215, 4830, 3171, 4965)
EXPRESSION_PROPORTIONS: tuple[float, ...] = tuple(n / sum(_FER2013_TRAINING_COUNTS) for n in _FER2013_TRAINING_COUNTS)

_CHUNK_FACES = 32  # temporaries of 32 * 48 * 48 float32 (295 kB) fit into the L2 cache
MIN_PX, MAX_PX = 16, 448
_TINTS = np.array([[0.1, 0.6], [-0.15, 0.15], [-0.6, -0.1]], dtype=np.float32)  # (lowest, highest) of each channel


def check_seed(seed: int) -> None:
    """Raise an error for a negative seed. Raises :class:`DataError` (``seed-range``)."""
    if seed < 0:
        raise DataError(f"A seed must be 0 or more; found {seed}.", code="seed-range")


def _generator(seed: int, stream: int) -> np.random.Generator:
    check_seed(seed)
    return np.random.Generator(np.random.PCG64([seed, stream]))


def render_faces(
    labels: npt.NDArray[np.integer[Any]], seed: int, size_px: int = SIZE_PX, channels: int = 1
) -> npt.NDArray[np.uint8]:
    """Draw one face for each label, 0..6 in the order of :data:`mien.base.labels.EXPRESSIONS`.

    Face i depends only on the seed, i, ``labels[i]``, the size S (16..448) and the channels (1 grey, 3 colour). Returns
    uint8 (N, S, S) or (N, S, S, 3), 0 black .. 255 white.

    Raises DataError for a negative seed, or an impossible size or number of channels.
    """
    if not MIN_PX <= size_px <= MAX_PX or channels not in {1, 3}:
        words = f"Drawn faces have {MIN_PX}..{MAX_PX} px and 1 or 3 channels; found {size_px} and {channels}."
        raise DataError(words, code="image-size")
    generator, tints = _generator(seed, 1), _generator(seed, 3)
    bank = _generator(0, 2).standard_normal(NOISE_BANK, dtype=np.float32)
    images = np.empty((len(labels), *face_shape(size_px, channels)), dtype=np.uint8)
    for chunk in slices(len(labels), _CHUNK_FACES):
        face = draw_traits(labels[chunk].astype(np.int64), generator)
        tint = _TINTS[:, 0] + tints.random((len(labels[chunk]), 3)).astype(np.float32) * (_TINTS[:, 1] - _TINTS[:, 0])
        images[chunk] = draw_faces(face, bank, size_px, tint if channels == 3 else None)
    return images


def _shares(count: int, proportions: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Divide ``count`` in given proportions (largest remainder method); at a tie, the earlier part gets more."""
    exact = count * proportions / proportions.sum()
    shares: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    shares[np.argsort(shares - exact, kind="stable")[: count - shares.sum()]] += 1
    return shares


def draw_labels(count: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw labels, int64 (count,), in FER2013's proportions (largest remainder, one per class or more), at random.

    Raises DataError for a ``count`` below 7 or a negative ``seed``.
    """
    if count < len(EXPRESSIONS):
        words = f"Synthetic faces need a count of {len(EXPRESSIONS)} or more, one per class; found {count}."
        raise DataError(words, code="count-too-small")
    shares = _shares(count, np.array(EXPRESSION_PROPORTIONS))
    while (shares == 0).any():  # a class without a face gets one from the largest class
        shares[np.argmax(shares)] -= 1
        shares[np.argmin(shares)] += 1
    labels = np.repeat(np.arange(len(EXPRESSIONS), dtype=np.int64), shares)
    _generator(seed, 0).shuffle(labels)
    return labels


def synthetic_faces(count: int = 10_000, seed: int = 0, size_px: int = SIZE_PX, channels: int = 1) -> Dataset:
    """Return a Dataset of drawn faces in FER2013's proportions, split 80/10/10 within each class.

    Equal count and seed give equal bytes. From 29 faces on, no split is empty. Raises DataError for fewer than 7 faces,
    and as :func:`render_faces`.
    """
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
    """Write the images as ``folder/SPLIT/CLASS/NUMBER.png``, which :func:`mien.load_dataset` can read.

    The folder is created under another name and renamed when it is complete. Raises DataError if it exists
    (``folder-exists``).
    """
    if folder.exists():
        raise DataError(f"{folder} already exists. Choose another folder.", code="folder-exists")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        whole = Path(temporary) / folder.name
        for index in track(range(len(dataset)), len(dataset), f"writing {folder}", "images"):
            place = whole / str(dataset.split[index]) / dataset.classes[dataset.labels[index]]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(dataset.images[index]).save(place / f"{index:06}.png")
        whole.rename(folder)
