"""A training run as a typed, strict value, read from TOML and written to it.

An unknown key, a value of the wrong type or out of range is an error that names the key; nothing is ignored.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import digits
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from mien.base.errors import DataError, RecipeError, arg
from mien.base.labels import parse_scheme
from mien.base.preprocess import InputSpec
from mien.base.spec_file import SpecKind, dump_toml, is_path, parse_toml

Probability = Annotated[float, Field(ge=0, le=1)]
OutputName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Factor = Annotated[float, Field(ge=0, le=10)]

_MOST = 1e30
"""Limit of settings that torch computes with in fp32, which ends at 3e38."""
Weight = Annotated[float, Field(ge=0, le=_MOST)]
_DIGESTED_AS = (
    ("", "recalibrate_bn", "renew_statistics"),
    ("", "progressive_resizing", "early_sizes"),
    ("augment", "translate", "shift"),
    ("augment", "random_erasing", "erasing"),
    ("augment", "mixup_off_epochs", "off_last"),
    ("distill", "alpha", "share"),
)
"""Table, name and first name of keys that were renamed: kept results and model files know recipes by their digests."""


class StrictModel(BaseModel):
    """A value of a TOML file: an unknown key is an error, infinity and NaN are, and it does not change."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelRecipe(BaseModel):
    """Which network. Keys beside ``name`` are the family's own settings, checked by ``mien.models.registry``.

    With ``file`` it is the class ``name`` of a user's Python file; ``file_sha256`` is the digest of its text.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    name: str = "mien"

    @property
    def settings(self) -> dict[str, Any]:
        """The family's own settings, e.g. ``{"widths": [32, 64, 128, 256]}``."""
        return dict(self.model_extra or {})

    @property
    def file(self) -> str:
        """The Python file that holds the network's class, ``name``; empty for a network of mien's."""
        return str(self.settings.get("file", ""))


class OwnPart(StrictModel):
    """A function of a user's Python file, of any name there; ``file_sha256`` is the digest of the file's text."""

    file: str = Field(default="", description="a Python file with a part of your own; its name follows")
    file_sha256: str = ""
    name: str = ""

    @model_validator(mode="after")
    def _file_and_name(self) -> OwnPart:
        if bool(self.file) != bool(self.name):
            raise ValueError("needs both file and name, or neither")
        return self


OWN_PARTS = ("loss", "augment", "optim")
"""Tables of a recipe that may name a function in a file."""


class OptimRecipe(StrictModel):
    """The optimiser. Weight decay never touches biases and normalisation layers."""

    file: str = ""
    file_sha256: str = ""
    name: str = Field(default="sgd", description="sgd, adam, adamw, rmsprop, or a function in file")
    lr: float = Field(default=0.1, gt=0, le=_MOST, description="peak learning rate")
    momentum: Fraction = 0.9
    nesterov: bool = True
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    epsilon: float = Field(default=1e-8, gt=0, description="adam, adamw, rmsprop: keeps divisions finite")
    weight_decay: float = Field(default=0.0, ge=0, le=_MOST)
    clip_norm: float = Field(default=0.0, ge=0, description="largest gradient norm; 0 is no limit")

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str, info: ValidationInfo) -> str:
        if name not in {"sgd", "adam", "adamw", "rmsprop"} and not info.data.get("file"):
            raise PydanticCustomError("literal_error", "", {"expected": "'sgd', 'adam', 'adamw' or 'rmsprop'"})
        return name


class ScheduleRecipe(StrictModel):
    """How the learning rate moves over the run, as a factor of ``optim.lr``."""

    name: Literal["constant", "step", "plateau", "cosine", "one-cycle"] = "constant"
    # one-cycle: up for the share that is warm-up, down in a straight line for the rest.
    warmup: Fraction = Field(default=0.0, description="share of the run in which the rate rises linearly from 0")
    final: Fraction = Field(
        default=0.0, description="cosine, one-cycle: the rate that the run falls towards, as a share of lr"
    )
    step_epochs: int = Field(default=10, ge=1, description="step: epochs between two cuts")
    factor: float = Field(default=0.1, gt=0, lt=1, description="step, plateau: what a cut multiplies the rate by")
    patience: int = Field(default=3, ge=1, description="plateau: epochs without a better validation loss")


