"""The recipe of a training run: a strict, typed value that is read from and written to TOML.

Unknown keys, wrong types and values out of range raise an error that names the key. No key is ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import digits
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from mien.base.errors import DataError, RecipeError
from mien.base.files import expand_home
from mien.base.heads.kinds import HEADS, Target
from mien.base.labels import parse_scheme
from mien.base.preprocess import InputSpec
from mien.base.spec_file import SpecKind, dump_toml, is_path, parse_toml

Probability = Annotated[float, Field(ge=0, le=1)]
OutputName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Factor = Annotated[float, Field(ge=0, le=10)]

_MOST = 1e30
"""Upper limit of settings that are used in fp32; the largest fp32 number is 3e38."""
Weight = Annotated[float, Field(ge=0, le=_MOST)]
_DIGESTED_AS = (
    ("", "recalibrate_bn", "renew_statistics"),
    ("", "progressive_resizing", "early_sizes"),
    ("augment", "translate", "shift"),
    ("augment", "random_erasing", "erasing"),
    ("augment", "mixup_off_epochs", "off_last"),
    ("distill", "alpha", "share"),
)
"""Table, current name and old name of renamed keys. Digests use old names, so stored runs and models still match."""


class StrictModel(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """A table of a TOML file. A table is immutable and refuses unknown keys, infinity and NaN."""


class ModelRecipe(BaseModel, extra="allow", frozen=True, allow_inf_nan=False):
    """The network. Keys other than ``name`` are settings of the network's family, checked by ``mien.models.registry``.

    With ``file``, ``name`` is a class in a user's Python file; ``file_sha256`` is the digest of its text.
    """

    name: str = "mien"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the network's family, e.g. ``{"widths": [32, 64, 128, 256]}``."""
        return dict(self.model_extra or {})

    @property
    def file(self) -> str:
        """Path of the user's Python file that defines the class ``name``; empty for a network of mien."""
        return str(self.settings.get("file", ""))


class OwnPart(StrictModel):
    """A user's own function, given by file and name; ``file_sha256`` is the digest of the file's text."""

    file: str = Field(default="", description="path of a Python file that defines the function name")
    file_sha256: str = ""
    name: str = ""

    @model_validator(mode="after")
    def _file_and_name(self) -> OwnPart:
        if bool(self.file) != bool(self.name):
            raise ValueError("needs both file and name, or none of them")
        return self


OWN_PARTS = ("loss", "augment", "optim")
"""Tables of a recipe that may name a function in a user's file."""


class OptimRecipe(StrictModel):
    """The optimiser. Biases and normalisation layers get no weight decay."""

    file: str = ""
    file_sha256: str = ""
    name: str = Field(default="sgd", description="sgd, adam, adamw, rmsprop, or a function in file")
    lr: float = Field(default=0.1, gt=0, le=_MOST, description="peak learning rate")
    momentum: Fraction = 0.9
    nesterov: bool = True
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    epsilon: float = Field(default=1e-8, gt=0, description="adam, adamw, rmsprop: small number added to divisors")
    weight_decay: float = Field(default=0.0, ge=0, le=_MOST)
    clip_norm: float = Field(default=0.0, ge=0, description="largest gradient norm; 0 is no limit")

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str, info: ValidationInfo) -> str:
        if name not in {"sgd", "adam", "adamw", "rmsprop"} and not info.data.get("file"):
            raise PydanticCustomError("literal_error", "", {"expected": "'sgd', 'adam', 'adamw' or 'rmsprop'"})
        return name


class ScheduleRecipe(StrictModel):
    """The learning rate over the run, as a factor of ``optim.lr``."""

    name: Literal["constant", "step", "plateau", "cosine", "one-cycle"] = "constant"
    # With one-cycle, the rate rises during warmup and falls linearly afterwards.
    warmup: Fraction = Field(default=0.0, description="fraction of the run in which the learning rate rises from 0")
    final: Fraction = Field(default=0.0, description="cosine, one-cycle: final rate as a fraction of lr")
    step_epochs: int = Field(default=10, ge=1, description="step: epochs between two cuts of the learning rate")
    factor: float = Field(default=0.1, gt=0, lt=1, description="step, plateau: each cut multiplies the rate by this")
    patience: int = Field(default=3, ge=1, description="plateau: epochs without a better loss before a cut")


