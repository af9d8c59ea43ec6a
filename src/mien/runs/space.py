"""Search space of a sweep: a recipe, and ranges for some of its keys.

The files are TOML and strict; ``spaces/*.toml`` are the named ones.

Every range is checked against the recipe when the file is read, so that a mistyped key costs seconds and not a night.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from mien.base.errors import RecipeError
from mien.base.recipe import Recipe, StrictModel, check_recipe, dotted, load_recipe
from mien.base.spec_file import SpecKind, is_path

if TYPE_CHECKING:
    import optuna

_FIXED = ("name", "description", "seed", "classes", "input.size_px", "input.channels", "epochs")
"""Keys that all trials share: their accuracies would not compare, or a better value would be luck."""


_KIND = SpecKind("search space", "spaces", RecipeError)


class Range(StrictModel):
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
        """All values of a choice as JSON; Optuna stores text, but not lists."""
        return tuple(json.dumps(value, ensure_ascii=False) for value in self.choice or ())

    def suggest(self, trial: optuna.Trial, key: str) -> Any:
        """A value that Optuna draws; of a choice, one of :attr:`texts`."""
        if self.choice is not None:
            return trial.suggest_categorical(key, self.texts)
        if self.integer is not None:
            return trial.suggest_int(key, *self.integer)
        return trial.suggest_float(key, *self.ends, log=self.log is not None)


RANGE_KINDS: tuple[str, ...] = tuple(Range.model_fields)


class Pruning(StrictModel):
    """Successive halving (Li et al., MLSys 2020): at epochs first, first * factor, ... one in ``factor`` goes on."""

    first_epoch: int = Field(ge=1, description="no trial is pruned before")
    factor: int = Field(default=3, ge=2)


class _SpaceFile(StrictModel):
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
        trials: how many recipes are tried.
        seed: of the search; each trial draws with a seed made of it and of the trial's number.
        pruning: when trials are pruned; None never.
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
        """The recipe's values, from those that :meth:`Range.suggest` drew."""
        return {key: json.loads(value) if self.ranges[key].choice else value for key, value in drawn.items()}

    def recipe_for(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe with these values. Raises :class:`RecipeError` where they do not go together."""
        return check_recipe(self.base.model_dump(mode="json"), f"{self.base.name}, varied,", list(values.items()))

    def recipes_at_the_ends(self) -> Iterator[tuple[str, Recipe]]:
        """Each key with the base recipe at each end of its range, or at each of its choices.

        Raises:
            RecipeError: the recipe has no such key, or does not allow the value.
        """
        for key, each in self.ranges.items():
            for value in each.choice or each.ends:
                yield key, self.recipe_for({key: value})


def load_space(name: str, changes: Sequence[str] = ()) -> Space:
    """Load a space by name or from a ``.toml`` file; the path of a recipe in it is relative to that file.

    Args:
        name: that of a space that comes with mien, or a path that ends in ``.toml``.
        changes: of the recipe that every trial starts from, such as ``"epochs=5"``.

    Raises:
        RecipeError: no such space, not TOML, an unknown key, or a range that the recipe does not allow; a change of a
            key that is searched.
    """
    return parse_space(_KIND.read(name), name, Path(name).parent, changes)


def parse_space(text: str, origin: str, folder: Path = Path(), changes: Sequence[str] = ()) -> Space:
    """Check a space's TOML text against its recipe.

    Args:
        text: TOML.
        origin: named in errors; its last part is the space's name.
        folder: that a recipe's path is relative to.
        changes: as in :func:`load_space`.

    Raises:
        RecipeError: as :func:`load_space`.
    """
    content = _KIND.parse(text, origin)
    if isinstance(content.get("parameters"), dict):
        content["parameters"] = dotted(content["parameters"], _is_range)
    file = _KIND.check(_SpaceFile, content, origin)
    for change in changes:
        if (key := change.partition("=")[0]) in file.parameters:
            raise RecipeError(
                f"The search space {origin} searches '{key}', so it cannot be set.", code="space-searched-key"
            )
    base = load_recipe(
        str(folder / file.recipe) if is_path(file.recipe) else file.recipe,
        [*([] if file.epochs is None else [("epochs", file.epochs)]), *changes],
    )
    for key in file.parameters:
        if key in _FIXED:
            raise RecipeError(
                f"The search space {origin} cannot vary '{key}', which all trials share.", code="space-fixed-key"
            )
    space = Space(Path(origin).stem, base, file.parameters, file.trials, file.seed, file.pruning)
    try:
        for _ in space.recipes_at_the_ends():
            pass
    except RecipeError as error:
        raise RecipeError(f"The search space {origin}: {error.raw}", code=error.code) from None
    return space


def _is_range(key: str, value: Mapping[str, Any]) -> bool:
    """Whether a table is no table of others: ``optim.lr = ...`` is one table in another for TOML."""
    return not value or not set(RANGE_KINDS).isdisjoint(value)
