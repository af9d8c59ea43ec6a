"""Search space of a sweep: a recipe with ranges for some of its keys.

Files are strict TOML; ``spaces/*.toml`` are the built-in spaces.

Every range is checked against the recipe when the file is loaded, so that a mistyped key is an error at once.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from mien.base.errors import RecipeError
from mien.base.recipe import Recipe, Settings, as_pairs, check_recipe, dotted, load_recipe
from mien.base.recipe_tables import StrictModel
from mien.base.spec_file import SpecKind, is_path

if TYPE_CHECKING:
    import optuna

_FIXED = ("name", "description", "seed", "classes", "input.size_px", "input.channels", "epochs")
"""Keys that must be equal in all trials. Otherwise accuracies would not be comparable, or would differ by chance."""

_KIND = SpecKind("search space", "spaces", RecipeError)


class Range(StrictModel):
    """The range of one key's values, given in one of four ways."""

    uniform: tuple[float, float] | None = Field(default=None, description="a number, uniform from low to high")
    log: tuple[float, float] | None = Field(default=None, description="a number, log-uniform, low above 0")
    integer: tuple[int, int] | None = Field(default=None, description="a whole number from low to high, inclusive")
    choice: Annotated[tuple[Any, ...], Field(min_length=2)] | None = Field(default=None, description="one of these")

    @model_validator(mode="after")
    def _is_one_range(self) -> "Range":
        if len(self.model_fields_set) != 1:
            raise ValueError(f"a range needs exactly one of {', '.join(RANGE_KINDS)}")
        if self.choice is not None:
            return self
        low, high = self.ends
        if not low < high:
            raise ValueError(f"the lower end {low} is not below the upper end {high}")
        if self.log is not None and low <= 0:
            raise ValueError(f"the lower end {low} of a logarithmic range is not above 0")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """Lower and upper end of a range; for a choice there are none."""
        return self.uniform or self.log or self.integer or (0, 0)

    @property
    def texts(self) -> tuple[str, ...]:
        """All values of a choice as JSON, because Optuna stores text but not lists."""
        return tuple(json.dumps(value, ensure_ascii=False) for value in self.choice or ())

    def suggest(self, trial: "optuna.Trial", key: str) -> Any:
        """Let Optuna draw a value; for a choice, one of :attr:`texts`."""
        if self.choice is not None:
            return trial.suggest_categorical(key, self.texts)
        if self.integer is not None:
            return trial.suggest_int(key, *self.integer)
        return trial.suggest_float(key, *self.ends, log=self.log is not None)


RANGE_KINDS: tuple[str, ...] = tuple(Range.model_fields)


class Pruning(StrictModel):
    """Successive halving (Li et al., MLSys 2020): one in ``factor`` trials survives epoch first, first * factor, ..."""

    first_epoch: int = Field(ge=1, description="first epoch at which trials are pruned")
    factor: int = Field(default=3, ge=2)


class _SpaceFile(StrictModel):
    recipe: str
    trials: int = Field(ge=1)
    seed: int = Field(default=0, ge=0, lt=2**31, description="each trial's is derived from it and the trial's number")
    epochs: int | None = Field(default=None, ge=1)
    pruning: Pruning | None = None
    parameters: Annotated[dict[str, Range], Field(min_length=1, description="ranges by dotted key")]


class Space(_SpaceFile):
    """A recipe and the ranges of its searched keys: a file with its name and the recipe that it names."""

    name: str = Field(description="file name without .toml")
    base: Recipe = Field(description="base recipe of all trials, with the space's number of epochs")

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything except the name and the number of trials, as ``"sha256:..."``."""
        content = {
            "base": self.base.digest,
            "ranges": {key: each.model_dump(mode="json", exclude_unset=True) for key, each in self.parameters.items()},
            "seed": self.seed,
            "pruning": None if self.pruning is None else self.pruning.model_dump(),
        }
        return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"

    def suggest(self, trial: "optuna.Trial") -> dict[str, Any]:
        """Let Optuna draw the values of a trial."""
        return self.values({key: each.suggest(trial, key) for key, each in self.parameters.items()})

    def values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Convert values drawn by :meth:`Range.suggest` to values of the recipe."""
        return {key: json.loads(value) if self.parameters[key].choice else value for key, value in drawn.items()}

    def recipe_for(self, values: Mapping[str, Any]) -> Recipe:
        """Return the recipe with these values. Raises :class:`RecipeError` if they contradict each other."""
        return check_recipe(self.base.model_dump(mode="json"), f"{self.base.name} (varied)", list(values.items()))

    def recipes_at_the_ends(self) -> Iterator[tuple[str, Recipe]]:
        """Yield each key with the base recipe at one end, or one choice, of its range; RecipeError if not allowed."""
        for key, each in self.parameters.items():
            for value in each.choice or each.ends:
                yield key, self.recipe_for({key: value})


def load_space(name: str | os.PathLike[str], changes: Settings = ()) -> Space:
    """Load a space by name or from a ``.toml`` file. The path of a recipe in the file is relative to the file.

    ``changes`` of the base recipe are such as ``"epochs=5"`` or ``("epochs", 5)``. Raises RecipeError: no such space,
    invalid TOML, an unknown key, a range that the recipe does not allow, or a change of a searched key.
    """
    return parse_space(_KIND.read(name), str(name), Path(name).parent, changes)


def parse_space(text: str, origin: str, folder: Path = Path(), changes: Settings = ()) -> Space:
    """Parse a space's TOML text and check it against its recipe."""
    content = _KIND.parse(text, origin)
    if isinstance(content.get("parameters"), dict):  # TOML nests optim.lr, so a table of tables is not a range
        content["parameters"] = dotted(
            content["parameters"], lambda _, value: not value or not set(RANGE_KINDS).isdisjoint(value)
        )
    file = _KIND.check(_SpaceFile, content, origin)
    for (key, _), name in product(as_pairs(changes), file.parameters):
        if f"{name}.".startswith(f"{key}.") or f"{key}.".startswith(f"{name}."):
            raise RecipeError(f"Search space {origin} searches '{name}'; '{key}' cannot be set.", code="space-value")
    base = load_recipe(
        str(folder / file.recipe) if is_path(file.recipe) else file.recipe,
        [*([] if file.epochs is None else [("epochs", file.epochs)]), *as_pairs(changes)],
    )
    for key in file.parameters:
        if any(f"{fixed}.".startswith(f"{key}.") for fixed in _FIXED):
            raise RecipeError(f"Search space {origin} cannot vary '{key}': all trials share it.", code="space-value")
    space = Space(name=Path(origin).stem, base=base, **dict(file))
    try:
        for _ in space.recipes_at_the_ends():
            pass
    except RecipeError as error:
        raise RecipeError(f"The search space {origin}: {error}", code=error.code) from None
    return space
