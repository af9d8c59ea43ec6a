"""All explanation methods by name. To add one, write a file with a function and add an entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, nearest, needs_extra
from mien.explanation.occlusion import Predict


@dataclass(frozen=True)
class Method:
    """A method that computes how important pixels are for a prediction.

    Attributes:
        home: module in this folder and function, imported on first use because gradients need torch.
        needs_torch: True if the function takes a :class:`~mien.explanation.gradient.torch_model.TorchModel`, False if
            it takes a function that maps images to probabilities.
    """

    home: str
    needs_torch: bool

    def load(self) -> Callable[..., npt.NDArray[np.float32]]:
        """Import the function. Raises MissingExtraError without torch."""
        module, _, name = self.home.partition(":")
        with needs_extra("train", "This method"):
            found = import_module(f"mien.explanation.{module}")
            function: Callable[..., npt.NDArray[np.float32]] = getattr(found, name)
        return function


METHODS: dict[str, Method] = {
    "gradient": Method("gradient.gradients:gradient", True),
    "gradcam": Method("gradient.gradcam:gradcam", True),
    "occlusion": Method("occlusion:occlusion", False),
}


def find_method(name: str) -> Method:
    """Return the method with this name. Raises :class:`mien.base.errors.DataError`."""
    if name not in METHODS:
        raise DataError(f"There is no method '{name}'." + nearest(name, METHODS), code="method-unknown")
    return METHODS[name]


def explain(
    name: str,
    images: npt.NDArray[np.uint8],
    targets: npt.NDArray[np.int64] | None = None,
    *,
    predict: Predict | None = None,
    model: Any = None,
    crop_px: int | None = None,
) -> npt.NDArray[np.float32]:
    """Compute saliency maps by a method of :data:`METHODS`; larger values favour the class more.

    ``targets`` is the class to explain for each face, by default the predicted one. Methods that need torch take a
    :class:`mien.explanation.gradient.torch_model.TorchModel`, others ``predict``, by default the model's. ``crop_px``
    is the side of the central square that the model sees. Returns float32 (N, S, S), finite; 0 outside that crop.

    Raises DataError for no such method, MissingExtraError without torch.
    """
    method = find_method(name)
    if predict is None:
        predict, crop_px = model.predict, model.spec.crop_px
    if targets is None:
        targets = predict(images).argmax(axis=1)
    if method.needs_torch:
        return method.load()(model, images, targets)
    return method.load()(predict, images, targets, crop_px=crop_px)