class AugmentRecipe(OwnPart):
    """Random changes of training images, drawn again each epoch. All are off by default.

    A function in ``file`` takes the place of all but mixup and cutmix.
    """

    flip: bool = Field(default=False, description="mirror half of the images, the other half in the next epoch")
    translate: Fraction = Field(default=0.0, description="largest shift, as a fraction of the side")
    rotation_degrees: float = Field(default=0.0, ge=0, le=180)
    scale: Fraction = Field(default=0.0, description="zoom between 1 - scale and 1 + scale")
    shear: Fraction = Field(default=0.0, description="largest slant: shift along a row, as a fraction of its height")
    brightness: float = Field(default=0.0, ge=0, le=1, description="largest offset, as a share of white")
    brightness_range: tuple[Factor, Factor] = Field(
        default=(1.0, 1.0), description="[0.2, 1.2]: grey values are multiplied by 0.2 to 1.2"
    )
    contrast: Fraction = Field(default=0.0, description="contrast between 1 - contrast and 1 + contrast")
    random_erasing: Probability = Field(default=0.0, description="fraction of images that lose a rectangle")
    blur: Probability = Field(default=0.0, description="fraction of images that are blurred")
    noise: Probability = Field(default=0.0, description="fraction of images with added Gaussian noise")
    low_resolution: Probability = Field(default=0.0, description="fraction of images shown at a lower resolution")
    mixup: float = Field(default=0.0, ge=0, le=_MOST, description="alpha of the Beta distribution; 0 is off")
    cutmix: float = Field(default=0.0, ge=0, le=_MOST, description="alpha of the Beta distribution; 0 is off")
    mixup_probability: Probability = Field(default=1.0, description="fraction of batches that mixup and cutmix change")
    mixup_off_epochs: Fraction = Field(default=0.0, description="share of epochs at the end without mixup and cutmix")

    @field_validator("brightness_range")
    @classmethod
    def _range_rises(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if ends[0] > ends[1]:
            raise ValueError(f"{ends[0]:g} is above {ends[1]:g}; the smaller number comes first")
        return ends


class BalanceRecipe(StrictModel):
    """Settings for classes of unequal size, beside ``class_weights``. All is off by default."""

    sampling: Literal["none", "undersample", "oversample", "batches"] = Field(
        default="none",
        description="undersample: to the smallest class; oversample: fill up with repeated faces; batches: equal "
        "shares of the classes in every batch",
    )
    share: float = Field(default=1.0, gt=0, le=1, description="oversample: fill up to this share of the largest class")
    faces_per_class: int = Field(
        default=0,
        ge=0,
        description="train on at most so many faces of each class, drawn by the seed, before sampling; 0 is all",
    )
    effective_beta: Fraction = Field(default=0.999, description="class_weights = effective: its beta")
    focal_gamma: float = Field(default=0.0, ge=0, description="focal loss: 0 is cross-entropy, 2 the paper's")
    logit_adjustment: float = Field(default=0.0, ge=0, description="tau of Menon et al.: 0 is off, 1 the paper's")


class DistillRecipe(StrictModel):
    """How a student learns from teachers. Without teachers (``mien train``) it changes nothing."""

    temperature: float = Field(default=3.0, gt=0, description="softens both answers before they are compared")
    alpha: float = Field(
        default=0.9, gt=0, le=1, description="the teachers' share of the loss; the rest is that of labels and votes"
    )


class StoppingRecipe(StrictModel):
    """Which epoch is best, and when to stop waiting for a better one."""

    metric: Literal["accuracy", "loss", "macro_f1", "macro_auc"] = "accuracy"
    keep: Literal["best", "last"] = Field(default="best", description="the epoch whose weights are kept and exported")
    patience: int = Field(default=0, ge=0, description="epochs without a better value; 0 never stops early")


class OutputRecipe(StrictModel):
    """One output of the network: what it learns from, and how much it counts."""

    target: Literal["label", "votes", "majority", "sampled"] = Field(
        default="label",
        description="label: the data's label; votes: the distribution of votes; majority: the class with most votes; "
        "sampled: one vote, drawn again each epoch",
    )
    weight: float = Field(default=1.0, gt=0, le=_MOST, description="weight of this output's loss in the sum")

    @property
    def learns_votes(self) -> bool:
        """Whether it learns from votes, in any form."""
        return self.target != "label"


class TuningRecipe(StrictModel):
    """Fine-tuning: how gently weights are treated that were trained before. The defaults treat all alike."""

    frozen_epochs: int = Field(default=0, ge=0, description="epochs at the start in which only the head learns")
    layer_decay: float = Field(
        default=1.0, gt=0, le=1, description="what each block's rate is of that of the block above it; 1 is one rate"
    )
    fit_head: bool = Field(
        default=False,
        description="fit the head alone, by cross-validated logistic regression on features of images without "
        "augmentation; the optimiser is not used",
    )


class Recipe(StrictModel):
    """One training run, without its data. TOML in, TOML out."""

    # The name becomes a folder's.
    name: str = Field(default="unnamed", pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")
    description: str = ""
    seed: int = Field(default=0, ge=0, lt=2**31)
    classes: str = Field(default="all", description="label scheme: all, seven, six, five, three, binary, or a=b+c,...")
    epochs: int = Field(default=40, ge=1)
    batch_size: int = Field(default=128, ge=2, le=1_000_000)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    label_smoothing: Fraction = 0.0
    class_weights: Literal["none", "balanced", "effective"] | dict[str, Weight] = Field(
        default="none",
        description="balanced: N / (K n_c), so that each class weighs the same in the loss; effective: Cui et al. "
        "2019; or a table {disgust = 5.0}, where classes without a weight have 1",
    )
    self_adaptive: Probability = Field(
        default=0.0,
        description="share of a label's target that follows the predictions of its face, a tenth of the way each time "
        "it is seen, from 30% of the steps on (Huang et al. 2020); 0 is off",
    )
    ema_decay: Fraction = Field(default=0.0, description="moving average of the weights, per step; 0 is off")
    recalibrate_bn: bool = Field(
        default=False,
        description="batch norms are validated and kept with statistics of 4,096 train faces as they are served",
    )
    progressive_resizing: tuple[tuple[Probability, int], ...] = Field(
        default=(),
        description="[[0.4, 28], [0.7, 36]]: until 40% of the run the network sees its crop at 28 px, then at 36",
    )
    outputs: dict[OutputName, OutputRecipe] = Field(
        default={}, description="outputs by name, one of them with target label; none is one output from labels"
    )
    input: InputSpec = InputSpec()
    model: ModelRecipe = ModelRecipe()
    loss: OwnPart = OwnPart()
    optim: OptimRecipe = OptimRecipe()
    schedule: ScheduleRecipe = ScheduleRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    balance: BalanceRecipe = BalanceRecipe()
    distill: DistillRecipe = DistillRecipe()
    stopping: StoppingRecipe = StoppingRecipe()
    tuning: TuningRecipe = TuningRecipe()

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
    def _one_output_learns_labels(cls, outputs: dict[str, OutputRecipe]) -> dict[str, OutputRecipe]:
        """The label output comes first, all others by name: the order in a file has no effect."""
        named = [name for name, output in outputs.items() if output.target == "label"]
        if outputs and len(named) != 1:
            raise ValueError(f"one output needs target = 'label', no more and no fewer; found {len(named)}")
        return {name: outputs[name] for name in (*named, *sorted(set(outputs) - set(named)))}

    @model_validator(mode="after")
    def _a_fitted_head_takes_one_epoch(self) -> Recipe:
        others = self.outputs or self.ema_decay or self.recalibrate_bn or self.self_adaptive or self.own_parts
        if self.tuning.fit_head and (self.epochs > 1 or others):
            raise ValueError(
                "tuning.fit_head needs epochs = 1, without outputs, ema_decay, recalibrate_bn, self_adaptive, or a "
                "file of a loss, augmentation or optimiser"
            )
        return self

    @model_validator(mode="after")
    def _early_sizes_grow(self) -> Recipe:
        shares = [share for share, _ in self.progressive_resizing]
        if shares != sorted(shares):
            raise ValueError("progressive_resizing needs its pairs in the order of their first values")
        for _, side_px in self.progressive_resizing:
            if not 8 <= side_px <= self.input.crop_px:
                raise ValueError(
                    f"progressive_resizing has {side_px} px; it must be 8 to {self.input.crop_px} px (input.crop_px)"
                )
        return self

    @model_validator(mode="after")
    def _classes_are_balanced_once(self) -> Recipe:
        balance = self.balance
        chosen = [
            name
            for name, is_on in (
                # Filled up to a part of the largest, classes still differ; weights may do the rest.
                (f"balance.sampling = '{balance.sampling}'", balance.sampling != "none" and balance.share == 1),
                (f"class_weights = '{self.class_weights}'", self.class_weights != "none"),
                (f"balance.logit_adjustment = {balance.logit_adjustment:g}", balance.logit_adjustment > 0),
            )
            if is_on
        ]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} would balance the classes twice; keep one of them")
        return self

    @model_validator(mode="after")
    def _every_changed_key_has_an_effect(self) -> Recipe:
        for table, name, works, needs in (
            ("optim", "betas", self.optim.name in {"adam", "adamw"}, "optim.name = 'adam' or 'adamw'"),
            ("schedule", "step_epochs", self.schedule.name == "step", "schedule.name = 'step'"),
            ("balance", "effective_beta", self.class_weights == "effective", "class_weights = 'effective'"),
            ("balance", "share", self.balance.sampling == "oversample", "balance.sampling = 'oversample'"),
        ):
            values = getattr(self, table)
            value = getattr(values, name)
            # Files of runs list every key: a default says nothing.
            if not works and value != type(values).model_fields[name].default:
                raise ValueError(f"{table}.{name} = {value} has no effect; it needs {needs}")
        return self

    def resolved(self) -> dict[str, Any]:
        """Every key with its value, JSON-ready; without ``nesterov`` where there is no momentum to look ahead by."""
        content = self.model_dump(mode="json")
        if self.optim.nesterov and (self.optim.name != "sgd" or not self.optim.momentum):
            del content["optim"]["nesterov"]
        return content

    @property
    def own_parts(self) -> dict[str, OwnPart | OptimRecipe]:
        """Return the parts in :data:`OWN_PARTS` that name a file."""
        return {table: part for table in OWN_PARTS if (part := getattr(self, table)).file}

    @property
    def learns_votes(self) -> bool:
        """Whether one of its outputs learns from votes, in any form."""
        return any(output.learns_votes for output in self.outputs.values())

    def side_px(self, progress: float) -> int:
        """Side at which training shows the crop when ``progress`` (0..1) of the run is done."""
        return next((side_px for share, side_px in self.progressive_resizing if progress < share), self.input.crop_px)

    @property
    def digest(self) -> str:
        """SHA-256 over everything that shapes the result (not name and description), as ``"sha256:..."``.

        What has its default is left out, so that a run keeps its digest when recipes gain a key. The default of a key
        therefore never changes; a new behaviour is a new value. A key that was renamed counts under its first name.
        Settings of the network all count: recipes are compared as :func:`mien.models.registry.completed` has them.
        """
        content = self.model_dump(mode="json", exclude={"name", "description"}, exclude_defaults=True)
        for table in ("model", *OWN_PARTS):
            # The text of a file counts, by file_sha256, and not where it lies.
            content.get(table, {}).pop("file", None)
        for table, name, former in _DIGESTED_AS:
            values = content.get(table, {}) if table else content
            if name in values:
                values[former] = values.pop(name)
        text = json.dumps(content, sort_keys=True)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


Change = str | tuple[str, Any]
"""``"optim.lr=0.01"``, a dotted key with a value in TOML (a bare word is text), or the pair ``("optim.lr", 0.01)``."""

_ALSO_CALLED = {
    "optimizer": "optim.name",
    "learning_rate": "optim.lr",
    "scheduler": "schedule.name",
    "patience": "stopping.patience",
    "early_stopping": "stopping.patience",
    "dropout": "model.dropout",
    "class_weight": "class_weights",
    "loss_fn": "loss.file",
}
_KIND = SpecKind("recipe", "recipes", RecipeError, _ALSO_CALLED)


def key_of(name: str) -> str:
    """The dotted key that is called so in some table, or in other packages; ``""`` for none."""
    return _KIND.key_of(Recipe, name)


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
        for table in ("model", *OWN_PARTS):
            values = content.get(table)
            if isinstance(values, Mapping) and isinstance(file := values.get("file"), str) and file:
                # Beside the recipe; where --set names one, it is a path from here.
                content[table] = {**values, "file": str(Path(name).parent / file)}
    return check_recipe(content, name, changes)


def check_recipe(content: Mapping[str, Any], origin: str, changes: Sequence[Change] = ()) -> Recipe:
    """Check a recipe's content after changes. ``origin`` is named in errors. Raises :class:`RecipeError`."""
    settings = [_parsed(change) if isinstance(change, str) else change for change in changes]
    changed = _without_other_model(dict(content), settings)
    for key, value in settings:
        changed = _with(changed, key.split("."), value, key)
    return _KIND.check(Recipe, changed, origin)


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
        key = change.partition("=")[0].strip() if isinstance(change, str) else change[0]
        if key == "model.dropout" and "dropout" in model:
            model["dropout"] = recipe.model.settings["dropout"]
        elif key.startswith(("model", "input")):
            raise RecipeError(
                f"{arg('settings', key)}: fine-tuning keeps the network and input of the run it starts from.",
                code="recipe-set-fixed",
            )
    content = {**recipe.model_dump(mode="json"), "model": model, "input": trained.input.model_dump(mode="json")}
    return check_recipe(content, f"for tuning {trained.name}")


def dotted(
    tables: Mapping[str, Any], is_value: Callable[[str, Any], bool] = lambda key, value: False, above: str = ""
) -> dict[str, Any]:
    """Tables as dotted keys, ``{"optim": {"lr": 1}}`` -> ``{"optim.lr": 1}``, except those that are values."""
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        name = f"{above}{key}"
        whole = not isinstance(value, Mapping) or is_value(name, value)
        flat |= {name: value} if whole else dotted(value, is_value, f"{name}.")
    return flat


def dump_recipe(recipe: Recipe) -> str:
    """Write a recipe as TOML, every key with its value, so that the file stays true when defaults change."""
    content = recipe.resolved()
    for table in OWN_PARTS:
        content[table] = {key: value for key, value in content[table].items() if value != ""}
    return dump_toml(content)


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
