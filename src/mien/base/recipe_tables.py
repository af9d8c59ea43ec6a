"""The tables of a recipe: network, optimiser, schedule, augmentation, and so on, each a strict value."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from mien.base.errors import RecipeError, nearest
from mien.base.heads import Target

Probability = Annotated[float, Field(ge=0, le=1)]
OutputName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Factor = Annotated[float, Field(ge=0, le=10)]

_MAX = 1e30
"""Upper limit of settings that are used in fp32; the largest fp32 number is 3e38."""
Weight = Annotated[float, Field(ge=0, le=_MAX)]


class StrictModel(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """A table of a TOML file. A table is immutable and refuses unknown keys, infinity and NaN."""


_MIEN = ("stem_width", "stem_stride", "widths", "convolutions", "pool_last", "dropout")
MODEL_SETTINGS: dict[str, tuple[str, ...]] = {
    **{"mien": _MIEN, "separable": _MIEN, "study-a": ("dropout",), "study-b": ()},
    **dict.fromkeys(("vgg11", "vgg13", "vgg16", "resnet18", "resnet34"), ("width", "dropout")),
    "joined": ("width", *_MIEN),
    "timm": ("backbone", "pretrained", "weights", "upsample_px", "dropout"),
}
"""Settings by network, so that a wrong one is found without torch, which takes seconds to import."""


class ModelRecipe(BaseModel, extra="allow", frozen=True, allow_inf_nan=False):
    """The network ``name``, or that class of a user's ``file``, with settings that ``mien.models.registry`` checks."""

    name: str = "mien"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the network's family, e.g. ``{"widths": [32, 64, 128, 256]}``."""
        return dict(self.model_extra or {})

    @property
    def file(self) -> str:
        """Path of the user's Python file that defines the class ``name``; empty for a network of mien."""
        return str(self.settings.get("file", ""))

    def check_names(self) -> None:
        """Raise :class:`RecipeError` if mien has no such network (``model-unknown``) or setting (``model-setting``)."""
        if self.file:
            return
        if self.name not in MODEL_SETTINGS:
            words = f"There is no model '{self.name}'." + nearest(self.name, MODEL_SETTINGS)
            raise RecipeError(words, code="model-unknown")
        known = MODEL_SETTINGS[self.name]
        for key in self.settings.keys() - known:
            raise RecipeError(f"Model {self.name} has no setting '{key}'.{nearest(key, known)}", code="model-setting")


class OnlyWith(NamedTuple):
    """Marks a key that has an effect only if ``holds`` for the recipe; ``needs`` says so. A change of it is refused."""

    needs: str
    holds: Callable[[Any], bool]


class OwnPart(BaseModel, extra="allow", frozen=True, allow_inf_nan=False):
    """A user's own function or class, given by file and name. Keys without a field are its arguments."""

    file: str = Field(default="", description="path of a Python file that defines name")
    file_sha256: str = Field(default="", description="digest of the file's text")
    name: str = ""

    @property
    def arguments(self) -> dict[str, Any]:
        """The keys that are arguments of the user's function."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if bool(self.file) != bool(self.name) and not type(self).model_fields["name"].default:
            raise ValueError("needs both file and name, or none of them")
        for key, value in self.arguments.items() if not self.file else ():
            fault = InitErrorDetails(type="extra_forbidden", loc=(key,), input=value)
            raise ValidationError.from_exception_data("recipe", [fault])
        return self


OWN_PARTS = ("loss", "augment", "optim")
"""Tables of a recipe that may name a function in a user's file."""


def _named(table: str, *names: str) -> OnlyWith:
    """Mark a key that has an effect only with these names of its table, or with a user's function."""

    def holds(recipe: Any) -> bool:
        chosen = getattr(recipe, table)
        return chosen.name in names or bool(getattr(chosen, "file", ""))

    return OnlyWith(f"{table}.name = " + " or ".join(map(repr, names)), holds)


class OptimRecipe(OwnPart):
    """The optimiser. Biases and normalisation layers get no weight decay."""

    name: str = Field(default="sgd", description="sgd, adam, adamw, rmsprop, or a function in file")
    lr: float = Field(default=0.1, gt=0, le=_MAX, description="peak learning rate")
    momentum: Annotated[Fraction, _named("optim", "sgd", "rmsprop")] = 0.9
    nesterov: bool = True
    betas: Annotated[tuple[Fraction, Fraction], _named("optim", "adam", "adamw")] = (0.9, 0.999)
    epsilon: float = Field(default=1e-8, gt=0, description="adam, adamw, rmsprop: small number added to divisors")
    weight_decay: float = Field(default=0.0, ge=0, le=_MAX)
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
    final: Annotated[Fraction, _named("schedule", "cosine", "one-cycle")] = Field(
        default=0.0, description="cosine, one-cycle: final rate as a fraction of lr"
    )
    step_epochs: Annotated[int, _named("schedule", "step")] = Field(
        10, ge=1, description="step: epochs between two cuts of the rate"
    )
    factor: Annotated[float, _named("schedule", "step", "plateau")] = Field(
        default=0.1, gt=0, lt=1, description="step, plateau: each cut multiplies the rate by this"
    )
    patience: Annotated[int, _named("schedule", "plateau")] = Field(
        3, ge=1, description="epochs without a better loss before a cut"
    )


