"""A scikit-learn classifier that trains, stores and uses a mien model: ``mien.sklearn.ExpressionClassifier``.

It works wherever scikit-learn needs an estimator: ``cross_val_score``, ``GridSearchCV``, ``Pipeline``, ``joblib.dump``.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from mien.api.train import find_job, settings_of
from mien.base.arrays import Array, Floats, Pixels
from mien.base.errors import DataError, RecipeError, needs_extra
from mien.base.files import write_bytes
from mien.base.model_file import open_model
from mien.base.preprocess import face_square
from mien.base.processes import torch_defaults
from mien.base.recipe import Recipe
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.inference.onnx_classifier import OnnxClassifier
from mien.pipeline.split_predictions import temperature_for_use

with needs_extra("sklearn", "mien.sklearn"):
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

if TYPE_CHECKING:
    from sklearn.utils import Tags


class PixelError(DataError, ValueError):
    """Error for unusable data. The error is a ``ValueError``, as scikit-learn expects."""


class ExpressionClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Train a mien recipe with ``fit``, and classify face crops with ``predict``.

    Images are face crops of any size, grey (N, H, W) or flattened (N, H * W); they are resized for the recipe. A recipe
    with three channels needs RGB, (N, H, W, 3) or flattened. Pixels are numbers 0..255, usually uint8; fractions are
    rounded. ``fit`` sets aside a stratified validation split of 15% of its data. This split is used to fit the
    temperature, and to choose the best epoch if the recipe keeps that.

    Args:
        recipe: name of a built-in recipe, path of a ``.toml`` file, or a recipe object.
        settings: changed keys of the recipe: ``{"epochs": 10, "optim.lr": 0.05}``.
        image_shape: (H, W) of flattened images, or (H, W, 3) for RGB; one value may be -1, as in ``numpy.reshape``.
            None means square images.
        init_from: built-in model or run to start from, with its network and input; None trains from
            scratch, or for the recipe ``head`` tunes ``default``.
        random_state: seed, 0 or more, or a ``RandomState`` that draws it; None keeps the recipe's. Training repeats.
        device: device for training: ``auto``, ``cpu``, ``cuda`` or ``mps``. Prediction runs on the CPU.

    Attributes:
        classes_: (C,) sorted labels, of the type given to ``fit``.
        n_features_in_: number of pixel values per image.
        history_: one dict per epoch with loss and metrics of train and validation.
        model_: content of the ``.onnx`` file, made when it is asked for, saved or pickled. :meth:`save` writes it for
            use elsewhere in mien.

    >>> ExpressionClassifier("quick", settings={"epochs": 5}).get_params()["settings"]
    {'epochs': 5}
    """

    def __init__(
        self,
        recipe: str | os.PathLike[str] | Recipe = "quick",
        *,
        settings: Mapping[str, Any] | None = None,
        image_shape: tuple[int, ...] | None = None,
        init_from: str | os.PathLike[str] | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
    ) -> None:
        self.recipe: str | os.PathLike[str] | Recipe = recipe
        self.settings: Mapping[str, Any] | None = settings
        self.image_shape: tuple[int, ...] | None = image_shape
        self.init_from: str | os.PathLike[str] | None = init_from
        self.random_state: int | np.random.RandomState | None = random_state
        self.device: str = device

    @torch_defaults()
    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:  # noqa: N803 - scikit-learn's name
        """Train on face crops and their labels.

        Args:
            X: (N, H, W) or (N, H * W), with RGB (N, H, W, 3) or (N, H * W * 3), 0..255.
            y: (N,) labels: text or numbers.

        Raises:
            PixelError: arrays of a wrong shape or with wrong values, or data that cannot be used for training.
            MienError: unknown recipe or setting, a recipe with a label scheme, or torch is not installed.
        """
        flat, self._shape = _flat(X)
        features, labels = validate_data(self, flat, y, dtype="numeric", ensure_min_samples=2)
        check_classification_targets(labels)
        state = self.random_state
        seed = state.randint(2**31 - 1) if isinstance(state, np.random.RandomState) else state
        job = find_job(self.recipe, settings_of(self.settings, seed=seed), self.init_from, self.device)
        recipe = job.recipe
        pixels = self._pixels(features, self._shape, recipe.input.channels)
        if recipe.classes != "all":
            # With a label scheme, the columns of the probabilities would not be those of classes_.
            raise RecipeError(
                f"The recipe has the label scheme '{recipe.classes}'; mien.sklearn needs 'all'. Merge the labels in y.",
                code="label-scheme",
            )
        self.classes_, numbers = np.unique(column_or_1d(labels), return_inverse=True)
        names = [str(label) for label in self.classes_.tolist()]
        job.check()
        from mien.exporting.to_onnx import FittedNetwork, export_of_start
        from mien.training.loop import train

        try:
            size_px, channels = recipe.input.size_and_channels
            dataset = Dataset.from_arrays(pixels, numbers, names, size_px=size_px, channels=channels)
            network = job.network(len(names))
            with TemporaryDirectory(prefix="mien-") as folder:
                run = RunFolder(Path(folder) / "run")
                plan = job.plan(dataset)
                self.history_ = train(plan, run, init_from=job.init_from, device=job.device, network=network).history
                fitted, (images, labels) = FittedNetwork.of_run(run), (plan.validation.images, plan.validation.labels)
            start = job.init_from if recipe.tuning.fit_head else None
            export = start and export_of_start(fitted.network, fitted.manifest, images, start)
            model: Any = OnnxClassifier.opened(export.session, fitted.manifest, Path()) if export else fitted
            temperature = temperature_for_use(labels, model.probabilities(images))
            manifest = fitted.manifest.model_copy(update={"temperature": temperature})
        except DataError as error:
            raise PixelError(str(error), code=error.code) from error
        self._classifier: Any = FittedNetwork(fitted.network, manifest)
        if export:
            self._model, self._classifier = export.to_bytes(manifest), model.with_manifest(manifest)
        return self

    @property
    def model_(self) -> bytes:
        """Content of the ``.onnx`` file, which is made when it is first asked for."""
        check_is_fitted(self)
        if not isinstance(self._classifier, OnnxClassifier):
            self._model = self._classifier.to_onnx()
            self._classifier = _open(self._model)
        return self._model

    @torch_defaults()
    def predict_proba(self, X: npt.ArrayLike) -> Floats:  # noqa: N803
        """Compute class probabilities of face crops.

        Args:
            X: face crops, as in :meth:`fit`.

        Returns:
            float64 (N, C) in the order of ``classes_``, rows sum to 1.

        Raises:
            PixelError: see :meth:`fit`.
            sklearn.exceptions.NotFittedError: before :meth:`fit`.
        """
        check_is_fitted(self)
        size_px, channels = self._classifier.manifest.input.size_and_channels
        flat, own_shape = _flat(X)
        pixels = self._pixels(
            validate_data(self, flat, dtype="numeric", reset=False), own_shape or self._shape, channels
        )
        squares = np.stack([face_square(image, size_px, channels) for image in pixels])
        return np.asarray(self._classifier.probabilities(squares))

    def predict(self, X: npt.ArrayLike) -> Array:  # noqa: N803
        """Predict the most probable label of each face crop, (N,). Arguments are as in :meth:`predict_proba`."""
        probabilities = self.predict_proba(X)  # first, because it says if this is not fitted
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model to a ``.onnx`` file for :func:`mien.load` and all commands, and return the path.

        Raises:
            DataError: wrong suffix (``out-path``).
        """
        if Path(path).suffix != ".onnx":
            raise DataError(f"path must name a .onnx file; found {path}.", code="out-path")
        write_bytes(path, self.model_)
        return Path(path)

    def __sklearn_tags__(self) -> "Tags":
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.positive_only = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        # Pickle only the content of the model file: neither a network nor onnxruntime's session.
        if "_classifier" in self.__dict__:
            self.model_  # noqa: B018 - this makes the file
        return {name: value for name, value in super().__getstate__().items() if name != "_classifier"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_model" in state:
            self._classifier = _open(self._model)

    def _pixels(self, flat: Array, own: tuple[int, ...] | None, channels: int) -> Pixels:
        """Reshape flat images to uint8 (N, H, W), or (N, H, W, 3) in colour. ``own`` is the shape of a stack's."""
        lowest, highest = flat.min(), flat.max()
        if lowest < 0 or highest > 255 or (flat.dtype.kind == "f" and 0 < highest <= 1):
            # scikit-learn's check of estimators looks for the first words.
            words = f"Negative values in data passed to {type(self).__name__}, fractions, or values above 255: pixels "
            raise PixelError(f"{words}must be 0..255; found {lowest:g}..{highest:g}.", code="pixels")
        side = round((flat.shape[1] / channels) ** 0.5)
        square = (side, side) if channels == 1 else (side, side, channels)
        shape = (own or square) if self.image_shape is None else self.image_shape
        try:
            images = np.rint(flat).reshape(len(flat), *shape)
        except (TypeError, ValueError):
            wanted = "a square" if self.image_shape is None else f"image_shape={self.image_shape}"
            raise PixelError(
                f"{flat.shape[1]} features are not the pixels of {wanted}. Give image_shape=(H, W); RGB has (H, W, 3).",
                code="image-type",
            ) from None
        if own is not None and images[0].squeeze().shape != own:
            raise PixelError(f"Leave image_shape={self.image_shape} out: the images are {own}.", code="image-type")
        return np.asarray(images, dtype=np.uint8)


def _flat(images: Any) -> tuple[Any, tuple[int, ...] | None]:
    """Flatten stacks or lists of images for scikit-learn: (N, H, W[, 3]) -> (N, pixels), (H, W[, 3]). Keep others."""
    shape = images.shape if hasattr(images, "shape") else np.asarray(images).shape
    if len(shape) not in {3, 4}:
        return images, None
    sides = tuple(side for side in shape[1:] if side != 1)
    is_image = len(sides) == 2 or (len(sides) == 3 and sides[2] == 3)
    if len(sides) == 3 and not is_image:
        raise PixelError(f"RGB images have the shape (N, H, W, 3); found {tuple(shape)}.", code="image-type")
    return np.reshape(images, (shape[0], int(np.prod(shape[1:])))), sides if is_image else None


def _open(model: bytes) -> OnnxClassifier:
    return OnnxClassifier.opened(*open_model("model.onnx", content=model), Path())
