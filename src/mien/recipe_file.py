"""Recipes as TOML: the named ones in ``recipes/``, files, and what ``--set`` changes of them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mien.errors import RecipeError, nearest, sentence
from mien.files import plain
from mien.recipe import Recipe


def recipe_names() -> list[str]:
    """Names of the recipes that come with mien."""
    folder = resources.files("mien") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Load a recipe by name or from a ``.toml`` file, and apply changes.

    Args:
        name: one of :func:`recipe_names`, or a path that ends in ``.toml``.
        changes: ``"key=value"`` with dotted keys and TOML values, e.g. ``["optim.lr=0.01"]``; a bare word is text.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown key, or a value that is not allowed.
    """
    if name.endswith(".toml") or "/" in name:
        return read_recipe(Path(name), changes)
    if name in recipe_names():
        text = (resources.files("mien") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
        return parse_recipe(text, name, changes)
    raise RecipeError(f"There is no recipe '{name}'." + nearest(name, recipe_names()))


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe's file. Raises :class:`RecipeError`, as :func:`load_recipe`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise RecipeError(f"The recipe {path} cannot be read: {reason}.") from None
    return parse_recipe(text, str(path), changes)


def parse_recipe(text: str, origin: str, changes: Sequence[str] = ()) -> Recipe:
    """Check a recipe's TOML text. ``origin`` is named in errors. Raises :class:`RecipeError`."""
    try:
        content = parse_toml(text)
    except ValueError as error:
        raise RecipeError(f"The recipe {origin} is not valid TOML: {error}.") from None
    if isinstance(changes, str):
        raise RecipeError(f"Changes of a recipe are a list; found one text. Write [{changes!r}].")
    for change in changes:
        _apply_change(content, change)
    try:
        # As JSON, where strict means strict but a list may still be a tuple. TOML's dates become text, and fail there.
        return Recipe.model_validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        raise RecipeError(_explain(error, origin)) from None


def parse_toml(text: str) -> dict[str, Any]:
    """The content of TOML text. Raises ValueError (``tomllib.TOMLDecodeError`` is one), also where Python gives up."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("brackets are nested too deep") from None


def tuned(recipe: Recipe, trained: Recipe, changes: Sequence[str] = ()) -> Recipe:
    """A recipe for fine-tuning: ``recipe`` with the network and input of ``trained``.

    Args:
        recipe: how to train; of its model only ``dropout`` counts, which has no weights.
        trained: the recipe of the run whose weights are taken.
        changes: what the user set by hand, as in :func:`load_recipe`.

    Raises:
        RecipeError: a change that the trained weights do not allow, or a combination that is impossible.
    """
    model = trained.model.model_dump()
    for change in changes:
        key = change.partition("=")[0].strip()
        if key == "model.dropout" and "dropout" in model:
            model["dropout"] = recipe.model.settings["dropout"]
        elif key.startswith(("model", "input")):
            raise RecipeError(f"--set {change}: fine-tuning keeps the network and input of the run it begins from.")
    content = {**recipe.model_dump(mode="json"), "model": model, "input": trained.input.model_dump()}
    return parse_recipe(dump_toml(content), f"for tuning {trained.name}")


def dump_recipe(recipe: Recipe) -> str:
    """Write a recipe as TOML, every key with its value, so that the file stays true when defaults change."""
    return dump_toml(recipe.model_dump(mode="json"))


def dump_toml(content: dict[str, Any]) -> str:
    """Write plain values, and tables of plain values, as TOML."""
    tables: list[str] = []
    top: list[str] = []
    for key, value in content.items():
        if isinstance(value, dict):
            tables.append(f"\n[{key}]")
            tables.extend(f"{inner} = {toml_value(item)}" for inner, item in value.items())
        else:
            top.append(f"{key} = {toml_value(value)}")
    return "\n".join([*top, *tables]) + "\n"


def toml_value(value: Any) -> str:
    """Write one plain value as TOML; a dictionary becomes an inline table."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(each) for each in value) + "]"
    # TOML has no escape for bytes of file names that are no UTF-8: what stands for them is text there.
    value = plain(value) if isinstance(value, str) else value
    # JSON's text, numbers and booleans are TOML's, but for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _apply_change(content: dict[str, Any], change: str) -> None:
    key, equals, value = (piece.strip() for piece in change.partition("="))
    if not (key and equals):
        raise RecipeError(f"--set '{change}' is not of the form key=value, e.g. optim.lr=0.01.")
    try:
        parsed: Any = parse_toml(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    except ValueError as error:
        raise RecipeError(f"--set {key}: its value is not possible: {error}.") from None
    *tables, last = key.split(".")
    table = content
    for name in tables:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {change}: '{name}' is a value, not a table of values.")
    table[last] = parsed


def _explain(error: ValidationError, origin: str) -> str:
    """One line for the first fault that pydantic found."""
    fault = error.errors()[0]
    location = [str(part) for part in fault["loc"]]
    where = ".".join(location)
    if fault["type"] == "extra_forbidden":
        return f"The recipe {origin} has an unknown key '{where}'." + _nearest_key(location)
    reason = fault["msg"].removeprefix("Value error, ")
    if not where:
        return sentence(f"The recipe {origin} is not possible: {reason}")
    return sentence(f"The recipe {origin} has {where} = {fault['input']!r}: {reason[0].lower()}{reason[1:]}")


def _nearest_key(location: list[str]) -> str:
    """Suggest the key meant by the last part of ``location``; a key of another table is found too."""
    tables: dict[str, type[BaseModel]] = {
        name: info.annotation
        for name, info in Recipe.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
    }
    siblings = tables[location[0]].model_fields if len(location) > 1 else Recipe.model_fields
    if location[-1] not in siblings:
        elsewhere = [f"{name}.{location[-1]}" for name, kind in tables.items() if location[-1] in kind.model_fields]
        if elsewhere:
            return f" Did you mean '{elsewhere[0]}'?"
    table = "".join(f"{name}." for name in location[:-1])
    return nearest(location[-1], siblings, table)
