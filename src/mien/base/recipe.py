"""The recipe of a training run: a strict, typed value that is read from and written to TOML.

Unknown keys, wrong types and values out of range raise an error that names the key. No key is ignored.
"""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from string import digits
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from mien.base import recipe_tables as tables
from mien.base.errors import DataError, RecipeError
from mien.base.files import expand_home
from mien.base.heads import HEADS
from mien.base.labels import parse_scheme
from mien.base.preprocess import InputSpec
from mien.base.spec_file import SpecKind, dump_toml, is_path, parse_toml

_DIGESTED_AS = (
    ("", "recalibrate_bn", "renew_statistics"),
    ("", "progressive_resizing", "early_sizes"),
    ("augment", "translate", "shift"),
    ("augment", "random_erasing", "erasing"),
    ("augment", "mixup_off_epochs", "off_last"),
    ("distill", "alpha", "share"),
)
"""Table, current name and old name of renamed keys. Digests use old names, so stored runs and models still match."""


class Recipe(tables.StrictModel):
    """The settings of one training run, without its data."""

    # The name is also the default name of run folders.
    name: str = Field(default="unnamed", pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")
    description: str = ""
    seed: int = Field(default=0, ge=0, lt=2**31)
    classes: str = Field(default="all", description="label scheme: all, seven, six, five, three, binary, or a=b+c,...")
    epochs: int = Field(default=40, ge=1)
    batch_size: int = Field(default=128, ge=2, le=1_000_000)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    label_smoothing: tables.Fraction = tables.off("label smoothing {0:g}", cites="label-smoothing")
    class_weights: Literal["none", "balanced", "effective"] | dict[str, tables.Weight] = tables.off(
        "class weights ({0})",
        default="none",
        description="balanced: N / (K n_c), which gives all classes equal weight; effective: Cui et al. "
        "2019; or a table {disgust = 5.0}; classes not in it have weight 1",
    )
    self_adaptive: tables.Probability = tables.off(
        "self-adaptive targets ({0:g})",
        cites="self-adaptive",
        description="self-adaptive training (Huang et al. 2020): weight of the model's own predictions in the targets; "
        "they move by a tenth each time a face is seen, from 30% of the steps on; 0 is off",
    )
    ema_decay: tables.Fraction = Field(default=0.0, description="moving average of the weights, per step; 0 is off")
    recalibrate_bn: bool = Field(
        False, description="recalculate batch-norm statistics on 4,096 unaugmented training faces"
    )
    progressive_resizing: tuple[tuple[tables.Probability, int], ...] = Field(
        default=(), description="[[0.4, 28], [0.7, 36]]: train at 28 px until 40% of the run, at 36 px until 70%"
    )
    outputs: dict[tables.OutputName, tables.OutputRecipe] = Field(
        default={}, description="outputs by name, exactly one with target label; empty means one output for labels"
    )
    input: InputSpec = InputSpec()
    model: tables.ModelRecipe = tables.ModelRecipe()
    loss: tables.OwnPart = tables.OwnPart()
    optim: tables.OptimRecipe = tables.OptimRecipe()
    schedule: tables.ScheduleRecipe = tables.ScheduleRecipe()
    augment: tables.AugmentRecipe = tables.AugmentRecipe()
    balance: tables.BalanceRecipe = tables.BalanceRecipe()
    distill: tables.DistillRecipe = tables.DistillRecipe()
    stopping: tables.StoppingRecipe = tables.StoppingRecipe()
    tuning: tables.TuningRecipe = tables.TuningRecipe()

    @field_validator("classes")
    @classmethod
    def _scheme_exists(cls, text: str) -> str:
        try:
            parse_scheme(text)
        except DataError as error:
            raise ValueError(str(error)) from None
        return text

    @field_validator("outputs")
    @classmethod
    def _one_output_learns_labels(cls, outputs: dict[str, tables.OutputRecipe]) -> dict[str, tables.OutputRecipe]:
        """Put the label's output first and sort the others by name, so that the order in a file has no effect."""
        named = [name for name, output in outputs.items() if output.target == "label"]
        if outputs and len(named) != 1:
            raise ValueError(f"exactly one output needs target = 'label'; found {len(named)}")
        return {name: outputs[name] for name in (*named, *sorted(set(outputs) - set(named)))}

    @model_validator(mode="after")
    def _a_fitted_head_takes_one_epoch(self) -> "Recipe":
        others = self.outputs or self.ema_decay or self.recalibrate_bn or self.self_adaptive or self.own_parts
        unused = (self.optim, self.schedule, self.augment.model_copy(update={"flip": False}))
        changed = [table for table in unused if table != type(table)()]
        if self.tuning.fit_head and (self.epochs > 1 or others or changed):
            off = "outputs, ema_decay, recalibrate_bn, self_adaptive, optim, schedule, augment (but flip), or a loss"
            raise ValueError(f"tuning.fit_head needs epochs = 1, without {off}")
        return self

    @model_validator(mode="after")
    def _early_sizes_grow(self) -> "Recipe":
        shares = [share for share, _ in self.progressive_resizing]
        if shares != sorted(shares):
            raise ValueError("progressive_resizing needs pairs sorted by their first values")
        for _, side_px in self.progressive_resizing:
            if not 8 <= side_px <= self.input.crop_px:
                raise ValueError(f"progressive_resizing has {side_px} px; it must be 8 to {self.input.crop_px} px")
        return self

    @model_validator(mode="after")
    def _classes_are_balanced_once(self) -> "Recipe":
        balance = self.balance
        chosen = [
            name
            for name, is_on in (
                # With share < 1, oversampled classes still differ in size, so class weights are allowed too.
                (f"balance.sampling = '{balance.sampling}'", balance.sampling != "none" and balance.share == 1),
                (f"class_weights = '{self.class_weights}'", self.class_weights != "none"),
                (f"balance.logit_adjustment = {balance.logit_adjustment:g}", balance.logit_adjustment > 0),
            )
            if is_on
        ]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} would balance the classes twice; use only one of them")
        return self

    @model_validator(mode="after")
    def _every_changed_key_has_an_effect(self) -> "Recipe":
        for table in type(self).model_fields:
            values = getattr(self, table)
            for name, info in type(values).model_fields.items() if isinstance(values, BaseModel) else ():
                # recipe.toml of a run lists every key, so defaults are allowed.
                changed = getattr(values, name) != info.default
                for rule in info.metadata:
                    if changed and isinstance(rule, tables.OnlyWith) and not rule.holds(self):
                        raise ValueError(f"{table}.{name} = {getattr(values, name)} needs {rule.needs}")
        return self

    @cached_property
    def built_in(self) -> str:
        """Name of the built-in recipe that this one was loaded from, whatever was changed; ``""`` for others."""
        return ""

    def resolved(self) -> dict[str, Any]:
        """Return every key with its value, JSON-ready. ``nesterov`` is missing if the optimiser has no momentum."""
        content = self.model_dump(mode="json")
        if self.optim.nesterov and (self.optim.name != "sgd" or not self.optim.momentum):
            del content["optim"]["nesterov"]
        return content

    @property
    def own_parts(self) -> dict[str, tables.OwnPart]:
        """The parts in :data:`OWN_PARTS` that name a file."""
        return {table: part for table in tables.OWN_PARTS if (part := getattr(self, table)).file}

    def check_files(self) -> None:
        """Raise :class:`RecipeError` for a missing Python file (``model-file``), or an unknown network or setting."""
        self.model.check_names()
        parts: dict[str, tables.ModelRecipe | tables.OwnPart] = {"model": self.model, **self.own_parts}
        for table, part in parts.items():
            if part.file and not Path(part.file).is_file():
                raise RecipeError(f"There is no file {part.file} ({table}.file).", code="model-file")

    @property
    def learns_votes(self) -> bool:
        """Return whether any output is trained on votes, their majority, or a sampled vote."""
        return any(HEADS[output.target].perceived for output in self.outputs.values())

    def side_px(self, progress: float) -> int:
        """Return the side in pixels of the training crop when ``progress`` (0..1) of the run is done."""
        return next((side_px for share, side_px in self.progressive_resizing if progress < share), self.input.crop_px)

    @property
    def digest(self) -> str:
        """SHA-256 of all settings that affect the result (not name and description), as ``"sha256:..."``.

        Keys at their default are left out, so a digest stays valid when recipes get a new key, and a default must never
        change. For a renamed key, the old name is hashed. All settings of the network are hashed, so compare recipes
        after :func:`mien.models.registry.completed`.
        """
        content = self.model_dump(mode="json", exclude={"name", "description"}, exclude_defaults=True)
        for table in ("model", *tables.OWN_PARTS):
            # The digest covers the file's text (file_sha256), not its path.
            content.get(table, {}).pop("file", None)
        for table, name, former in _DIGESTED_AS:
            values = content.get(table, {}) if table else content
            if name in values:
                values[former] = values.pop(name)
        return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"


