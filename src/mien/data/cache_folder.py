"""Where data is kept that can be made again."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_dir

PART_PREFIX = ".part-"
"""Begins the names of what is being written there."""


def cache_folder() -> Path:
    """Where decoded sets are kept: ``$MIEN_CACHE`` or the system's cache folder for users, then ``faces``."""
    return Path(os.environ.get("MIEN_CACHE") or user_cache_dir("mien", appauthor=False)) / "faces"
