"""Balance classes of unequal size: fewer faces, repeated faces, or balanced batches.

The seed determines the result. Balance only the train split.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.base.recipe_tables import BalanceRecipe
from mien.data.dataset import Dataset


def balance(dataset: Dataset, recipe: BalanceRecipe, seed: int) -> Dataset:
    """Apply ``recipe`` to training faces. Call :func:`check_counts` first."""
    if recipe.faces_per_class:
        dataset = draw_per_class(dataset, recipe.faces_per_class, seed)
    if recipe.sampling == "undersample":
        return draw_per_class(dataset, int(dataset.counts().min()), seed)
    return oversample(dataset, recipe.share, seed) if recipe.sampling == "oversample" else dataset


def balanced_counts(counts: npt.NDArray[np.int64], recipe: BalanceRecipe) -> npt.NDArray[np.int64]:
    """Compute the number of faces per class after :func:`balance` from the number before. int64 (C,) -> int64 (C,)."""
    if recipe.faces_per_class:
        counts = np.minimum(counts, recipe.faces_per_class)
    match recipe.sampling:
        case "none" | "batches":
            return counts
        case "undersample":
            return np.full_like(counts, counts.min())
        case _:
            return np.maximum(counts, round(recipe.share * int(counts.max())))


def draw_per_class(dataset: Dataset, count: int, seed: int) -> Dataset:
    """Draw at most ``count`` faces of each class at random, and keep their order.

    With the same seed, a larger count draws the same faces and additional ones.
    """
    generator = np.random.default_rng(seed)
    kept = [generator.permutation(members)[:count] for members in _members(dataset.labels, len(dataset.classes))]
    return dataset.subset(np.sort(np.concatenate(kept)))


def oversample(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Repeat faces of smaller classes until each class has ``share`` of the largest; repeated faces come last.

    No face is used a third time before all others of its class are used twice, and so on.
    """
    generator = np.random.default_rng(seed)
    counts = dataset.counts()
    pending = balanced_counts(counts, BalanceRecipe(sampling="oversample", share=share)) - counts
    members = _members(dataset.labels, len(dataset.classes))
    again = [_cycle(each, int(count), generator) for each, count in zip(members, pending, strict=True)]
    return dataset.subset(np.concatenate([np.arange(len(dataset)), *again]))


def balanced_order(labels: npt.NDArray[np.int64], batch_size: int, seed: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return an order of faces, labels int64 (N,), in which every batch has equally many faces of each class.

    Counts differ by one if ``batch_size`` is not a multiple of the number of classes. An epoch has as many batches
    as without balancing, max(N // batch_size, 1). No face is repeated before all others of its class were used.
    """
    generator = np.random.default_rng(seed)
    present, labels = np.unique(labels, return_inverse=True)
    length = max(len(labels) // batch_size, 1) * batch_size
    # Classes alternate, so every part of the epoch has faces of all classes.
    turns = np.arange(length) % len(present)
    order = np.empty(length, dtype=np.int64)
    for label, members in enumerate(_members(labels, len(present))):
        indices = np.flatnonzero(turns == label)
        order[indices] = _cycle(members, len(indices), generator)
    return order


def check_counts(dataset: Dataset, recipe: BalanceRecipe) -> None:
    """Raise :class:`DataError` if balancing needs faces of a class that has none."""
    empty = np.flatnonzero(dataset.counts() == 0)
    if recipe.sampling != "none" and len(empty):
        words = (
            f"balance.sampling = '{recipe.sampling}': train has none of '{dataset.classes[empty[0]]}'; see --classes."
        )
        raise DataError(words, code="class-too-small")


def _members(labels: npt.NDArray[np.int64], class_count: int) -> list[npt.NDArray[np.int64]]:
    return [np.flatnonzero(labels == label) for label in range(class_count)]


def _cycle(members: npt.NDArray[np.int64], count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return ``count`` members: all of them in random order, then all again in another order, and so on."""
    if not count:
        return members[:0]
    rounds = -(-count // len(members))
    return np.concatenate([generator.permutation(members) for _ in range(rounds)])[:count]
