"""``mien.list_models`` and ``mien.list_recipes``: what comes with mien."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mien.base.model_file import INT8, Manifest, read_manifest
from mien.base.recipe import recipe_names
from mien.inference.find_model import SHIPPED, find_model


@dataclass(frozen=True)
class ModelInfo:
    """A model that comes with mien.

    Attributes:
        name: what :func:`mien.load` takes.
        path: its ``.onnx`` file.
    """

    name: str
    path: Path

    @cached_property
    def manifest(self) -> Manifest:
        """Classes, input, recipe, licence and metrics, as the file says."""
        return read_manifest(self.path)

    def __str__(self) -> str:
        return f"{self.name}: {self.path.stat().st_size / 1e6:.2f} MB, {', '.join(self.manifest.classes)}"


def list_models() -> list[ModelInfo]:
    """The models that come with mien: name, size, classes, accuracy."""
    names = [name + form for name in SHIPPED for form in ("", INT8)]
    return [ModelInfo(name, find_model(name)) for name in names]


def list_recipes() -> list[str]:
    """Names of the recipes that come with mien; ``mien.load_recipe(name)`` shows one."""
    return list(recipe_names())