SAID: dict[str, tuple[str, str]] = {
    f"{table}{key}": info.json_schema_extra.args
    for table, kind in (("", Recipe), ("augment.", tables.AugmentRecipe), ("balance.", tables.BalanceRecipe))
    for key, info in kind.model_fields.items()
    if isinstance(info.json_schema_extra, partial)
}
"""Keys that are :func:`tables.off` by default, with a paper's words for them and what these cite."""
LOSS_KEYS: tuple[str, ...] = tuple(key for key in SAID if not key.startswith("augment."))

Change = str | tuple[str, Any]
"""``"optim.lr=0.01"``: a dotted key and a TOML value (a bare word is text), or a pair ``("optim.lr", 0.01)``."""
Settings = Mapping[str, Any] | Sequence[Change] | None

_ALSO_CALLED = {
    **{"optimizer": "optim.name", "learning_rate": "optim.lr", "scheduler": "schedule.name", "loss_fn": "loss.file"},
    **dict.fromkeys(("patience", "early_stopping"), "stopping.patience"),
    **dict.fromkeys(("imgsz", "image_size"), "input.size_px"),
    **{"dropout": "model.dropout", "class_weight": "class_weights"},
}
_KIND = SpecKind("recipe", "recipes", RecipeError, _ALSO_CALLED)


