"""Face detection: ``mien.faces.detect(image)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.faces.face import Box as Box
    from mien.faces.face import Detector as Detector
    from mien.faces.face import Face as Face
    from mien.faces.find import detect as detect
    from mien.faces.find import find_detector as find_detector

# Loaded on first use, as in mien/__init__.py.
_HOMES = {
    "Box": "mien.faces.face",
    "Detector": "mien.faces.face",
    "Face": "mien.faces.face",
    "detect": "mien.faces.find",
    "find_detector": "mien.faces.find",
}

__all__ = ["Box", "Detector", "Face", "detect", "find_detector"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mien.faces' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
