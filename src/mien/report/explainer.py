"""What explains a model in a report: gradients of its network if that can be loaded, otherwise occlusion alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError, MienError, MissingExtraError, Notice, needs_extra
from mien.explanation.methods import METHODS, explain
from mien.explanation.verdict import RandomizationTest
from mien.inference.predictor import Predictor
from mien.pipeline.matching import LARGEST_DIFFERENCE
from mien.run_folder import RunFolder

CHECKED_FACES = 4
"""Faces on which the weights of a run are compared with its model file."""

Maps = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MapExplainer:
    """What is needed to explain a model.

    Attributes:
        predict: faces uint8 (n, S, S[, 3]) -> probabilities (n, C).
        crop_px: side of the central crop that the model sees.
        network: a :class:`mien.explanation.gradient.torch_model.TorchModel`; None allows occlusion alone.
        randomize: (method, faces, maps of them) -> test against a network with random weights; None without a network.
        unsupported: methods that this network does not support, such as Grad-CAM without convolutional maps.
    """

    predict: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]
    crop_px: int
    network: Any = None
    randomize: Callable[[str, npt.NDArray[np.uint8], Maps], RandomizationTest] | None = None
    unsupported: tuple[str, ...] = ()

    @property
    def methods(self) -> list[str]:
        """Names of the methods that can be used."""
        usable = [name for name, method in METHODS.items() if self.network is not None or not method.needs_torch]
        return [name for name in usable if name not in self.unsupported]

    def maps(self, name: str, images: npt.NDArray[np.uint8]) -> Maps:
        """Maps of the predicted classes for images uint8 (N, S, S[, 3]): float32 (N, S, S)."""
        return explain(name, images, predict=self.predict, model=self.network, crop_px=self.crop_px)


def build_explainer(
    model: Predictor, run: RunFolder | None, images: npt.NDArray[np.uint8]
) -> tuple[MapExplainer, Notice | None]:
    """The explainer of a model, and why it cannot use some methods (None if it can use all).

    Args:
        model: the model.
        run: its run folder, which holds the weights; None if there is none.
        images: faces uint8 (N, S, S[, 3]) of the model's size, none of the test split.
    """
    crop_px = model.manifest.input.crop_px
    occlusion = MapExplainer(model.probabilities, crop_px)

    skipped = "Methods that need gradients are skipped"
    if run is None:
        return occlusion, Notice(f"{skipped}: the model is not in a run folder.", code="gradients-without-run")
    if not run.best.is_file():
        return occlusion, Notice(f"{skipped}: the run folder has no {run.best.name}.", code="gradients-without-weights")
    try:
        with needs_extra("explain", "Explaining a model by gradients"):
            import_module("captum")  # The methods import it only when they run.
            from mien.explanation.gradient.randomization import check_randomization
            from mien.explanation.gradient.torch_model import load_torch_model
        network = load_torch_model(run, model.manifest.temperature)
    except MissingExtraError as error:
        return occlusion, Notice(f"{skipped}. {error}", code="gradients-without-extra")
    except MienError as error:
        words = f"{skipped}: the weights of the run cannot be used. {error}"
        return occlusion, Notice(words, code="gradients-weights-unusable")
    some = np.asarray(images[:CHECKED_FACES])
    if np.abs(network.predict(some) - model.probabilities(some)).max() > LARGEST_DIFFERENCE:
        words = f"{skipped}: {run.best} and the model file differ. Export the run again with mien export."
        return occlusion, Notice(words, code="gradients-other-weights")

    def randomize(name: str, images: npt.NDArray[np.uint8], maps: Maps) -> RandomizationTest:
        return check_randomization(name, network, images, maps=maps, depths=1)

    unsupported, reasons = [], []
    for name, method in METHODS.items():
        if method.needs_torch:
            try:
                explain(name, some[:1], model=network)
            except DataError as error:
                unsupported.append(name)
                reasons.append(f"The method {name} is skipped. {error}")
    notice = Notice(" ".join(reasons), code="methods-unsupported") if reasons else None
    return MapExplainer(model.probabilities, crop_px, network, randomize, tuple(unsupported)), notice
