"""Splits: what their names mean, and the validation cut where the data has none."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

VALIDATION_SHARE = 0.15
CUT_SEED = 0
NO_CUT = "no validation split, for no class has two different pictures to cut one from"
CUT_ORIGIN = f"stratified cut of {VALIDATION_SHARE:.0%} of train, seed {CUT_SEED}, identical images kept together"
OFFICIAL_ORIGIN = "official FER2013 splits"

_OFFICIAL = {"training": "train", "publictest": "validation", "privatetest": "test"}
_SYNONYMS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "public", "publictest"),
    "test": ("test", "testing", "private", "privatetest"),
}
_CANONICAL = {word: split for split, words in _SYNONYMS.items() for word in words}


def canonical_split(name: str) -> str | None:
    """The split a name means, or None: ``"PublicTest"`` -> ``"validation"``, ``"Val"`` -> ``"validation"``."""
    return _CANONICAL.get(re.sub(r"[\s_-]+", "", name).lower())


def is_official(names: Iterable[str]) -> bool:
    """Whether these are FER2013's own names (Training, PublicTest, PrivateTest), at least two of the three."""
    words = {re.sub(r"[\s_-]+", "", name).lower() for name in names}
    return len(words) > 1 and words <= _OFFICIAL.keys()


def group_identical(images: npt.NDArray[np.uint8], seed: int = 0) -> npt.NDArray[np.int64]:
    """Number the groups of pixel-identical images, in an order that depends on pixels and seed only.

    uint8 (N, ...) -> int64 (N,): equal images share a number. The numbers are the ranks of keyed hashes: a random
    order that is the same on every machine and for every order of the files.
    """
    key = str(seed).encode()
    digests = [hashlib.blake2b(image.tobytes(), digest_size=16, key=key).digest() for image in images]
    rank = {digest: index for index, digest in enumerate(sorted(set(digests)))}
    return np.array([rank[digest] for digest in digests], dtype=np.int64)


def cut_validation(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    share: float = VALIDATION_SHARE,
    seed: int = CUT_SEED,
) -> npt.NDArray[np.bool_]:
    """Choose validation faces: the same share of every class, identical images always on the same side.

    A group of identical images counts for the class that most of its labels name (the rarer class at a tie).
    Every class with two groups or more is on both sides; a class with one stays in train.

    Args:
        images: uint8 (N, ...).
        labels: int64 (N,).
        share: of the faces of each class, 0..1.
        seed: another seed, another cut.

    Returns:
        bool (N,), True for validation.
    """
    if len(images) == 0:
        return np.zeros(0, dtype=np.bool_)
    groups = group_identical(images, seed)
    votes = np.zeros((int(groups.max()) + 1, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(votes, (groups, labels), 1)
    sizes = votes.sum(axis=1)
    rarity = 1.0 / (votes.sum(axis=0) + 1.0)  # below 1: it decides ties only
    class_of_group = np.argmax(votes + rarity, axis=1)
    chosen = np.zeros(len(sizes), dtype=np.bool_)
    for label in np.unique(class_of_group):
        members = np.flatnonzero(class_of_group == label)
        if len(members) < 2:
            continue
        room = share * int(sizes[members].sum())
        for group in members:
            if sizes[group] <= room:
                chosen[group] = True
                room -= int(sizes[group])
        if not chosen[members].any():
            chosen[members[np.argmin(sizes[members])]] = True
    return chosen[groups]


def settle_splits(
    split: npt.NDArray[np.str_],
    origin: str,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.str_], str]:
    """Cut a validation split where one is missing.

    No split at all: validation is cut from everything and there is no test. Train without validation: it is cut from
    train. Data without train, for evaluation alone, stays as it is.

    Args:
        split: str (N,), train, validation, test or ``""`` (the data does not say).
        origin: how ``split`` came about.
        images: uint8 (N, ...).
        labels: int64 (N,).

    Returns:
        The split of every face, and how it came about in words.
    """
    present = set(split.tolist())
    if present == {""}:
        trainable = np.ones(len(split), dtype=np.bool_)
        words = "{cut}; there is no test split"
    elif "train" in present and "validation" not in present:
        trainable = split == "train"
        words = f"{origin}; validation: {{cut}}"
    else:
        return split, origin
    settled = np.where(trainable, "train", split).astype("<U10")
    indices = np.flatnonzero(trainable)
    cut = cut_validation(images[indices], labels[indices])
    settled[indices[cut]] = "validation"
    return settled, words.replace("{cut}", CUT_ORIGIN if cut.any() else NO_CUT)
