"""What a sweep searches: a recipe, and ranges for some of its keys. TOML, strict; ``spaces/*.toml`` are the named ones.

Every range is checked against the recipe when the file is read, so that a mistyped key costs seconds and not a night.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mien.errors import RecipeError, nearest, sentence
from mien.recipe import Recipe
from mien.recipe_file import dump_recipe, load_recipe, parse_recipe, parse_toml, toml_value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_NOT_SEARCHED = {
    "name": "it shapes nothing",
    "description": "it shapes nothing",
    "seed": "a better seed is luck, not a better recipe",
    "classes": "accuracies under different classes do not compare",
    "input.size_px": "the faces are read once, at one size",
    "epochs": "it is the budget of every trial, set beside trials and seed",
}
"""Keys that a space may not vary, and why."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Range(_Strict):
    """Where the values of one key come from: one of four kinds."""

    uniform: tuple[float, float] | None = Field(default=None, description="any number from low to high")
    log: tuple[float, float] | None = Field(default=None, description="the same, even in the logarithm; low above 0")
    integer: tuple[int, int] | None = Field(default=None, description="a whole number from low to high, both included")
    choice: Annotated[tuple[Any, ...], Field(min_length=2)] | None = Field(default=None, description="one of these")

    @model_validator(mode="after")
    def _is_one_range(self) -> Range:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"a range is one of {', '.join(RANGE_KINDS)}")
        if self.choice is not None:
            if len(set(self.texts)) < len(self.texts):
                raise ValueError("a choice holds each value once")
            return self
        low, high = self.ends
        if not low < high:
            raise ValueError(f"the low end {low} is not below the high end {high}")
        if self.log is not None and low <= 0:
            raise ValueError(f"the low end {low} of a logarithmic range is not above 0")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """Low and high, of a range that is no choice."""
        return self.uniform or self.log or self.integer or (0, 0)

    @property
    def texts(self) -> tuple[str, ...]:
        """The ends of a range, or all of a choice, as TOML."""
        return tuple(toml_value(value) for value in self.choice or self.ends)

    def distribution(self) -> BaseDistribution:
        """The same for optuna. A choice is drawn as TOML text, because optuna knows no lists."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choice is not None:
            return CategoricalDistribution(self.texts)
        if self.integer is not None:
            return IntDistribution(*self.integer)
        low, high = self.ends
        return FloatDistribution(low, high, log=self.log is not None)


RANGE_KINDS = tuple(Range.model_fields)
_TABLES = tuple(name for name, value in Recipe().model_dump().items() if isinstance(value, dict))


class Pruning(_Strict):
    """Successive halving (Li et al., MLSys 2020): at epochs first, first * factor, ... one in ``factor`` goes on."""

    first_epoch: int = Field(ge=1, description="no trial is cut before")
    factor: int = Field(default=3, ge=2)


class _SpaceFile(_Strict):
    recipe: str
    trials: int = Field(ge=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    epochs: int | None = Field(default=None, ge=1)
    pruning: Pruning | None = None
    parameters: Annotated[dict[str, Range], Field(min_length=1)]


@dataclass(frozen=True)
class Space:
    """A recipe and what of it is searched.

    Attributes:
        name: the file's, without ``.toml``.
        base: what every trial starts from, with the space's own number of epochs.
        ranges: where the values of each dotted key come from.
        trials: how many recipes are tried, by all workers together.
        seed: of the search; each trial draws with a seed made of it and of the trial's number.
        pruning: when trials are cut short; None never.
    """

    name: str
    base: Recipe
    ranges: Mapping[str, Range]
    trials: int
    seed: int
    pruning: Pruning | None

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything but the name and the number of trials, as ``"sha256:..."``."""
        content = {
            "base": self.base.digest,
            "ranges": {key: each.model_dump(mode="json", exclude_unset=True) for key, each in self.ranges.items()},
            "seed": self.seed,
            "pruning": None if self.pruning is None else self.pruning.model_dump(),
        }
        return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"

    def values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Values as the recipe has them, of those that optuna drew from :meth:`Range.distribution`."""
        return {
            key: tomllib.loads(f"value = {value}")["value"] if self.ranges[key].choice else value
            for key, value in drawn.items()
        }

    def recipe_for(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe with these values. Raises :class:`RecipeError` where they do not go together."""
        changes = [f"{key}={toml_value(value)}" for key, value in values.items()]
        return parse_recipe(dump_recipe(self.base), f"{self.base.name}, varied,", changes)

    def recipes_at_the_ends(self) -> Iterator[tuple[str, Recipe]]:
        """Each key with the base recipe at each end of its range, or at each of its choices.

        Raises:
            RecipeError: the recipe has no such key, or does not allow the value.
        """
        for key, each in self.ranges.items():
            for value in each.choice or each.ends:
                yield key, self.recipe_for({key: value})


