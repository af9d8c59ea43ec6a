"""Keys of recipes that an older mien wrote, and their names of today."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from mien.errors import Notice

RENAMED_KEYS: dict[str, str] = {
    "renew_statistics": "recalibrate_bn",
    "consistency": "consistency_loss",
    "early_sizes": "progressive_resizing",
    "augment.shift": "augment.translate",
    "augment.erasing": "augment.random_erasing",
    "augment.off_last": "augment.mixup_off_epochs",
    "distill.share": "distill.alpha",
}
"""Keys of older recipes -> keys of today. Older ones are still read; digests are computed over them."""


def with_renamed_keys(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a recipe that an older mien may have written, with the keys of today. Gives a notice once.

    Raises:
        ValueError: a key is there by both names.
    """
    found = {old: today for old, today in RENAMED_KEYS.items() if has_key(content, old)}
    if found:
        _give_notice(", ".join(f"{old} is now {today}" for old, today in found.items()))
    return rename_keys(content, found)


@cache
def _give_notice(renamed: str) -> None:
    """Once for each set of keys; without a handler, logging prints it on stderr."""
    words = f"a recipe has keys of an older mien: {renamed}."
    logging.getLogger("mien").warning("%s", Notice(words, code="recipe-keys-renamed").line)


def has_key(content: Mapping[str, Any], key: str) -> bool:
    """Whether a recipe's content has a key such as ``"augment.flip"``."""
    table, _, name = key.rpartition(".")
    inner = content.get(table, {}) if table else content
    return isinstance(inner, Mapping) and name in inner


def rename_keys(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A copy with other names for some keys, which stay in their tables."""
    copy = {key: dict(value) if isinstance(value, Mapping) else value for key, value in content.items()}
    for before, after in names.items():
        if has_key(copy, after):
            raise ValueError(f"{before} and {after} are one key; keep {after}")
        table, _, name = before.rpartition(".")
        inner = copy[table] if table else copy
        inner[after.rpartition(".")[2]] = inner.pop(name)
    return copy