class AugmentRecipe(OwnPart):
    """Random augmentation of training images, different in each epoch. Everything is off by default.

    A function in ``file`` replaces everything except mixup and cutmix.
    """

    flip: bool = Field(default=False, description="mirror half of the images in one epoch, the other half in the next")
    translate: Fraction = Field(default=0.0, description="largest shift, as a fraction of the side")
    rotation_degrees: float = Field(default=0.0, ge=0, le=180)
    scale: Fraction = Field(default=0.0, description="zoom between 1 - scale and 1 + scale")
    shear: Fraction = Field(default=0.0, description="largest shear: horizontal shift as a fraction of the height")
    brightness: float = Field(default=0.0, ge=0, le=1, description="largest change, as a fraction of white")
    brightness_range: tuple[Factor, Factor] = Field(
        default=(1.0, 1.0), description="[0.2, 1.2]: grey values are multiplied by 0.2 to 1.2"
    )
    contrast: Fraction = Field(default=0.0, description="contrast between 1 - contrast and 1 + contrast")
    random_erasing: Probability = Field(default=0.0, description="fraction of images that lose a rectangle")
    blur: Probability = Field(default=0.0, description="fraction of images that are blurred")
    noise: Probability = Field(default=0.0, description="fraction of images with added Gaussian noise")
    low_resolution: Probability = Field(default=0.0, description="fraction of images reduced to a lower resolution")
    mixup: float = Field(default=0.0, ge=0, le=_MOST, description="alpha of the Beta distribution; 0 is off")
    cutmix: float = Field(default=0.0, ge=0, le=_MOST, description="alpha of the Beta distribution; 0 is off")
    mixup_probability: Probability = Field(default=1.0, description="fraction of batches that mixup and cutmix change")
    mixup_off_epochs: Fraction = Field(default=0.0, description="last fraction of epochs without mixup and cutmix")

    @field_validator("brightness_range")
    @classmethod
    def _range_rises(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if ends[0] > ends[1]:
            raise ValueError(f"{ends[0]:g} is above {ends[1]:g}; the smaller number comes first")
        return ends


class BalanceRecipe(StrictModel):
    """Settings against class imbalance, besides ``class_weights``. Everything is off by default."""

    sampling: Literal["none", "undersample", "oversample", "batches"] = Field(
        default="none",
        description="undersample: reduce to the smallest class; oversample: repeat faces; batches: equal "
        "shares of the classes in every batch",
    )
    share: float = Field(default=1.0, gt=0, le=1, description="oversample: up to this fraction of the largest class")
    faces_per_class: int = Field(
        default=0, ge=0, description="largest number of faces per class, drawn at random before sampling; 0 keeps all"
    )
    effective_beta: Fraction = Field(default=0.999, description="beta of class_weights = effective")
    focal_gamma: float = Field(default=0.0, ge=0, description="focal loss: 0 is cross-entropy, 2 as in the paper")
    logit_adjustment: float = Field(default=0.0, ge=0, description="tau of Menon et al.: 0 is off, 1 as in the paper")


class DistillRecipe(StrictModel):
    """Knowledge distillation from teachers. Distillation has no effect without teachers (``mien train``)."""

    temperature: float = Field(default=3.0, gt=0, description="temperature of the teachers' and student's softmax")
    alpha: float = Field(
        default=0.9, gt=0, le=1, description="weight of the distillation loss; that of labels and votes is 1 - alpha"
    )


class StoppingRecipe(StrictModel):
    """Which epoch is the best, and how long to wait for a better one."""

    metric: Literal["accuracy", "loss", "macro_f1", "macro_auc"] = "accuracy"
    keep: Literal["best", "last"] = Field(default="best", description="which epoch's weights are kept and exported")
    patience: int = Field(default=0, ge=0, description="stop after so many epochs without a better value; 0: never")


class OutputRecipe(StrictModel):
    """One output of the network: its training target and the weight of its loss."""

    target: Target = Field(
        default="label",
        description="label: the data's label; votes: the distribution of votes; majority: the class with most votes; "
        "sampled: one vote, drawn again each epoch; affect: ratings in the columns valence and arousal",
    )
    weight: float = Field(default=1.0, gt=0, le=_MOST, description="weight of this output's loss in the sum")


class TuningRecipe(StrictModel):
    """Fine-tuning settings for pretrained weights. By default, all layers train with the same learning rate."""

    frozen_epochs: int = Field(default=0, ge=0, description="initial epochs in which only the head is trained")
    layer_decay: float = Field(
        default=1.0, gt=0, le=1, description="learning rate of a block, as a fraction of that of the next block"
    )
    fit_head: bool = Field(
        default=False,
        description="fit the head alone, by cross-validated logistic regression on features of images without "
        "augmentation; the optimiser is not used",
    )


class Recipe(StrictModel):
    """The settings of one training run, without its data."""

    # The name is also the default name of run folders.
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
        description="balanced: N / (K n_c), which gives all classes equal weight; effective: Cui et al. "
        "2019; or a table {disgust = 5.0}; classes not in it have weight 1",
    )
    self_adaptive: Probability = Field(
        default=0.0,
        description="self-adaptive training (Huang et al. 2020): weight of the model's own predictions in the targets; "
        "they move by a tenth each time a face is seen, from 30% of the steps on; 0 is off",
    )
    ema_decay: Fraction = Field(default=0.0, description="moving average of the weights, per step; 0 is off")
    recalibrate_bn: bool = Field(
        default=False, description="recalculate batch-norm statistics on 4,096 training faces without augmentation"
    )
    progressive_resizing: tuple[tuple[Probability, int], ...] = Field(
        default=(), description="[[0.4, 28], [0.7, 36]]: train at 28 px until 40% of the run, at 36 px until 70%"
    )
    outputs: dict[OutputName, OutputRecipe] = Field(
        default={}, description="outputs by name, exactly one with target label; empty means one output for labels"
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
        """Put the label's output first and sort the others by name, so that the order in a file has no effect."""
        named = [name for name, output in outputs.items() if output.target == "label"]
        if outputs and len(named) != 1:
            raise ValueError(f"exactly one output needs target = 'label'; found {len(named)}")
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
            raise ValueError("progressive_resizing needs pairs sorted by their first values")
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
    def _every_changed_key_has_an_effect(self) -> Recipe:
        for table, name, works, needs in (
            ("optim", "betas", self.optim.name in {"adam", "adamw"}, "optim.name = 'adam' or 'adamw'"),
            ("schedule", "patience", self.schedule.name == "plateau", "schedule.name = 'plateau'"),
            ("schedule", "step_epochs", self.schedule.name == "step", "schedule.name = 'step'"),
            ("balance", "effective_beta", self.class_weights == "effective", "class_weights = 'effective'"),
            ("balance", "share", self.balance.sampling == "oversample", "balance.sampling = 'oversample'"),
        ):
            values = getattr(self, table)
            value = getattr(values, name)
            # recipe.toml of a run lists every key, so defaults are allowed.
            if not works and value != type(values).model_fields[name].default:
                raise ValueError(f"{table}.{name} = {value} has no effect; it needs {needs}")
        return self

    def resolved(self) -> dict[str, Any]:
        """Return every key with its value, JSON-ready. ``nesterov`` is missing if the optimiser has no momentum."""
        content = self.model_dump(mode="json")
        if self.optim.nesterov and (self.optim.name != "sgd" or not self.optim.momentum):
            del content["optim"]["nesterov"]
        return content

    @property
    def own_parts(self) -> dict[str, OwnPart | OptimRecipe]:
        """The parts in :data:`OWN_PARTS` that name a file."""
        return {table: part for table in OWN_PARTS if (part := getattr(self, table)).file}

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

        Keys at their default are left out, so a digest stays valid when recipes get a new key. The default of a key
        must therefore never change. For a renamed key, the old name is hashed. All settings of the network are hashed,
        so compare recipes after :func:`mien.models.registry.completed`.
        """
        content = self.model_dump(mode="json", exclude={"name", "description"}, exclude_defaults=True)
        for table in ("model", *OWN_PARTS):
            # The digest covers the file's text (file_sha256), not its path.
            content.get(table, {}).pop("file", None)
        for table, name, former in _DIGESTED_AS:
            values = content.get(table, {}) if table else content
            if name in values:
                values[former] = values.pop(name)
        return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"


Change = str | tuple[str, Any]
"""``"optim.lr=0.01"``: a dotted key and a TOML value (a bare word is text), or a pair ``("optim.lr", 0.01)``."""

_ALSO_CALLED = {
    "optimizer": "optim.name",
    "learning_rate": "optim.lr",
    "scheduler": "schedule.name",
    "patience": "stopping.patience",
    "early_stopping": "stopping.patience",
    "dropout": "model.dropout",
    "class_weight": "class_weights",
    "imgsz": "input.size_px",
    "image_size": "input.size_px",
    "loss_fn": "loss.file",
}
_KIND = SpecKind("recipe", "recipes", RecipeError, _ALSO_CALLED)


def key_of(name: str) -> str:
    """Return the dotted key for a key's name here or in another package; ``""`` if none. A table is ``augment.KEY``."""
    key = _KIND.key_of(Recipe, name)
    kind = Recipe.model_fields[key].annotation if key in Recipe.model_fields else None
    return f"{key}.KEY" if isinstance(kind, type) and issubclass(kind, StrictModel) else key


def recipe_names() -> list[str]:
    """Return the names of mien's built-in recipes."""
    return _KIND.names()


def load_recipe(name: str | os.PathLike[str], changes: Sequence[Change] | Mapping[str, Any] = ()) -> Recipe:
    """Load a recipe by name or from a ``.toml`` file, and apply changes.

    Args:
        name: one of :func:`recipe_names`, or a ``.toml`` path. A recipe without a ``name`` gets that of its file.
        changes: changes to apply in order, e.g. ``["optim.lr=0.01"]`` or ``{"optim.lr": 0.01}``.

    Raises:
        RecipeError: no such recipe, invalid TOML, an unknown key, or an impossible value.
    """
    content = _KIND.parse(_KIND.read(name), str(name))
    name, changes = os.fspath(name), list(changes.items()) if isinstance(changes, Mapping) else changes
    if is_path(name):
        content = {"name": name_of_file(name), **content}
        for table in ("model", *OWN_PARTS):
            values = content.get(table)
            if isinstance(values, Mapping) and isinstance(file := values.get("file"), str) and file:
                # Paths in a recipe are relative to it; paths given by --set are relative to the working folder.
                content[table] = {**values, "file": str(expand_home(name).parent / file)}
    return check_recipe(content, name, changes)


def check_recipe(content: Mapping[str, Any], origin: str, changes: Sequence[Change] = ()) -> Recipe:
    """Apply changes to a recipe's content and check it. Errors name ``origin``. Raises :class:`RecipeError`."""
    settings = [_parsed(change) if isinstance(change, str) else change for change in changes]
    changed = _without_other_model(dict(content), settings)
    for key, value in settings:
        changed = _with(changed, key.split("."), value, key)
    return _KIND.check(Recipe, changed, origin)


def _without_other_model(content: dict[str, Any], settings: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Drop the settings of the recipe's network if ``model.name`` changes to another family.

    The other network may not have these settings. A family is a name without final digits: ``vgg11`` and ``vgg16`` have
    the same settings.
    """
    model = content.get("model")
    names = [str(value) for key, value in settings if key == "model.name"]
    former = str(model.get("name", "mien")) if isinstance(model, Mapping) else ""
    if former and names and names[-1].rstrip(digits) != former.rstrip(digits):
        return {**content, "model": {}}
    return content


def name_of_file(path: str) -> str:
    """Return the file's stem; characters that are not allowed in a recipe's name become hyphens."""
    return re.sub(r"[^A-Za-z0-9._ -]", "-", Path(path).stem).lstrip("._ -") or "unnamed"


def tuned(recipe: Recipe, trained: Recipe, changes: Sequence[Change] = ()) -> Recipe:
    """Return a recipe for fine-tuning: ``recipe`` with the network and input of ``trained``.

    From the recipe's own model only ``dropout`` is used, because dropout has no weights. Raises RecipeError for a
    change by the user that the trained weights do not allow, or an impossible combination.
    """
    model = trained.model.model_dump()
    for change in changes:
        key = change.partition("=")[0].strip() if isinstance(change, str) else change[0]
        if key == "model.dropout" and "dropout" in model:
            model["dropout"] = recipe.model.settings["dropout"]
        elif key.startswith(("model", "input")):
            words = f"--set {key}: fine-tuning keeps the network and input of the run it starts from."
            raise RecipeError(words, code="recipe-set-fixed")
    content = {**recipe.model_dump(mode="json"), "model": model, "input": trained.input.model_dump(mode="json")}
    return check_recipe(content, f"for tuning {trained.name}")


def dotted(
    tables: Mapping[str, Any], is_value: Callable[[str, Any], bool] = lambda key, value: False, above: str = ""
) -> dict[str, Any]:
    """Flatten tables to dotted keys, ``{"optim": {"lr": 1}}`` -> ``{"optim.lr": 1}``, where ``is_value`` is False."""
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        name = f"{above}{key}"
        whole = not isinstance(value, Mapping) or is_value(name, value)
        flat |= {name: value} if whole else dotted(value, is_value, f"{name}.")
    return flat


def dump_recipe(recipe: Recipe) -> str:
    """Write a recipe as TOML with every key, so that the file stays valid when defaults change."""
    content = recipe.resolved()
    for table in OWN_PARTS:
        content[table] = {key: value for key, value in content[table].items() if value != ""}
    return dump_toml(content)


def _parsed(change: str) -> tuple[str, Any]:
    key, equals, value = (piece.strip() for piece in change.partition("="))
    if not (key and equals):
        words = f"--set '{change}' is not of the form key=value, e.g. optim.lr=0.01."
        raise RecipeError(words, code="recipe-set-form")
    try:
        return key, parse_toml(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value
    except ValueError as error:
        words = f"--set {key}: its value is not valid: {error}."
        raise RecipeError(words, code="recipe-set-value") from None


def _with(table: Mapping[str, Any], path: Sequence[str], value: Any, key: str) -> dict[str, Any]:
    """Return the table with one value changed; ``path`` holds the parts of ``key`` that remain."""
    name, *rest = path
    if not rest:
        return {**table, name: value}
    inner = table.get(name, {})
    if not isinstance(inner, Mapping):
        words = f"--set {key}: '{name}' is a value, not a table of values."
        raise RecipeError(words, code="recipe-set-form")
    return {**table, name: _with(inner, rest, value, key)}
