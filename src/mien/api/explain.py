"""``mien.explain``: map which pixels favour the predicted expression."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.api.inputs import Model, run_of
from mien.base.errors import DataError, MienWarning, ModelError, Notice, nearest, needs_extra
from mien.base.images import encoded
from mien.base.labels import canonical_class
from mien.base.processes import usual_torch
from mien.base.progress import slices, track
from mien.explanation.methods import explain as make_maps
from mien.explanation.methods import needs_torch
from mien.explanation.overlay import overlay
from mien.inference.prediction import Prediction
from mien.inference.predictor import Predictor, is_several, load

if TYPE_CHECKING:
    from mien.explanation.gradient.torch_model import TorchModel

_BATCH = 8
"""Number of faces explained at a time."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Map of how much each pixel of a face favours a class.

    Attributes:
        prediction: prediction of this face.
        target: explained class.
        map: float32 (S, S); larger values favour the class more, negative ones contradict it.
    """

    prediction: Prediction
    target: str
    map: npt.NDArray[np.float32] = field(repr=False)

    def show(self) -> Image.Image:
        """Draw the map over its face, as an RGB image."""
        assert self.prediction.crop is not None
        return Image.fromarray(overlay(self.prediction.crop, self.map))

    def _repr_png_(self) -> bytes:
        return encoded(self.show())


class Explainer:
    """A model with explanation methods. The constructor raises errors before any image is read.

    Args:
        model: model, as in :func:`explain`.
        methods: names in ``mien.explanation.methods.METHODS``.
        target: class to explain, as in :func:`explain`.
        output: name of the output to explain. None uses the default of :func:`mien.load`; gradient methods use the
            label's output, because the torch weights have no other.

    Attributes:
        predictor: model with the explained output in use.
        notices: notices that the output is not the default, or gradients are of the weights before quantization.

    Raises:
        DataError: no such method (``method-unknown``) or class (``class-unknown``).
        ModelError: a gradient method for a model without torch weights (``weights-missing``), with different ones
            (``gradients-other-weights``), or for another output than the label's (``output-gradients``).
        MissingExtraError: torch is not installed.
    """

    def __init__(
        self, model: Model, methods: Sequence[str], target: str | None = None, output: str | None = None
    ) -> None:
        gradient = [name for name in methods if needs_torch(name)]
        predictor = model if isinstance(model, Predictor) else load(model, output=output)
        self.predictor: Predictor = predictor.for_labels() if gradient else predictor
        if gradient and output not in {None, self.predictor.output.name}:
            words = f"Only occlusion explains the output {output}; {gradient[0]} explains {self.predictor.output.name}."
            raise ModelError(words, code="output-gradients")
        self.notices: list[Notice] = []
        if predictor.output.name != self.predictor.output.name:
            words = (
                f"The output {self.predictor.output.name} is explained, not {predictor.output.name}: {gradient[0]} "
                f"supports no other."
                + (f" For {predictor.output.name} give occlusion alone." if len(methods) > len(gradient) else "")
            )
            self.notices.append(Notice(words, code="output-explained"))
        if gradient and self.predictor.manifest.precision == "int8":
            words = "Gradients are computed with the weights before quantization."
            self.notices.append(Notice(words, code="gradients-unquantized"))
        self._network = self._load_network(model, gradient[0]) if gradient else None
        classes = self.predictor.classes
        self._target = target = target if target is None or target in classes else canonical_class(target)
        if target is not None and target not in classes:
            raise DataError(f"The model has no class '{target}'." + nearest(target, classes), code="class-unknown")

    def _load_network(self, model: Model, method: str) -> TorchModel:
        run = run_of(model)
        if run is None or not run.best.is_file():
            raise ModelError(
                f"{self.predictor.path} has no weights for torch, so only the method occlusion works; {method} needs a "
                f"run folder with recipe.toml and best.safetensors.",
                code="weights-missing",
            )
        with needs_extra("train", f"The method {method}"):
            from mien.explanation.gradient.torch_model import matching_torch_model
        return matching_torch_model(run, self.predictor.manifest, self.predictor.probabilities)

    def explain(self, predictions: Sequence[Prediction], method: str) -> list[Explanation]:
        """Explain predictions of :attr:`predictor` with one of the methods."""
        classes = self.predictor.classes
        chosen = [self._target or each.top for each in predictions]
        maps: list[npt.NDArray[np.float32]] = []
        parts = slices(len(chosen), _BATCH)
        for part in track(parts, total=len(parts), what=method, unit=f"batches of {_BATCH}"):
            maps += list(
                make_maps(
                    method,
                    np.stack([each.crop for each in predictions[part] if each.crop is not None]),
                    np.array([classes.index(name) for name in chosen[part]], dtype=np.int64),
                    predict=self.predictor.probabilities,
                    model=self._network,
                    crop_px=self.predictor.manifest.input.crop_px,
                )
            )
        return [Explanation(*each) for each in zip(predictions, chosen, maps, strict=True)]


@usual_torch()
def explain(
    model: Model, images: Any, method: str = "occlusion", *, crops: bool = False, target: str | None = None
) -> list[Explanation]:
    """Map which pixels favour the predicted expression, for each face in the images.

    The explained output is the model's current one: ``mien.load("default", output="fer2013")`` explains FER2013's
    label. Gradient methods always explain the label's output.

    Args:
        model: a loaded model or its name or path. Gradient methods need a run folder or a built-in name.
        images: one or several images, as in :meth:`mien.Predictor.predict`, or face crops as in
            :meth:`mien.Predictor.predict_crops`.
        crops: True if each image is a face crop; then no face is detected.
        method: a name in ``mien.explanation.methods.METHODS``: occlusion, gradient, gradcam.
        target: class to explain; by default the predicted one.

    Returns:
        One explanation per face, image by image, the largest face first; an image without faces has none.

    Raises:
        DataError: no such method or class.
        ModelError: a gradient method for a model without torch weights, or with different ones.
    """
    explainer = Explainer(model, [method], target)
    for each in explainer.notices:
        warnings.warn(MienWarning(str(each), code=each.code), stacklevel=2)
    predictor = explainer.predictor
    if crops:
        return explainer.explain(predictor.predict_crops(images), method)
    photos = predictor.predict(images if is_several(images) else [images])
    return explainer.explain([each for photo in photos for each in photo], method)
