"""Drawn faces with seven expressions: test and demo material that needs no download.

A face is a stack of smooth shapes (head, hair, eyes, brows, nose, mouth, wrinkles) whose geometry follows facial
action units (AU1 inner brow raiser ... AU26 jaw drop; Ekman & Friesen, Facial Action Coding System, 1978). An
expression is a pattern of action units times an intensity that differs from face to face: faint fear looks like
surprise, faint sadness like nothing. That overlap, the pose, the light and the occlusions keep the task unsolved by a
linear model and hard, not impossible, for a small CNN. These are drawings: nothing about people follows from them.

The random numbers of each face come from the seed face by face, so the bytes do not depend on how many are rendered at
a time. What a face is like is in synthetic_traits.py, how it is drawn in synthetic_drawing.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.faceset import SPLITS, FaceSet
from mien.data.synthetic_drawing import NOISE_BANK, SIZE_PX, draw_faces
from mien.data.synthetic_traits import draw_traits
from mien.errors import DataError
from mien.labels import EXPRESSIONS

_FER2013_TRAINING_COUNTS = (3995, 436, 4097, 7215, 4830, 3171, 4965)
EXPRESSION_PROPORTIONS: tuple[float, ...] = tuple(n / sum(_FER2013_TRAINING_COUNTS) for n in _FER2013_TRAINING_COUNTS)

_CHUNK_FACES = 32  # temporaries of 32 * 48 * 48 float32 (295 kB) stay in the second-level cache


def _render_chunks(labels: npt.NDArray[np.int64], seed: int, chunk_faces: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Render the faces in order, `chunk_faces` at a time, so that memory does not grow with their number."""
    generator = _generator(seed, 1)
    bank = _generator(0, 2).standard_normal(NOISE_BANK, dtype=np.float32)
    for first in range(0, len(labels), chunk_faces):
        yield draw_faces(draw_traits(labels[first : first + chunk_faces], generator), bank)


def _generator(seed: int, stream: int) -> np.random.Generator:
    if seed < 0:
        raise DataError(f"A seed must be 0 or more; found {seed}.")
    return np.random.Generator(np.random.PCG64([seed, stream]))


def render_faces(labels: npt.NDArray[np.integer[Any]], seed: int) -> npt.NDArray[np.uint8]:
    """Draw one face for each label.

    Args:
        labels: int (N,), 0..6 in the order of :data:`mien.labels.EXPRESSIONS`.
        seed: 0 or more. Face i depends on the seed, i and ``labels[i]`` alone.

    Returns:
        uint8 (N, 48, 48), grey, 0 black .. 255 white.

    Raises:
        DataError: labels that are not integers 0..6 in one dimension, or a negative seed.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"Labels must be integers of shape (N,); found {labels.dtype} {labels.shape}.")
    if len(labels) and (labels.min() < 0 or labels.max() >= len(EXPRESSIONS)):
        raise DataError(f"Labels must be 0..{len(EXPRESSIONS) - 1}; found {labels.min()}..{labels.max()}.")
    images = np.empty((len(labels), SIZE_PX, SIZE_PX), dtype=np.uint8)
    first = 0
    for chunk in _render_chunks(labels.astype(np.int64), seed, _CHUNK_FACES):
        images[first : first + len(chunk)] = chunk
        first += len(chunk)
    return images


def _shares(count: int, proportions: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Split `count` in the given proportions by largest remainder; ties go to the earlier part."""
    exact = count * proportions / proportions.sum()
    shares: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    shares[np.argsort(shares - exact, kind="stable")[: count - shares.sum()]] += 1
    return shares


def draw_labels(count: int, seed: int) -> npt.NDArray[np.int64]:
    """Labels in FER2013's proportions (largest remainder, at least one of each class), in random order.

    Args:
        count: number of labels, 7 or more.
        seed: 0 or more; decides the order only.

    Returns:
        int64 (count,), 0..6 in the order of :data:`mien.labels.EXPRESSIONS`.

    Raises:
        DataError: ``count`` is below 7 or ``seed`` negative.
    """
    if count < len(EXPRESSIONS):
        raise DataError(f"Synthetic faces need a count of {len(EXPRESSIONS)} or more, one a class; found {count}.")
    shares = _shares(count, np.array(EXPRESSION_PROPORTIONS))
    while (shares == 0).any():  # a class too rare for this count takes one from the largest
        shares[np.argmax(shares)] -= 1
        shares[np.argmin(shares)] += 1
    labels = np.repeat(np.arange(len(EXPRESSIONS), dtype=np.int64), shares)
    _generator(seed, 0).shuffle(labels)
    return labels


def synthetic_faces(count: int = 10_000, seed: int = 0) -> FaceSet:
    """A FaceSet of drawn faces in FER2013's proportions, split 80/10/10 within each class.

    Args:
        count: number of faces, 7 or more; from 29 on no split is empty.
        seed: 0 or more; the same count and seed give the same bytes.

    Raises:
        DataError: ``count`` is below 7 or ``seed`` negative.
    """
    labels = draw_labels(count, seed)
    split = np.empty(count, dtype="<U10")
    for label in range(len(EXPRESSIONS)):
        members = np.flatnonzero(labels == label)
        split[members] = np.repeat(SPLITS, _shares(len(members), np.array([0.8, 0.1, 0.1])))
    return FaceSet(
        images=render_faces(labels, seed),
        labels=labels,
        classes=EXPRESSIONS,
        split=split,
        source=np.array([f"synthetic seed {seed} face {i}" for i in range(count)]),
        rows=np.arange(count, dtype=np.int64),
    )
