"""All methods by name. To add one: a file with a function, and an entry here; the tests cover it then."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError, nearest, needs_extra
from mien.explain.occlusion import Predict


@dataclass(frozen=True)
class Method:
    """A way to say which pixels mattered.

    Attributes:
        home: module and function, imported on first use: gradients need torch.
        needs_torch: the function takes a :class:`mien.explain.torch_model.TorchModel`; otherwise a function
            images -> probabilities.
        source: the paper it comes from.
    """

    home: str
    needs_torch: bool
    source: str

    def load(self) -> Callable[..., npt.NDArray[np.float32]]:
        """The function itself.

        Raises:
            MissingExtraError: torch or captum is not installed.
        """
        module, _, name = self.home.partition(":")
        with needs_extra("explain", "This method"), warnings.catch_warnings():
            # captum loads tqdm, which in a notebook without ipywidgets warns of bars that nobody asked for.
            warnings.filterwarnings("ignore", "IProgress not found")
            function: Callable[..., npt.NDArray[np.float32]] = getattr(import_module(module), name)
        return function


METHODS: dict[str, Method] = {
    "gradient": Method("mien.explain.gradients:gradient", True, "Simonyan et al. 2014; Study B"),
    "smoothgrad": Method("mien.explain.gradients:smoothgrad", True, "Smilkov et al. 2017"),
    "integrated-gradients": Method("mien.explain.gradients:integrated_gradients", True, "Sundararajan et al. 2017"),
    "gradcam": Method("mien.explain.gradcam:gradcam", True, "Selvaraju et al. 2017"),
    "occlusion": Method("mien.explain.occlusion:occlusion", False, "Zeiler & Fergus 2014"),
}


def find_method(name: str) -> Method:
    """The method of a name. Raises :class:`mien.errors.DataError`."""
    if name not in METHODS:
        raise DataError(f"There is no method '{name}'." + nearest(name, METHODS))
    return METHODS[name]


def explain(
    name: str,
    images: npt.NDArray[np.uint8],
    targets: npt.NDArray[np.int64] | None = None,
    *,
    predict: Predict | None = None,
    model: Any = None,
    crop_px: int | None = None,
    seed: int = 0,
) -> npt.NDArray[np.float32]:
    """Map which pixels mattered, by a method of :data:`METHODS`; larger is more in favour of the class.

    Args:
        name: the method.
        images: uint8 (N, S, S).
        targets: int64 (N,), the class to explain of each face; None explains the predicted one.
        predict: images -> probabilities, for the methods without torch; ``model.predict`` by default.
        model: a :class:`mien.explain.torch_model.TorchModel`, for the methods with torch.
        crop_px: side of the central square that ``predict``'s model sees; the model's own by default.
        seed: of the methods that draw random numbers.

    Returns:
        float32 (N, S, S), finite; 0 outside the central crop.

    Raises:
        DataError: no such method, nothing to apply it to, or images of another shape.
        MissingExtraError: torch or captum is not installed.
    """
    method = find_method(name)
    if method.needs_torch:
        if model is None:
            raise DataError(f"The method {name} needs the network with its weights, not only its answers.")
        return method.load()(model, images, targets, seed=seed)
    if predict is None:
        if model is None:
            raise DataError(f"The method {name} needs a function from images to probabilities.")
        predict, crop_px = model.predict, model.spec.crop_px
    return method.load()(predict, images, targets, crop_px=crop_px)
