"""All explanation methods by name. To add one, write a file with a function and add an entry here."""

from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, nearest, needs_extra
from mien.explanation.occlusion import Predict

METHODS: dict[str, str] = {"gradient": "gradient.gradients", "gradcam": "gradient.gradcam", "occlusion": "occlusion"}
"""Module of each method in this folder, imported on first use. Its function has the method's name."""


def needs_torch(name: str) -> bool:
    """Return whether a method needs a network of torch. Raises :class:`DataError` for no such method."""
    if name not in METHODS:
        raise DataError(f"There is no method '{name}'." + nearest(name, METHODS), code="method-unknown")
    return METHODS[name].startswith("gradient.")


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
    of_torch = needs_torch(name)
    if predict is None:
        predict, crop_px = model.predict, model.spec.crop_px
    if targets is None:
        targets = predict(images).argmax(axis=1)
    with needs_extra("train", "This method"):
        function = getattr(import_module(f"mien.explanation.{METHODS[name]}"), name)
    maps: npt.NDArray[np.float32] = (
        function(model, images, targets) if of_torch else function(predict, images, targets, crop_px=crop_px)
    )
    return maps
