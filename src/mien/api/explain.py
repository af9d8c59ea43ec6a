"""``mien.explain``: map which pixels favour the predicted expression."""

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien.api.inputs import Model, run_of
from mien.base.arrays import Floats32, Pixels
from mien.base.errors import DataError, MissingExtraError, ModelError, Notice, nearest
from mien.base.files import check_replaceable, write_bytes
from mien.base.images import encoded, image_files
from mien.base.labels import canonical_class
from mien.base.processes import torch_defaults
from mien.base.progress import slices, track
from mien.base.run_folder import check_out
from mien.explanation.explainer import METHODS, Explainer, beside, full_scale, mean_maps, needs_torch, overlay
from mien.inference.prediction import Prediction
from mien.inference.predictor import Predictor, is_several, load
from mien.page.chart import Chart, shorten
from mien.page.plots import face_sheet
from mien.page.wording import percent

_BATCH = 8
"""Number of faces explained at a time."""
MAX_DRAWN = 24
"""Largest number of faces in the figure of :meth:`Explanations.plot`."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Map of how much each pixel of a face favours a class.

    Attributes:
        prediction: prediction of this face.
        target: explained class.
        map: float32 (S, S); larger values favour the class more, negative ones contradict it.
        method: name of the method.
    """

    prediction: Prediction
    target: str
    map: Floats32 = field(repr=False)
    method: str = "occlusion"

    @property
    def crop(self) -> Pixels:
        """The explained face crop, uint8 (S, S[, 3])."""
        assert self.prediction.crop is not None
        return self.prediction.crop

    @property
    def full_scale(self) -> float:
        """Value of the map that has the last colour; 0.0 if no pixel favours the class."""
        return full_scale(self.map)

    def show(self) -> Image.Image:
        """Draw the map over its face, as an RGB image."""
        return Image.fromarray(overlay(self.crop, self.map))

    def _repr_png_(self) -> bytes:
        return encoded(self.show())


class Explanations(list[Explanation]):
    """Explanations of several faces: those of the first face by each method, then those of the second, ..."""

    @property
    def methods(self) -> list[str]:
        """Names of the methods."""
        return list(dict.fromkeys(each.method for each in self))

    def plot(self) -> Chart:
        """Draw each face, and beside it its map by each method; at most :data:`MAX_DRAWN` faces."""
        count = len(self.methods)
        images, captions = [], []
        for each in self[: MAX_DRAWN * count]:
            if each.method == self.methods[0]:
                images.append(each.crop)
                captions.append(shorten(f"{each.target} {percent(each.prediction.probabilities[each.target], 0)}", 15))
            images.append(overlay(each.crop, each.map))
            captions.append(each.method)
        faces = len(images) // (count + 1)
        return face_sheet(images, captions, columns=(count + 1) * (1 if faces < 6 else 2), name="maps")

    def plot_means(self) -> Chart:
        """Draw the mean map of each explained class over the mean of its faces, one row for each method."""
        images, captions = [], []
        for method in self.methods:
            own = [each for each in self if each.method == method]
            classes = list(dict.fromkeys(each.target for each in own))
            targets = np.array([classes.index(each.target) for each in own])
            for index, mean in mean_maps(np.stack([each.map for each in own]), targets).items():
                of_class = [each.crop for each, target in zip(own, targets, strict=True) if target == index]
                images.append(overlay(np.mean(of_class, axis=0).round().astype(np.uint8), mean))
                captions.append(shorten(f"{classes[index]} ({len(of_class)})", 15))
        return face_sheet(images, captions, columns=len(images) // len(self.methods), name="mean-maps")

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
        """Write a PNG for each face and method, ``maps.npz``, and with the extra ``report`` figures of all maps.

        The figures are ``maps`` and, with several faces, ``mean-maps``, as .svg, .png and .pdf. Returns the PNGs of
        faces, in order. Raises RunError if a file exists or cannot be written.
        """
        folder = check_out(folder)
        check_free(folder, overwrite)
        count = len(self.methods)
        faces = len(self) // count
        content: dict[str, bytes] = {}
        for at, each in enumerate(self):
            # Number the files: two images may have the same name, and an image may have several faces.
            prefix = f"{at // count + 1:0{len(str(faces))}}_" if faces > 1 else ""
            source = Path(each.prediction.source).stem
            name = f"{prefix}{'stdin' if source == '-' else source}_{each.method}.png"
            content[name] = encoded(Image.fromarray(beside(each.crop, each.map)))
        pictures, arrays = [folder / name for name in content], self._arrays()
        try:
            for chart in (self.plot(), *([self.plot_means()] if faces > 1 else [])):
                content |= {f"{chart.name}.{form}": chart.file(form) for form in ("svg", "png", "pdf")}
        except MissingExtraError:
            pass
        for name, data in content.items():
            write_bytes(folder / name, data)
        # It is last: a command that was stopped leaves none.
        write_bytes(folder / "maps.npz", arrays)
        return pictures

    def _arrays(self) -> bytes:
        count = len(self.methods)
        first = self[::count]
        predictions = [each.prediction for each in first]
        classes = predictions[0].classes
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            images=np.stack([each.crop for each in first]),
            source=np.array([each.source for each in predictions], dtype=np.str_),
            boxes=np.array([[*each.box] for each in predictions], dtype=np.int64),
            targets=np.array([classes.index(each.target) for each in first], dtype=np.int64),
            probabilities=np.stack([each.probability_vector for each in predictions]),
            classes=np.array(classes, dtype=np.str_),
            methods=np.array(self.methods, dtype=np.str_),
            maps=np.stack([[each.map for each in self[at::count]] for at in range(count)]),
        )
        return stream.getvalue()