def _said(words: str, cites: str, schema: dict[str, Any]) -> None:
    """Leave the JSON schema of a key as it is; a paper says the value {0}, or its percentage {1}, in these words."""


def off(words: str, description: str | None = None, cites: str = "", *, default: Any = 0.0, **settings: Any) -> Any:
    """Return the field of a key that is off by default; a user's loss replaces those outside ``[augment]``."""
    return Field(default=default, description=description, json_schema_extra=partial(_said, words, cites), **settings)


MIXES = tuple(f"augment.{key}" for key in ("mixup", "cutmix", "mixup_probability", "mixup_off_epochs"))
"""Keys that a user's augmentation does not replace."""

_mixed = OnlyWith("augment.mixup or augment.cutmix", lambda r: bool(r.augment.mixup or r.augment.cutmix))


class AugmentRecipe(OwnPart):
    """Random augmentation in each epoch, off by default; a function in ``file`` replaces all but mixup and cutmix."""

    flip: bool = off("mirrored", "mirror half of the images in one epoch, the other half in the next", default=False)
    translate: Fraction = off("shifted by up to {1:g}% of the side", "largest shift, as a fraction of the side")
    rotation_degrees: float = off("rotated by up to {0:g} degrees", ge=0, le=180)
    scale: Fraction = off("zoomed by up to {1:g}%", "zoom between 1 - scale and 1 + scale")
    shear: Fraction = off("sheared by up to {1:g}%", "largest shear: horizontal shift as a fraction of the height")
    brightness: Probability = off(
        "changed in brightness by up to {1:g}% of white", "largest change, a fraction of white"
    )
    brightness_range: tuple[Factor, Factor] = off(
        "multiplied in brightness by {0[0]:g} to {0[1]:g}", "[0.2, 1.2]: grey times 0.2 to 1.2", default=(1.0, 1.0)
    )
    contrast: Fraction = off("changed in contrast by up to {1:g}%", "contrast between 1 - contrast and 1 + contrast")
    random_erasing: Probability = off(
        "erased in a rectangle ({1:g}%)", "fraction that loses a rectangle", "random-erasing"
    )
    blur: Probability = off("blurred ({1:g}%)", "fraction of images that are blurred")
    noise: Probability = off("made noisy ({1:g}%)", "fraction of images with added Gaussian noise")
    low_resolution: Probability = off("reduced in resolution ({1:g}%)", "fraction of images at a lower resolution")
    mixup: Weight = off("mixed by mixup (alpha {0:g})", "alpha of the Beta distribution; 0 is off", "mixup")
    cutmix: Weight = off("mixed by cutmix (alpha {0:g})", "alpha of the Beta distribution; 0 is off", "cutmix")
    mixup_probability: Annotated[Probability, _mixed] = Field(1.0, description="fraction of batches that are mixed")
    mixup_off_epochs: Annotated[Fraction, _mixed] = Field(0.0, description="last fraction of epochs without mixing")

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
    share: Annotated[
        float, OnlyWith("balance.sampling = 'oversample'", lambda r: r.balance.sampling == "oversample")
    ] = Field(default=1.0, gt=0, le=1, description="oversample: up to this fraction of the largest class")
    faces_per_class: int = Field(
        default=0, ge=0, description="largest number of faces per class, drawn at random before sampling; 0 keeps all"
    )
    effective_beta: Annotated[
        Fraction, OnlyWith("class_weights = 'effective'", lambda r: r.class_weights == "effective")
    ] = Field(default=0.999, description="beta of class_weights = effective")
    focal_gamma: float = off("focal loss with gamma {0:g}", "0 is cross-entropy, 2 as in the paper", "focal", ge=0)
    logit_adjustment: float = off(
        "logit adjustment {0:g}", "tau of Menon et al.: 0 is off, 1 as in the paper", "logit-adjustment", ge=0
    )


class DistillRecipe(StrictModel):
    """Knowledge distillation from teachers. Distillation has no effect without teachers (``mien train``)."""

    temperature: float = Field(default=3.0, gt=0, description="temperature of the teachers' and student's softmax")
    alpha: float = Field(
        0.9, gt=0, le=1, description="weight of the distillation loss; labels and votes have 1 - alpha"
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
    weight: float = Field(default=1.0, gt=0, le=_MAX, description="weight of this output's loss in the sum")


class TuningRecipe(StrictModel):
    """Fine-tuning settings for pretrained weights. By default, all layers train with the same learning rate."""

    frozen_epochs: int = Field(default=0, ge=0, description="initial epochs in which only the head is trained")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="learning rate of a block as a fraction of the next block's"
    )
    fit_head: bool = Field(
        False,
        description="fit the head alone by logistic regression on features without augmentation; no optimiser is used",
    )
