"""Classes of unequal size, made equal: fewer faces, repeated faces, made-up faces, or balanced batches.

Everything follows from the seed. Balance the train split alone: validation and test stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mien.data.faceset import FaceSet
from mien.errors import DataError
from mien.recipe import BalanceRecipe


def balance(faces: FaceSet, recipe: BalanceRecipe, seed: int) -> FaceSet:
    """The faces to learn from; ``"none"`` and ``"batches"`` leave them as they are.

    Raises:
        DataError: a class has no face to take or to make faces of, or one where two are blended.
    """
    check_balance(faces, recipe)
    match recipe.sampling:
        case "none" | "batches":
            return faces
        case "undersample":
            return undersample(faces, seed)
        case "oversample":
            return oversample(faces, recipe.share, seed)
        case _:
            raise NotImplementedError


def check_balance(faces: FaceSet, recipe: BalanceRecipe) -> None:
    """Raise :class:`DataError` where a class has too few faces for the recipe's sampling."""
    if recipe.sampling == "none":
        return
    counts = faces.counts()
    least = 2 if recipe.sampling == "mixup" else 1
    short = np.flatnonzero(counts < least)
    if len(short):
        raise DataError(
            f"balance.sampling = '{recipe.sampling}' needs {'two faces' if least == 2 else 'a face'} of every class; "
            f"the train split has {counts[short[0]]} of '{faces.classes[short[0]]}'. "
            "Leave that class out with a label scheme (--classes), or choose another sampling."
        )


def undersample(faces: FaceSet, seed: int) -> FaceSet:
    """As many faces of each class as the smallest has, drawn once, in the order they stood in."""
    generator = np.random.default_rng(seed)
    least = int(faces.counts().min())
    kept = [generator.permutation(members)[:least] for members in _members(faces.labels, len(faces.classes))]
    return faces.subset(np.sort(np.concatenate(kept)))


def oversample(faces: FaceSet, share: float, seed: int) -> FaceSet:
    """All faces, then smaller classes' again until each has ``share`` of the largest.

    A face comes back only once all others of its class have come as often.
    """
    generator = np.random.default_rng(seed)
    members = _members(faces.labels, len(faces.classes))
    lacking = _lacking(faces, share)
    again = [_cycle(each, count, generator) for each, count in zip(members, lacking, strict=True)]
    return faces.subset(np.concatenate([np.arange(len(faces)), *again]))


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
    # Classes take turns, so that any stretch of the epoch holds all of them alike; then a batch's own order is free.
    turns = np.arange(length) % len(present)
    order = np.empty(length, dtype=np.int64)
    for label, members in enumerate(_members(labels, len(present))):
        places = np.flatnonzero(turns == label)
        order[places] = _cycle(members, len(places), generator)
    return order


def _members(labels: npt.NDArray[np.int64], class_count: int) -> list[npt.NDArray[np.int64]]:
    return [np.flatnonzero(labels == label) for label in range(class_count)]


def _lacking(faces: FaceSet, share: float) -> npt.NDArray[np.int64]:
    """How many faces each class lacks to ``share`` of the largest, int64 (C,)."""
    counts = faces.counts()
    return np.maximum(round(share * int(counts.max())) - counts, 0)


def _cycle(members: npt.NDArray[np.int64], count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """``count`` of the members, in shuffles of all of them one after the other."""
    rounds = -(-count // len(members))
    return np.concatenate([generator.permutation(members) for _ in range(rounds)] or [members[:0]])[:count]
