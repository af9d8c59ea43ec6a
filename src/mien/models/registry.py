"""All networks by name. To add one, write a class in its own file and add an entry here; the tests then cover it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, ValidationError, validate_call

from mien.base.errors import RecipeError, nearest, place, rule_of, value_text
from mien.base.recipe import ModelRecipe, Recipe
from mien.models.mien import MienNet, SeparableNet
from mien.models.network import Network
from mien.models.own import build_own, complete_part, completed_own
from mien.models.pretrained import TimmNetwork
from mien.models.resnet import ResNet
from mien.models.seed_cnn import StudyA, StudyB
from mien.models.vgg import VGG

Dropout = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1, le=4096)]
# strict=False accepts lists, because TOML has no tuples.
Widths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=8, strict=False)]
Counts = Annotated[tuple[Annotated[int, Field(ge=1, le=16)], ...], Field(min_length=1, max_length=8, strict=False)]


def _mien(family: type[MienNet]) -> Callable[..., Network]:
    def build(
        classes: int,
        size_px: int,
        channels: int,
        stem_width: Width = 32,
        stem_stride: Annotated[int, Field(ge=1, le=2)] = 2,
        widths: Widths = (64, 128, 256),
        convolutions: Counts = (1, 2, 1),
        pool_last: bool = True,
        dropout: Dropout = 0.0,
    ) -> Network:
        if len(convolutions) != len(widths):
            raise RecipeError(
                f"The model needs one number of convolutions for each width; found {len(convolutions)} for "
                f"{len(widths)} widths. Set both, model.widths and model.convolutions.",
                code="model-setting",
            )
        return family(classes, stem_width, stem_stride, widths, convolutions, pool_last, dropout, channels)

    return build


def _study_a(classes: int, size_px: int, channels: int, dropout: Dropout = 0.5) -> Network:
    return StudyA(classes, size_px, dropout, channels)


def _study_b(classes: int, size_px: int, channels: int) -> Network:
    return StudyB(classes, size_px, channels)


def _vgg(depth: int) -> Callable[..., Network]:
    def build(classes: int, size_px: int, channels: int, width: Width = 64, dropout: Dropout = 0.5) -> Network:
        return VGG(classes, depth, width, dropout, channels)

    return build


def _resnet(depth: int) -> Callable[..., Network]:
    def build(classes: int, size_px: int, channels: int, width: Width = 64, dropout: Dropout = 0.0) -> Network:
        return ResNet(classes, depth, width, dropout, channels)

    return build


def _timm(
    classes: int,
    size_px: int,
    channels: int,
    backbone: str = "resnet18",
    pretrained: bool = True,
    weights: str = "",
    upsample_px: Annotated[int, Field(ge=0, le=1024)] = 0,
    dropout: Dropout = 0.0,
) -> Network:
    if weights and not pretrained:
        raise RecipeError(
            f"The recipe has both model.pretrained = false and model.weights = '{weights}'; remove one of them.",
            code="model-setting",
        )
    if 0 < upsample_px < size_px:
        raise RecipeError(
            f"model.upsample_px = {upsample_px} is smaller than the input, {size_px} px; 0 means no upsampling.",
            code="model-setting",
        )
    return TimmNetwork(classes, backbone, upsample_px or size_px, dropout, pretrained, weights, channels)


MODELS: dict[str, Callable[..., Network]] = {
    "mien": _mien(MienNet),
    "separable": _mien(SeparableNet),
    "study-a": _study_a,
    "study-b": _study_b,
    "vgg11": _vgg(11),
    "vgg13": _vgg(13),
    "vgg16": _vgg(16),
    "resnet18": _resnet(18),
    "resnet34": _resnet(34),
    "timm": _timm,
}
"""``(classes, size_px, channels, **settings) -> Network``; ``settings`` are those of the recipe."""


def check_sizes(
    network: Network, recipe: ModelRecipe, own_px: int, early_px: Iterable[int] = (), channels: int = 1
) -> None:
    """Raise RecipeError unless a network works at its input side and at the sides in ``progressive_resizing``."""
    # The meta device computes only shapes, without time or memory. A user's network may create real tensors.
    device = "cpu" if recipe.file else "meta"
    shape = copy.deepcopy(network).to(device).eval()
    for size_px in (own_px, *early_px):
        try:
            with torch.inference_mode():
                shape(torch.zeros(1, channels, size_px, size_px, device=device))
        except Exception as error:
            if not (recipe.file or isinstance(error, RuntimeError)):  # a user's network may raise anything
                raise
            fewer = "fewer stages, or " if recipe.file or recipe.name in {"mien", "separable"} else ""
            larger = "larger images (input.crop_px)" if size_px == own_px else "larger sides in progressive_resizing"
            raise RecipeError(
                f"The model {recipe.name} with these settings does not work on images of {size_px} px. Give it "
                f"{fewer}{larger}.",
                code="image-too-small",
            ) from None


def build_model(recipe: ModelRecipe, classes: int, size_px: int, channels: int = 1) -> Network:
    """Build a network with new weights, drawn from torch's global generator.

    Raises RecipeError: no such network, or an unknown or impossible setting. :func:`check_sizes` checks the image size.
    """
    if recipe.file:
        return build_own(recipe, classes, size_px, channels)
    build = MODELS[_known(recipe)]
    try:
        return validate_call(config=ConfigDict(strict=True))(build)(classes, size_px, channels, **recipe.settings)
    except ValidationError as error:
        fault = error.errors()[0]
        key = place(fault["loc"])
        if fault["type"] == "unexpected_keyword_argument":
            known = model_settings(recipe.name)
            hint = nearest(key, known) if known else " It has no settings."
            raise RecipeError(
                f"The model {recipe.name} has no setting '{key}'." + hint, code="model-setting-unknown"
            ) from None
        raise RecipeError(
            f"The recipe has model.{key} = {value_text(fault['input'])}; it {rule_of(fault)}.", code="model-setting"
        ) from None


def complete(recipe: ModelRecipe) -> ModelRecipe:
    """Return the recipe with every setting of the network written out, so that it stays valid when defaults change."""
    if recipe.file:
        return ModelRecipe.model_validate({"name": recipe.name, **completed_own(recipe)})
    settings = model_settings(_known(recipe))
    for name, value in recipe.settings.items():
        # In TOML, a float may be written as 0 instead of 0.0. Convert it, so that both forms give the same recipe.
        settings[name] = float(value) if type(value) is int and type(settings.get(name)) is float else value
    return ModelRecipe.model_validate({"name": recipe.name, **settings})


def _known(recipe: ModelRecipe) -> str:
    if recipe.name not in MODELS:
        raise RecipeError(f"There is no model '{recipe.name}'." + nearest(recipe.name, MODELS), code="model-unknown")
    return recipe.name


def completed(recipe: Recipe) -> Recipe:
    """Complete a recipe with all settings of its network and digests of files. Equal training has equal digests."""
    parts = {table: complete_part(getattr(recipe, table), table) for table in recipe.own_parts}
    return recipe.model_copy(update={"model": complete(recipe.model), **parts})


def starts_from_scratch(recipe: ModelRecipe) -> bool:
    """Return whether a run without another run's weights starts from random weights. Raises :class:`RecipeError`."""
    settings = complete(recipe).settings
    return not (settings.get("pretrained") or settings.get("weights"))


def model_settings(name: str) -> dict[str, Any]:
    """Return a network's settings with their defaults, as allowed in a recipe's ``[model]`` table."""
    parameters = list(inspect.signature(MODELS[name]).parameters.values())[3:]
    return {parameter.name: parameter.default for parameter in parameters}
