"""Saliency maps of a model by every method. To add one, write a file with a function and add an entry here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, nearest, needs_extra
from mien.base.model_file import Manifest
from mien.base.run_folder import RunFolder
from mien.evaluation.results import Estimate
from mien.explanation.faithfulness import measure_faithfulness
from mien.explanation.occlusion import Predict

METHODS: dict[str, str] = {
    "gradient": "gradient.torch_model",
    "gradcam": "gradient.gradcam",
    "occlusion": "occlusion",
}
"""Module of each method in this folder, imported on first use. Its function has the method's name."""

Maps = npt.NDArray[np.float32]


def needs_torch(method: str) -> bool:
    """Return whether a method needs a network of torch. Raises :class:`DataError` for no such method."""
    if method not in METHODS:
        raise DataError(f"There is no method '{method}'." + nearest(method, METHODS), code="method-unknown")
    return METHODS[method].startswith("gradient.")


@dataclass(frozen=True)
class Explainer:
    """Saliency maps of a model, and checks of them.

    Attributes:
        predict: function that maps faces, uint8 (N, S, S[, 3]), to probabilities (N, C).
        crop_px: side of the central square that the model sees.
        network: a :class:`mien.explanation.gradient.torch_model.TorchModel` for gradients; None allows occlusion alone.
    """

    predict: Predict
    crop_px: int
    network: Any = None

    @classmethod
    def with_gradients(cls, run: RunFolder, manifest: Manifest, predict: Predict) -> "Explainer":
        """Make an explainer with the network of the run that a model file was exported from.

        Raises MissingExtraError without torch, ModelError for other weights (``gradients-other-weights``).
        """
        with needs_extra("train", "Explaining a model by gradients"):
            # Import by name, because training writes a report too, and pages must not need torch.
            torch_model = import_module("mien.explanation.gradient.torch_model")
        return cls(predict, manifest.input.crop_px, torch_model.matching_torch_model(run, manifest, predict))

    @cached_property
    def unsupported(self) -> dict[str, str]:
        """Reason for each method that the network does not allow, such as Grad-CAM without convolutional maps."""
        reasons = {}
        for method in METHODS:
            try:
                if needs_torch(method) and self.network is not None:
                    self.attribute(np.zeros((1, *self.network.spec.face_shape), dtype=np.uint8), method=method)
            except DataError as error:
                reasons[method] = str(error)
        return reasons

    @property
    def methods(self) -> list[str]:
        """Names of the usable methods."""
        usable = [method for method in METHODS if self.network is not None or not needs_torch(method)]
        return [method for method in usable if method not in self.unsupported]

    def attribute(
        self, images: npt.NDArray[np.uint8], target: npt.NDArray[np.int64] | None = None, *, method: str = "occlusion"
    ) -> Maps:
        """Compute maps of faces, uint8 (N, S, S[, 3]); larger values favour the class more.

        ``target`` is the class to explain of each face, by default the predicted one. Returns float32 (N, S, S),
        finite, 0 outside the crop that the model sees. Raises DataError for no such method.
        """
        of_torch = needs_torch(method)
        target = self.predict(images).argmax(axis=1) if target is None else target
        function = getattr(import_module(f"mien.explanation.{METHODS[method]}"), method)
        given: dict[str, Any] = {} if of_torch else {"crop_px": self.crop_px}
        maps: Maps = function(self.network if of_torch else self.predict, images, target, **given)
        return maps

    def check(self, images: npt.NDArray[np.uint8], method: str) -> "MapCheck":
        """Check a method on faces: are its maps faithful, and do they depend on the trained weights?

        Without a network, only the first is checked. Raises DataError without faces (``no-faces``).
        """
        if not len(images):
            raise DataError("The check of a method needs at least one face.", code="no-faces")
        maps = self.attribute(images, method=method)
        gains = measure_faithfulness(self.predict, images, maps, crop_px=self.crop_px)
        correlation = None
        if self.network is not None:
            with needs_extra("report", "The check of a method"):
                randomization = import_module("mien.explanation.gradient.randomization")
            correlation = randomization.rank_correlation(method, self.network, images, maps)
        return MapCheck(method, len(images), *gains, correlation, maps)


MIN_FACES = 20
"""With fewer faces there is no verdict, because an interval over few faces is meaningless."""

MAX_CORRELATION = 0.5
"""The interval of the rank correlation with the maps of the randomised network must lie below this. Adebayo et al. give
no number. At 0.5, the maps still share a quarter (r squared) of their variation with those of an untrained network.
"""


@dataclass(frozen=True, eq=False)
class MapCheck:
    """Checks of a method's maps of a model.

    Attributes:
        method: name of the method.
        faces: number of faces N.
        deletion_gain, insertion_gain: see :func:`mien.explanation.faithfulness.measure_faithfulness`.
        rank_correlation: of the maps with those of the network with shuffled weights, -1..1; None if not tested.
        maps: the checked maps, float32 (N, S, S).
    """

    method: str
    faces: int
    deletion_gain: Estimate
    insertion_gain: Estimate
    rank_correlation: Estimate | None = None
    maps: Maps = field(default_factory=lambda: np.empty((0, 0, 0), dtype=np.float32), repr=False)

    @property
    def verdict(self) -> Literal["passes", "fails", "undecided"]:
        """Whether the maps can be trusted; ``"undecided"`` with fewer than :data:`MIN_FACES` faces.

        They pass if the interval of the deletion gain lies above 0, that of the insertion gain does not lie below 0,
        and the maps change when the weights are randomised.
        """
        if self.faces < MIN_FACES:
            return "undecided"
        faithful = self.deletion_gain.low > 0 and self.insertion_gain.high >= 0
        # Maps that are all alike have no interval.
        test = self.rank_correlation
        alike = test is not None and any(end >= MAX_CORRELATION for end in (test.value, test.high))
        return "passes" if faithful and not alike else "fails"


def mean_maps(maps: Maps, targets: Sequence[int] | npt.NDArray[np.int64]) -> dict[int, Maps]:
    """Return the mean of the maps (N, S, S) of each explained class, each map divided by its largest value: (S, S)."""
    scale = np.maximum(np.abs(maps).max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
    chosen = np.asarray(targets)
    return {int(each): (maps / scale)[chosen == each].mean(axis=0) for each in np.unique(chosen)}
