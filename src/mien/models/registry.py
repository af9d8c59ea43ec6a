"""All networks by name. To add one, write a class in its own file and add an entry here; the tests then cover it."""

import copy
import inspect
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, get_type_hints

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from mien.base.errors import RecipeError, place, rule_of, value_text
from mien.base.recipe import Recipe
from mien.base.recipe_tables import ModelRecipe
from mien.models.network import VGG, JoinedNet, MienNet, Network, ResNet, SeparableNet, StudyA, StudyB
from mien.models.own import build_own, complete_part, completed_own
from mien.models.pretrained import TimmNetwork

MODELS: dict[str, Callable[..., Network]] = {
    "mien": MienNet,
    "separable": SeparableNet,
    "study-a": StudyA,
    "study-b": StudyB,
    "vgg11": partial(VGG, 11),
    "vgg13": partial(VGG, 13),
    "vgg16": partial(VGG, 16),
    "resnet18": partial(ResNet, 18),
    "resnet34": partial(ResNet, 34),
    "joined": JoinedNet,
    "timm": TimmNetwork,
}
"""``(classes, size_px, channels, **settings) -> Network``; ``settings`` are those of the recipe, checked by type."""


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
            fewer = "fewer stages, or " if recipe.name in {"mien", "separable", "joined"} and not recipe.file else ""
            larger = "larger images (input.crop_px)" if size_px == own_px else "larger progressive_resizing (or [])"
            words = f"The model {recipe.name} does not work on images of {size_px} px. Give it {fewer}{larger}."
            raise RecipeError(words, code="model-setting") from None


def build_model(recipe: ModelRecipe, classes: int, size_px: int, channels: int = 1) -> Network:
    """Build a network with new weights, drawn from torch's global generator.

    Raises RecipeError: no such network, or an unknown or impossible setting. :func:`check_sizes` checks the image size.
    """
    if recipe.file:
        return build_own(recipe, classes, size_px, channels)
    settings = _settings(recipe)  # it raises for no such network
    return MODELS[recipe.name](classes, size_px, channels, **dict(settings))


def _settings(recipe: ModelRecipe) -> BaseModel:
    """Return all settings of a network of mien. Raises RecipeError: no such network, or an impossible setting."""
    recipe.check_names()
    try:
        return _checks(recipe.name).model_validate(recipe.settings)
    except ValidationError as error:
        fault = error.errors()[0]
        words = f"The recipe has model.{place(fault['loc'])} = {value_text(fault['input'])}; it {rule_of(fault)}."
        raise RecipeError(words, code="model-setting") from None


@cache
def _checks(name: str) -> type[BaseModel]:
    network = MODELS[name]
    known = get_type_hints((network.func if isinstance(network, partial) else network).__init__, include_extras=True)
    settings = list(inspect.signature(network).parameters.values())[3:]
    fields: dict[str, Any] = {each.name: (known[each.name], each.default) for each in settings}
    return create_model(name, __config__=ConfigDict(strict=True, extra="forbid"), **fields)


def complete(recipe: ModelRecipe) -> ModelRecipe:
    """Return the recipe with every setting of its checked network, floats as 0.0.

    So a stored recipe means the same network after mien's defaults have changed.
    """
    settings = completed_own(recipe) if recipe.file else _settings(recipe).model_dump(mode="json")
    return ModelRecipe.model_validate({"name": recipe.name, **settings})


def completed(recipe: Recipe) -> Recipe:
    """Complete a recipe with all settings of its network and digests of files. Equal training has equal digests."""
    parts = {table: complete_part(getattr(recipe, table), table) for table in recipe.own_parts}
    return recipe.model_copy(update={"model": complete(recipe.model), **parts})


def starts_from_scratch(recipe: ModelRecipe) -> bool:
    """Return whether a run without another run's weights starts from random weights. Raises :class:`RecipeError`."""
    settings = complete(recipe).settings
    return not (settings.get("pretrained") or settings.get("weights"))
