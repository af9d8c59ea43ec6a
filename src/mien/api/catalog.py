"""``mien.list_models`` and ``mien.list_recipes``: the built-in models and recipes."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mien.base.model_file import INT8, Manifest, read_manifest
from mien.base.recipe import recipe_names
from mien.inference.find_model import SHIPPED, find_model


@dataclass(frozen=True)
class ModelInfo:
    """A built-in model.

    Attributes:
        name: name for :func:`mien.load`.
        path: path of its ``.onnx`` file.
    """

    name: str
    path: Path

    @cached_property
    def manifest(self) -> Manifest:
        """Classes, input, recipe, licence and metrics of the model."""
        return read_manifest(self.path)

    def __str__(self) -> str:
        return f"{self.name}: {self.path.stat().st_size / 1e6:.2f} MB, {', '.join(self.manifest.classes)}"


def list_models() -> list[ModelInfo]:
    """List the built-in models, each with its name, path and manifest."""
    names = [name + form for name in SHIPPED for form in ("", INT8)]
    return [ModelInfo(name, find_model(name)) for name in names]


def list_recipes() -> list[str]:
    """List the names of the built-in recipes; ``mien.load_recipe(name)`` loads a recipe."""
    return recipe_names()
