"""Classes of unequal size, made equal: fewer faces, repeated faces, made-up faces, or balanced batches.

Everything follows from the seed. Balance the train split alone: validation and test stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, arg
from mien.base.recipe import BalanceRecipe
from mien.data.dataset import Dataset
from mien.data.image_store import join
from mien.data.votes import vote_probabilities
from mien.data.warp import Warps, warp

WARP_DEGREES, WARP_SCALE, WARP_SHIFT = 15.0, 0.1, 0.08
"""How far a warped copy is turned, scaled and shifted (as a share of the side) at most, either way."""

CHUNK = 4096
"""Faces blended at once: in float32 they take four times their memory, several times over."""


def balance(faces: Dataset, recipe: BalanceRecipe, seed: int) -> Dataset:
    """The faces to learn from; ``"none"`` and ``"batches"`` leave them as they are.

    Raises:
        DataError: a class has no face to take or to make faces of, or one where two are blended.
    """
    check_counts(faces, recipe)
    if recipe.faces_per_class:
        faces = draw_per_class(faces, recipe.faces_per_class, seed)
    match recipe.sampling:
        case "none":
            return faces
        case "undersample":
            return undersample(faces, seed)
        case "oversample":
            return oversample(faces, recipe.share, seed)
        case "mixup":
            return fill_with_blends(faces, recipe.share, seed)
        case "warp":
            return fill_with_warps(faces, recipe.share, seed)
        case "batches":
            return faces


def balanced_counts(counts: npt.NDArray[np.int64], recipe: BalanceRecipe) -> npt.NDArray[np.int64]:
    """Number of faces of each class that :func:`balance` makes of so many. int64 (C,) -> int64 (C,)."""
    if recipe.faces_per_class:
        counts = np.minimum(counts, recipe.faces_per_class)
    match recipe.sampling:
        case "none" | "batches":
            return counts
        case "undersample":
            return np.full_like(counts, counts.min())
        case _:
            return np.maximum(counts, round(recipe.share * int(counts.max())))


def undersample(faces: Dataset, seed: int) -> Dataset:
    """As many faces of each class as the smallest has, drawn once, in the order they stood in."""
    return draw_per_class(faces, int(faces.counts().min()), seed)


def draw_per_class(faces: Dataset, count: int, seed: int) -> Dataset:
    """At most ``count`` faces of each class, drawn once, in the order they stood in.

    A larger count of the same seed draws the same faces and more.
    """
    generator = np.random.default_rng(seed)
    kept = [generator.permutation(members)[:count] for members in _members(faces.labels, len(faces.classes))]
    return faces.subset(np.sort(np.concatenate(kept)))


def oversample(faces: Dataset, share: float, seed: int) -> Dataset:
    """All faces, then smaller classes' again until each has ``share`` of the largest.

    A face comes back only once all others of its class have come as often.
    """
    return faces.subset(np.concatenate([np.arange(len(faces)), _again(faces, share, np.random.default_rng(seed))]))


def fill_with_blends(faces: Dataset, share: float, seed: int) -> Dataset:
    """All faces, then blends of two different faces of a class until each class has ``share`` of the largest.

    Mixup (Zhang et al. 2018) within a class, so that the label stays whole; as in SMOTE (Chawla et al. 2002) the first
    face's part is anything from 0 to 1, but the second is any face of the class and no near neighbour. Votes are
    blended as the images are; everything else that is known of a blend (row, columns) is the first face's.
    """
    generator = np.random.default_rng(seed)
    first = _again(faces, share, generator)
    # The partner is another member of the class: some steps further on in the class's own circle.
    members = _members(faces.labels, len(faces.classes))
    place = np.concatenate([np.arange(len(each)) for each in members])[np.argsort(np.concatenate(members))]
    sizes = faces.counts()[faces.labels[first]]
    further = (place[first] + generator.integers(1, sizes)) % sizes
    second = np.array([members[label][at] for label, at in zip(faces.labels[first], further, strict=True)], dtype=int)
    part = generator.random(len(first), dtype=np.float32).reshape(-1, *[1] * (faces.images.ndim - 1))
    blended = np.empty((len(first), *faces.images.shape[1:]), dtype=np.uint8)
    for at in (slice(start, start + CHUNK) for start in range(0, len(first), CHUNK)):
        mixed = part[at] * faces.images[first[at]] + (1 - part[at]) * faces.images[second[at]]
        blended[at] = np.rint(mixed)
    origins = [f"blend of {a} and {b}" for a, b in zip(faces.source[first], faces.source[second], strict=True)]
    filled = _with_made(faces, first, blended, origins)
    if faces.votes is None:
        return filled
    votes = _blended_votes(faces.votes, first, second, part.ravel())
    return replace(filled, votes=np.concatenate([faces.votes, votes]))


def _blended_votes(
    votes: npt.NDArray[Any], first: npt.NDArray[np.int64], second: npt.NDArray[np.int64], part: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """The distributions of pairs of rows, mixed by ``part`` of the first, scaled to the first's number of votes.

    (N, V) counts -> float64 (M, V); zeros where one of the two has no votes.
    """
    shares, totals = vote_probabilities(votes), votes.sum(axis=1, keepdims=True)
    own = part.astype(np.float64)[:, np.newaxis]
    mixed = totals[first] * (own * shares[first] + (1 - own) * shares[second])
    return np.where(totals[second] > 0, mixed, 0)


def fill_with_warps(faces: Dataset, share: float, seed: int) -> Dataset:
    """All faces, then warped copies of smaller classes' until each class has ``share`` of the largest.

    Half of the copies are mirrored. What is known of a copy beside its pixels (row, columns) is its face's.
    """
    generator = np.random.default_rng(seed)
    again = _again(faces, share, generator)
    count = len(again)
    warps = Warps(
        degrees=generator.uniform(-WARP_DEGREES, WARP_DEGREES, count),
        zoom=generator.uniform(1 - WARP_SCALE, 1 + WARP_SCALE, count),
        right=generator.uniform(-WARP_SHIFT, WARP_SHIFT, count),
        down=generator.uniform(-WARP_SHIFT, WARP_SHIFT, count),
        mirrored=generator.random(count) < 0.5,
    )
    origins = [f"warped copy of {source}" for source in faces.source[again]]
    return _with_made(faces, again, warp(faces.images[again], warps), origins)


def balanced_order(labels: npt.NDArray[np.int64], batch_size: int, seed: Sequence[int]) -> npt.NDArray[np.int64]:
    """An epoch's order of faces in which every batch holds as many of one class as of another.

    To within one where ``batch_size`` is no multiple of the number of classes. An epoch has as many batches as without
    balancing; each class's faces come in turns, all of them before one comes again.

    Args:
        labels: int64 (N,); classes without a face have no part in it.
        batch_size: faces in a batch.
        seed: another seed, another order.

    Returns:
        int64 (B * batch_size,) indices, B = max(N // batch_size, 1).
    """
    generator = np.random.default_rng(seed)
    present, labels = np.unique(labels, return_inverse=True)
    length = max(len(labels) // batch_size, 1) * batch_size
    # Classes take turns along the epoch, so that any stretch of it holds all of them alike.
    turns = np.arange(length) % len(present)
    order = np.empty(length, dtype=np.int64)
    for label, members in enumerate(_members(labels, len(present))):
        places = np.flatnonzero(turns == label)
        order[places] = _cycle(members, len(places), generator)
    return order


def check_counts(faces: Dataset, recipe: BalanceRecipe) -> None:
    """Refuse what :func:`balance` would, without making a face. Raises as that does."""
    least = {"none": 0, "mixup": 2}.get(recipe.sampling, 1)
    counts = faces.counts()
    short = np.flatnonzero(counts < least)
    if len(short):
        raise DataError(
            f"balance.sampling = '{recipe.sampling}' needs {'two faces' if least == 2 else 'a face'} of every class; "
            f"the train split has {counts[short[0]] or 'none'} of '{faces.classes[short[0]]}'. Leave that class out "
            f"with a label scheme ({arg('classes')}), or choose another sampling.",
            code="class-too-small",
        )


def _members(labels: npt.NDArray[np.int64], class_count: int) -> list[npt.NDArray[np.int64]]:
    return [np.flatnonzero(labels == label) for label in range(class_count)]


def _again(faces: Dataset, share: float, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """The faces to take once more, so that each class reaches ``share`` of the largest. int64 (M,) indices."""
    counts = faces.counts()
    pending = balanced_counts(counts, BalanceRecipe(sampling="oversample", share=share)) - counts
    members = _members(faces.labels, len(faces.classes))
    return np.concatenate([_cycle(each, int(count), generator) for each, count in zip(members, pending, strict=True)])


def _cycle(members: npt.NDArray[np.int64], count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """``count`` of the members, in shuffles of all of them one after the other."""
    if not count:
        return members[:0]
    rounds = -(-count // len(members))
    return np.concatenate([generator.permutation(members) for _ in range(rounds)])[:count]


def _with_made(
    faces: Dataset, parents: npt.NDArray[np.int64], images: npt.NDArray[np.uint8], origins: Sequence[str]
) -> Dataset:
    filled = faces.subset(np.concatenate([np.arange(len(faces)), parents]), join(faces.images, images))
    source = np.concatenate([faces.source, np.array(origins, dtype=np.str_)])
    return replace(filled, source=source)
