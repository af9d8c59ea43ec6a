"""A training run as a typed, strict value; :mod:`mien.recipe_file` reads and writes it.

An unknown key, a value of the wrong type or out of range is an error that names the key; nothing is ignored.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mien.errors import DataError
from mien.labels import parse_scheme
from mien.preprocess import InputSpec

Probability = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

_MOST = 1e30
"""Of settings that torch computes with in fp32, which ends at 3e38."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelRecipe(BaseModel):
    """Which network. Keys beside ``name`` are the family's own settings, checked by ``mien.models.registry``."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    name: str = "mien"

    @property
    def settings(self) -> dict[str, Any]:
        """The family's own settings, e.g. ``{"widths": [32, 64, 128, 256]}``."""
        return dict(self.model_extra or {})


class OptimRecipe(_Strict):
    """The optimiser. Weight decay never touches biases and normalisation layers."""

    name: Literal["sgd", "adam", "adamw", "rmsprop"] = "sgd"
    lr: float = Field(default=0.1, gt=0, le=_MOST, description="peak learning rate")
    momentum: Fraction = 0.9
    nesterov: bool = True
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    epsilon: float = Field(default=1e-8, gt=0, description="adam, adamw, rmsprop: keeps divisions finite")
    weight_decay: float = Field(default=0.0, ge=0, le=_MOST)
    clip_norm: float = Field(default=0.0, ge=0, description="largest gradient norm; 0 is no limit")
    sam_rho: float = Field(default=0.0, ge=0, description="sharpness-aware minimisation: 0 is off, 0.05 the paper's")


class ScheduleRecipe(_Strict):
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


class AugmentRecipe(_Strict):
    """Random changes of training images, drawn anew each epoch. All are off by default."""

    flip: bool = Field(default=False, description="mirror half of the images, the other half in the next epoch")
    shift: Fraction = Field(default=0.0, description="largest shift, as a share of the side")
    rotation_degrees: float = Field(default=0.0, ge=0, le=180)
    scale: Fraction = Field(default=0.0, description="zoom between 1 - scale and 1 + scale")
    brightness: float = Field(default=0.0, ge=0, le=1, description="largest offset, as a share of white")
    contrast: Fraction = Field(default=0.0, description="contrast between 1 - contrast and 1 + contrast")
    erasing: Probability = Field(default=0.0, description="share of images that lose a rectangle")
    mixup: float = Field(default=0.0, ge=0, le=_MOST, description="alpha of the Beta distribution; 0 is off")
    cutmix: float = Field(default=0.0, ge=0, le=_MOST, description="alpha of the Beta distribution; 0 is off")
    off_last: Fraction = Field(default=0.0, description="share of epochs at the end without mixup and cutmix")


class BalanceRecipe(_Strict):
    """What makes up for classes of unequal size, beside ``class_weights``. All is off by default."""

    sampling: Literal["none", "undersample", "oversample", "mixup", "warp", "batches"] = Field(
        default="none",
        description="undersample: to the smallest class; oversample, mixup, warp: fill up with repeated, blended or "
        "warped faces; batches: equal shares of the classes in every batch",
    )
    share: float = Field(
        default=1.0, gt=0, le=1, description="oversample, mixup, warp: fill up to this share of the largest class"
    )
    effective_beta: Fraction = Field(default=0.999, description="class_weights = effective: its beta")
    focal_gamma: float = Field(default=0.0, ge=0, description="focal loss: 0 is cross-entropy, 2 the paper's")
    logit_adjustment: float = Field(default=0.0, ge=0, description="tau of Menon et al.: 0 is off, 1 the paper's")


class DistillRecipe(_Strict):
    """How a student learns from teachers. Without teachers (``mien train``) it changes nothing."""

    temperature: float = Field(default=3.0, gt=0, description="softens both answers before they are compared")
    share: float = Field(
        default=0.9, gt=0, le=1, description="the teachers' share of the loss; the rest is the label's"
    )
    live: bool = Field(default=False, description="ask the teachers about each batch as augmented, at each step")


class StoppingRecipe(_Strict):
    """Which epoch is best, and when to stop waiting for a better one."""

    metric: Literal["accuracy", "loss", "macro_f1", "macro_auc"] = "accuracy"
    patience: int = Field(default=0, ge=0, description="epochs without a better value; 0 never stops early")


class TuningRecipe(_Strict):
    """Fine-tuning: how gently weights are treated that were trained before. The defaults treat all alike."""

    frozen_epochs: int = Field(default=0, ge=0, description="epochs at the start in which only the head learns")
    layer_decay: float = Field(
        default=1.0, gt=0, le=1, description="what each block's rate is of that of the block above it; 1 is one rate"
    )


class Recipe(_Strict):
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
    class_weights: Literal["none", "balanced", "effective"] = Field(
        default="none",
        description="balanced: N / (K n_c), so that each class weighs the same in the loss; effective: Cui et al. 2019",
    )
    ema_decay: Fraction = Field(default=0.0, description="moving average of the weights, per step; 0 is off")
    renew_statistics: bool = Field(
        default=False,
        description="batch norms are validated and kept with statistics of 4,096 train faces as they are served",
    )
    consistency: float = Field(
        default=0.0,
        ge=0,
        description="weight of the disagreement between the answers to a face and to its mirror image; 0 is off",
    )
    early_sizes: tuple[tuple[Probability, int], ...] = Field(
        default=(),
        description="[[0.4, 28], [0.7, 36]]: until 40 % of the run the network sees its crop at 28 px, then at 36",
    )
    input: InputSpec = InputSpec()
    model: ModelRecipe = ModelRecipe()
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

    @model_validator(mode="after")
    def _early_sizes_grow(self) -> Recipe:
        shares = [share for share, _ in self.early_sizes]
        if shares != sorted(shares):
            raise ValueError("early_sizes must be in the order of their shares of the run")
        for _, side_px in self.early_sizes:
            if not 8 <= side_px <= self.input.crop_px:
                raise ValueError(f"an early size of {side_px} px is outside 8..{self.input.crop_px} (input.crop_px)")
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
        if balance.share < 1 and balance.sampling not in {"oversample", "mixup", "warp"}:
            raise ValueError(
                f"balance.share = {balance.share:g} says how far to fill up classes, which "
                f"balance.sampling = '{balance.sampling}' does not; choose oversample, mixup or warp"
            )
        return self

    def side_px(self, progress: float) -> int:
        """Side at which training shows the crop when ``progress`` (0..1) of the run is done."""
        return next((side_px for share, side_px in self.early_sizes if progress < share), self.input.crop_px)

    @property
    def digest(self) -> str:
        """SHA-256 over everything that shapes the result (not name and description), as ``"sha256:..."``.

        What has its default is left out, so that a run keeps its digest when recipes gain a key. The default of a key
        therefore never changes; a new behaviour is a new value. Settings of the network all count: recipes are held
        against one another as :func:`mien.models.registry.completed` has them.
        """
        content = self.model_dump(mode="json", exclude={"name", "description"}, exclude_defaults=True)
        text = json.dumps(content, sort_keys=True)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
