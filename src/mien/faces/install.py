"""The official YuNet file: where it is kept, and whether it is whole."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from platformdirs import user_cache_dir

from mien.errors import ModelError

NAME = "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"


def yunet_path() -> Path:
    """Where the installed file is, or would be: ``$MIEN_CACHE`` or the system's cache folder, then ``detectors``."""
    return Path(os.environ.get("MIEN_CACHE") or user_cache_dir("mien", appauthor=False)) / "detectors" / NAME


def cached_yunet() -> Path | None:
    """The installed file, checked; None where there is none.

    Raises:
        ModelError: it is there but is not the official one.
    """
    path = yunet_path()
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ModelError(f"{path} is damaged. Fetch it again with: mien detectors install yunet")
    return path