def check_free(folder: Path, overwrite: bool) -> None:
    """Raise RunError if a folder has maps of an earlier call and ``overwrite`` is False."""
    former = [each for each in folder.glob("*.png") if each.stem.rpartition("_")[2] in METHODS]
    check_replaceable([folder / "maps.npz", *former], overwrite)


@torch_defaults()
def explain(
    model: Model,
    images: Any,
    method: str | Sequence[str] = "occlusion",
    *,
    crops: bool = False,
    target: str | None = None,
    output: str | None = None,
    out: str | os.PathLike[str] | None = None,
    notify: Callable[[str], None] = lambda line: None,
) -> Explanations:
    """Map which pixels favour the predicted expression, for each face in the images.

    The explained output is the model's current one: ``mien.load("default", output="fer2013")`` explains FER2013's
    label. Gradient methods always explain the label's output.

    Args:
        model: a loaded model or its name or path. Gradient methods need a run folder or a built-in name.
        images: one or several images or folders, as in :meth:`mien.Predictor.predict`, or face crops as in
            :meth:`mien.Predictor.predict_crops`.
        method: occlusion, gradient or gradcam, several of them, or ``"all"``.
        crops: True if each image is a face crop; then no face is detected.
        target: explain this class instead of the predicted one.
        output: output of the model, if it is given by name or path.
        out: folder for the files of :meth:`Explanations.save`; by default none is written.
        notify: called with one line for each image without faces.

    Returns:
        A list with one explanation per face and method, image by image, the largest face first; an image without faces
        has none. ``plot()`` and ``plot_means()`` draw the maps.

    Raises:
        DataError: no such method (``method-unknown``) or class (``class-unknown``).
        ModelError: a gradient method for a model without torch weights (``model-not-trainable``), with different ones
            (``gradients-other-weights``), or for another output than the label's (``options``).
        MissingExtraError: torch is not installed.
        RunError: ``out`` has such files.
    """
    if out is not None:
        check_free(check_out(out), overwrite=False)
    given = [method] if isinstance(method, str) else method
    methods = list(dict.fromkeys(name for each in given for name in (METHODS if each == "all" else (each,))))
    gradient = [name for name in methods if needs_torch(name)]
    predictor = _find_predictor(model, output, gradient, len(methods))
    explainer = Explainer(predictor.probabilities, predictor.manifest.input.crop_px)
    if gradient:
        explainer = Explainer.with_gradients(run_of(model), predictor.manifest, predictor.probabilities)
    target = target if target is None or target in predictor.classes else canonical_class(target)
    if target is not None and target not in predictor.classes:
        raise DataError(f"The model has no class '{target}'.{nearest(target, predictor.classes)}", code="class-unknown")
    predictions = _predict(predictor, images, crops, notify)
    explanations = _explain(explainer, predictions, methods, [target or each.top for each in predictions])
    if out is not None and explanations:
        explanations.save(out)
    return explanations


def _find_predictor(model: Model, output: str | None, gradient: Sequence[str], methods: int) -> Predictor:
    """Load the model with the output to explain, which for gradient methods is the label's."""
    loaded = model if isinstance(model, Predictor) else load(model, output=output)
    if not gradient:
        return loaded
    predictor = loaded.for_labels()
    if output not in {None, predictor.output.name}:
        words = f"Only occlusion explains the output {output}; {gradient[0]} explains {predictor.output.name}."
        raise ModelError(words, code="options")
    if loaded.output.name != predictor.output.name:
        alone = f" For {loaded.output.name} give occlusion alone." if methods > len(gradient) else ""
        words = f"The output {predictor.output.name} is explained, not {loaded.output.name}: {gradient[0]} needs it."
        Notice(words + alone, code="gradients").warn(stacklevel=3)
    if predictor.manifest.precision == "int8":
        Notice("Gradients are computed with the weights before quantization.", code="gradients").warn(stacklevel=3)
    return predictor


def _predict(predictor: Predictor, images: Any, crops: bool, notify: Callable[[str], None]) -> list[Prediction]:
    if crops and not is_several(images):
        return predictor.predict_crops(images)
    files: list[Any] = []
    for image in images if is_several(images) else [images]:
        is_folder = isinstance(image, str | os.PathLike) and Path(image).is_dir()
        files += image_files(image) if is_folder else [image]
    if crops:
        return predictor.predict_crops(files)
    photos = predictor.predict(track(files, len(files), "detecting", "images"))
    for image, faces in zip(files, photos, strict=True):
        if not faces:
            notify(f"no face: {image}")
    return [face for faces in photos for face in faces]


def _explain(
    explainer: Explainer, predictions: Sequence[Prediction], methods: Sequence[str], targets: Sequence[str]
) -> Explanations:
    crops = [each.crop for each in predictions if each.crop is not None]
    maps: dict[str, list[Floats32]] = {method: [] for method in methods}
    parts = slices(len(targets), _BATCH)
    for method in methods:
        for part in track(parts, total=len(parts), what=method, unit=f"batches of {_BATCH}"):
            pairs = zip(predictions[part], targets[part], strict=True)
            chosen = np.array([each.classes.index(name) for each, name in pairs], dtype=np.int64)
            maps[method] += list(explainer.attribute(np.stack(crops[part]), chosen, method=method))
    return Explanations(
        Explanation(prediction, target, maps[method][at], method)
        for at, (prediction, target) in enumerate(zip(predictions, targets, strict=True))
        for method in methods
    )
