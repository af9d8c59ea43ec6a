"""Recipes as TOML: the named ones in ``recipes/``, files, and what ``--set`` changes of them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import digits
from typing import Any

from mien.errors import RecipeError, arg
from mien.recipe import Recipe
from mien.spec_file import SpecKind, dump_toml, is_path, parse_toml

Change = str | tuple[str, Any]
"""``"optim.lr=0.01"``, a dotted key with a value in TOML (a bare word is text), or the pair ``("optim.lr", 0.01)``."""

_KIND = SpecKind("recipe", "recipes", RecipeError)


def recipe_names() -> list[str]:
    """Names of the recipes that come with mien."""
    return _KIND.names()


def load_recipe(name: str, changes: Sequence[Change] = ()) -> Recipe:
    """Load a recipe by name or from a ``.toml`` file, and apply changes.

    Args:
        name: one of :func:`recipe_names`, or a path that ends in ``.toml``. Without a ``name`` of its own the recipe
            has the file's.
        changes: applied in their order, e.g. ``["optim.lr=0.01"]``.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown key, or a value that is not allowed.
    """
    content = _KIND.parse(_KIND.read(name), name)
    if is_path(name):
        content = {"name": _name_of_file(name), **content}
        model = content.get("model")
        if isinstance(model, Mapping) and isinstance(model.get("file"), str):
            # Beside the recipe; where --set names one, it is a path from here.
            content["model"] = {**model, "file": str(Path(name).parent / model["file"])}
    return check_recipe(content, name, changes)


def parse_recipe(text: str, origin: str) -> Recipe:
    """Check a recipe's TOML text. ``origin`` is named in errors. Raises :class:`RecipeError`."""
    return check_recipe(_KIND.parse(text, origin), origin)


def check_recipe(content: Mapping[str, Any], origin: str, changes: Sequence[Change] = ()) -> Recipe:
    """Check a recipe's content after changes. ``origin`` is named in errors. Raises :class:`RecipeError`."""
    if isinstance(changes, str):
        raise RecipeError(
            f"Changes of a recipe are a list; found one text. Write [{changes!r}].", code="recipe-changes"
        )
    settings = [_parsed(change) if isinstance(change, str) else change for change in changes]
    changed = _without_other_model(_without_removed(content), settings)
    for key, value in settings:
        changed = _with(changed, key.split("."), value, key)
    return _KIND.check(Recipe, changed, origin)


def _without_removed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without keys that are gone, where they have the value that changed nothing: kept runs name them all."""
    found = {name: value for name, value in content.items() if (name, value) != ("consistency_loss", 0)}
    if isinstance(optim := found.get("optim"), Mapping):
        found["optim"] = {name: value for name, value in optim.items() if (name, value) != ("sam_rho", 0)}
    return found


def _without_other_model(content: dict[str, Any], settings: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Drop a recipe's settings of one network if ``model.name`` is changed to a network of another family.

    The user gave none of them, and the other network may not have them. A family is a name without its final digits:
    ``vgg11`` and ``vgg16`` share their settings.
    """
    model = content.get("model")
    names = [str(value) for key, value in settings if key == "model.name"]
    if isinstance(model, Mapping) and names and _family(names[-1]) != _family(str(model.get("name", "mien"))):
        return {**content, "model": {}}
    return content


def _name_of_file(path: str) -> str:
    """The file's name without ``.toml``, with a hyphen for each character that a recipe's name cannot have."""
    return re.sub(r"[^A-Za-z0-9._ -]", "-", Path(path).stem).lstrip("._ -") or "unnamed"


def _family(model_name: str) -> str:
    return model_name.rstrip(digits)


def tuned(recipe: Recipe, trained: Recipe, changes: Sequence[Change] = ()) -> Recipe:
    """A recipe for fine-tuning: ``recipe`` with the network and input of ``trained``, whose size may be changed.

    Args:
        recipe: how to train; of its model only ``dropout`` counts, which has no weights.
        trained: the recipe of the run whose weights are taken.
        changes: what the user set by hand, as in :func:`load_recipe`.

    Raises:
        RecipeError: a change that the trained weights do not allow, or a combination that is impossible.
    """
    model, sizes = trained.model.model_dump(), []
    for change in changes:
        key = change.partition("=")[0].strip() if isinstance(change, str) else change[0]
        if key == "model.dropout" and "dropout" in model:
            model["dropout"] = recipe.model.settings["dropout"]
        elif key in {"input.size_px", "input.crop_px"}:
            sizes.append(change)
        elif key.startswith(("model", "input")):
            raise RecipeError(
                f"{arg('settings', key)}: fine-tuning keeps the network and input of the run it starts from, except "
                f"input.size_px and input.crop_px.",
                code="recipe-set-fixed",
            )
    content = {**recipe.model_dump(mode="json"), "model": model, "input": trained.input.model_dump(mode="json")}
    return check_recipe(content, f"for tuning {trained.name}", sizes)


def dump_recipe(recipe: Recipe) -> str:
    """Write a recipe as TOML, every key with its value, so that the file stays true when defaults change."""
    return dump_toml(recipe.model_dump(mode="json"))


def _parsed(change: str) -> tuple[str, Any]:
    key, equals, value = (piece.strip() for piece in change.partition("="))
    if not (key and equals):
        raise RecipeError(
            f"{arg('settings')} '{change}' is not of the form key=value, e.g. optim.lr=0.01.", code="recipe-set-form"
        )
    try:
        return key, parse_toml(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value
    except ValueError as error:
        raise RecipeError(
            f"{arg('settings', key)}: its value is not valid: {error}.", code="recipe-set-value"
        ) from None


def _with(table: Mapping[str, Any], path: Sequence[str], value: Any, key: str) -> dict[str, Any]:
    """The table with one value changed; ``path`` are the parts of ``key`` from here on."""
    name, *rest = path
    if not rest:
        return {**table, name: value}
    inner = table.get(name, {})
    if not isinstance(inner, Mapping):
        raise RecipeError(
            f"{arg('settings', key)}: '{name}' is a value, not a table of values.", code="recipe-set-form"
        )
    return {**table, name: _with(inner, rest, value, key)}