def key_of(name: str) -> str:
    """Return the dotted key for a key's name here or in another package; ``""`` if none. A table is ``augment.KEY``."""
    key = _KIND.key_of(Recipe, name)
    kind = Recipe.model_fields[key].annotation if key in Recipe.model_fields else None
    return f"{key}.KEY" if isinstance(kind, type) and issubclass(kind, BaseModel) else key


def list_recipes() -> list[str]:
    """List the names of the built-in recipes; ``mien.load_recipe(name)`` loads a recipe."""
    return _KIND.names()


def load_recipe(name: str | os.PathLike[str], changes: Settings = ()) -> Recipe:
    """Load a recipe by name or from a ``.toml`` file, and apply changes.

    Args:
        name: one of :func:`list_recipes`, or a ``.toml`` path. A recipe without a ``name`` gets that of its file.
        changes: changes to apply in order, e.g. ``["optim.lr=0.01"]`` or ``{"optim.lr": 0.01}``.

    Raises:
        RecipeError: no such recipe, invalid TOML, an unknown key, or an impossible value.
    """
    content = _KIND.parse(_KIND.read(name), str(name))
    name = os.fspath(name)
    if is_path(name):
        content = {"name": name_of_file(name), **content}
        for table in ("model", *tables.OWN_PARTS):
            values = content.get(table)
            if isinstance(values, Mapping) and isinstance(file := values.get("file"), str) and file:
                # Paths in a recipe are relative to it; paths given by --set are relative to the working folder.
                content[table] = {**values, "file": str(expand_home(name).parent / file)}
    return check_recipe(content, name, changes, "" if is_path(name) else name)