def space_names() -> list[str]:
    """Names of the spaces that come with mien."""
    folder = resources.files("mien") / "spaces"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_space(name: str) -> Space:
    """Load a space by name or from a ``.toml`` file; a recipe's file in it is looked for beside it.

    Raises:
        RecipeError: no such space, not TOML, an unknown key, or a range that the recipe does not allow.
    """
    if name.endswith(".toml") or "/" in name:
        path = Path(name)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise RecipeError(f"The space {path} cannot be read: {reason}.") from None
        return parse_space(text, str(path), folder=path.parent)
    if name in space_names():
        return parse_space((resources.files("mien") / "spaces" / f"{name}.toml").read_text(encoding="utf-8"), name)
    raise RecipeError(f"There is no space '{name}'." + nearest(name, space_names()))


def parse_space(text: str, origin: str, folder: Path = Path()) -> Space:
    """Check a space's TOML text against its recipe.

    Args:
        text: TOML.
        origin: named in errors; its last part is the space's name.
        folder: where a recipe's file is looked for.

    Raises:
        RecipeError: as :func:`load_space`.
    """
    try:
        content = parse_toml(text)
    except ValueError as error:
        raise RecipeError(f"The space {origin} is not valid TOML: {error}.") from None
    if isinstance(content.get("parameters"), dict):
        ranges = list(_flat(content["parameters"]))
        content["parameters"] = dict(ranges)
        for key in content["parameters"]:
            if sum(name == key for name, _ in ranges) > 1:
                raise RecipeError(f"The space {origin} gives '{key}' twice.")
    try:
        # As JSON, where strict means strict but a list may still be a tuple. TOML's dates become text, and fail there.
        file = _SpaceFile.model_validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        raise RecipeError(_explain(error, origin)) from None
    is_file = file.recipe.endswith(".toml") or "/" in file.recipe
    base = load_recipe(
        str(folder / file.recipe) if is_file else file.recipe,
        [] if file.epochs is None else [f"epochs={file.epochs}"],
    )
    if file.pruning is not None and file.pruning.first_epoch >= base.epochs:
        raise RecipeError(
            f"The space {origin} has pruning.first_epoch = {file.pruning.first_epoch}, but a trial has "
            f"{base.epochs} epochs: nothing could be cut. Lower it, or leave [pruning] out."
        )
    for key in file.parameters:
        if key in _NOT_SEARCHED:
            raise RecipeError(f"The space {origin} cannot vary '{key}': {_NOT_SEARCHED[key]}.")
    space = Space(Path(origin).stem, base, file.parameters, file.trials, file.seed, file.pruning)
    try:
        for _ in space.recipes_at_the_ends():
            pass
    except RecipeError as error:
        raise RecipeError(f"The space {origin}: {error}") from None
    return space


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Join the tables that TOML makes of ``optim.lr = ...`` into dotted keys; quoted keys are dotted already."""
    for key, value in table.items():
        is_table = isinstance(value, dict) and value and not set(value) & set(RANGE_KINDS)
        if is_table and (key in _TABLES or all(isinstance(inner, dict) for inner in value.values())):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _explain(error: ValidationError, origin: str) -> str:
    """One line for the first fault that pydantic found."""
    faults = error.errors()
    # A mistyped key is missing too; its own name says more.
    fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
    *table, last = location = [str(part) for part in fault["loc"]]
    where = ".".join(location)
    if fault["type"] == "missing":
        return f"The space {origin} has no '{where}'."
    if fault["type"] == "extra_forbidden":
        known = {0: tuple(_SpaceFile.model_fields), 1: tuple(Pruning.model_fields)}.get(len(table), RANGE_KINDS)
        return f"The space {origin} has an unknown key '{where}'." + nearest(last, known)
    if table == ["parameters"] and fault["type"] != "value_error":
        return f"The space {origin}: '{last}' needs a range, e.g. {last} = {{ log = [0.01, 1.0] }}."
    reason = fault["msg"].removeprefix("Value error, ")
    return sentence(f"The space {origin} has {where} = {fault['input']!r}: {reason[0].lower()}{reason[1:]}")
