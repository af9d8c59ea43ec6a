"""mien: train, measure, export and use facial-expression classifiers.

    import mien
    reader = mien.load("runs/quick")
    for reading in reader.predict("photo.jpg"):
        print(reading.box, reading.top)

A classifier reads an expression in a picture. It does not know what a person feels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mien.version import __version__

if TYPE_CHECKING:
    from mien import faces as faces
    from mien.data.faceset import FaceSet as FaceSet
    from mien.data.read import read_faces as read_faces
    from mien.errors import MienError as MienError
    from mien.inference.classifier import Classifier as Classifier
    from mien.inference.classifier import load as load
    from mien.recipe import Recipe as Recipe
    from mien.recipe_file import load_recipe as load_recipe

# Loaded on first use: `import mien` stays under 0.15 s and works where only the core is installed.
_HOMES = {
    "Classifier": "mien.inference.classifier",
    "FaceSet": "mien.data.faceset",
    "MienError": "mien.errors",
    "Recipe": "mien.recipe",
    "load": "mien.inference.classifier",
    "load_recipe": "mien.recipe_file",
    "read_faces": "mien.data.read",
}

__all__ = [
    "Classifier",
    "FaceSet",
    "MienError",
    "Recipe",
    "__version__",
    "faces",
    "load",
    "load_recipe",
    "read_faces",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "faces":
        return import_module("mien.faces")
    if name not in _HOMES:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