def check_recipe(content: Mapping[str, Any], origin: str, changes: Settings = (), built_in: str = "") -> Recipe:
    """Apply changes to a recipe's content and check it. Errors name ``origin``. Raises :class:`RecipeError`."""
    settings = as_pairs(changes)
    changed = _without_other_model(dict(content), settings)
    for key, value in settings:
        changed = _with(changed, key.split("."), value, key)
    recipe = _KIND.check(Recipe, changed, origin)
    vars(recipe)["built_in"] = built_in
    return recipe


def _without_other_model(content: dict[str, Any], settings: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Drop settings of the recipe's network if ``model.name`` changes its family, the name without final digits."""
    model = content.get("model")
    names = [str(value) for key, value in settings if key == "model.name"]
    former = str(model.get("name", "mien")) if isinstance(model, Mapping) else ""
    if former and names and names[-1].rstrip(digits) != former.rstrip(digits):
        return {**content, "model": {}}
    return content


def name_of_file(path: str) -> str:
    """Return the file's stem; characters that are not allowed in a recipe's name become hyphens."""
    return re.sub(r"[^A-Za-z0-9._ -]", "-", Path(path).stem).lstrip("._ -") or "unnamed"


def tuned(recipe: Recipe, trained: Recipe, changes: Settings = ()) -> Recipe:
    """Return a recipe for fine-tuning: ``recipe`` with the network and input of ``trained``.

    From the recipe's own model only ``dropout`` is used, because dropout has no weights. Raises RecipeError for a
    change by the user that the trained weights do not allow, or an impossible combination.
    """
    model = trained.model.model_dump()
    for key, _ in as_pairs(changes):
        if key == "model.dropout" and "dropout" in model:
            model["dropout"] = recipe.model.settings["dropout"]
        elif key.startswith(("model", "input")):
            raise RecipeError(f"--set {key}: fine-tuning keeps the run's network and input.", code="recipe-value")
    content = {**recipe.model_dump(mode="json"), "model": model, "input": trained.input.model_dump(mode="json")}
    return check_recipe(content, f"for tuning {trained.name}", built_in=recipe.built_in)


def dotted(
    nested: Mapping[str, Any], is_value: Callable[[str, Any], bool] = lambda key, value: False, above: str = ""
) -> dict[str, Any]:
    """Flatten tables to dotted keys, ``{"optim": {"lr": 1}}`` -> ``{"optim.lr": 1}``, where ``is_value`` is False."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        name = f"{above}{key}"
        whole = not isinstance(value, Mapping) or is_value(name, value)
        flat |= {name: value} if whole else dotted(value, is_value, f"{name}.")
    return flat


def dump_recipe(recipe: Recipe) -> str:
    """Write a recipe as TOML with every key, so that the file stays valid when defaults change."""
    content = recipe.resolved()
    for table in tables.OWN_PARTS:
        content[table] = {key: value for key, value in content[table].items() if value != ""}
    return dump_toml(content)


def as_pairs(settings: Settings) -> list[tuple[str, Any]]:
    """Return changes as pairs of a key and a value. Raises :class:`RecipeError` for a text that is no change."""
    changes = settings.items() if isinstance(settings, Mapping) else settings or ()
    changes = [changes] if isinstance(changes, str) else changes
    return [_parsed(change) if isinstance(change, str) else change for change in changes]


def _parsed(change: str) -> tuple[str, Any]:
    key, equals, value = (piece.strip() for piece in change.partition("="))
    if not (key and equals):
        raise RecipeError(f"--set '{change}' is not of the form key=value, e.g. optim.lr=0.01.", code="recipe-value")
    try:
        return key, parse_toml(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value
    except ValueError as error:
        raise RecipeError(f"--set {key}: its value is not valid: {error}.", code="recipe-value") from None


def _with(table: Mapping[str, Any], path: Sequence[str], value: Any, key: str) -> dict[str, Any]:
    name, *rest = path
    if not rest:
        return {**table, name: value}
    inner = table.get(name, {})
    if not isinstance(inner, Mapping):
        raise RecipeError(f"--set {key}: '{name}' is a value, not a table of values.", code="recipe-value")
    return {**table, name: _with(inner, rest, value, key)}
