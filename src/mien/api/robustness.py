"""``mien.robustness``: measure the accuracy on corrupted images. Works without torch."""

from dataclasses import replace

import numpy as np

from mien.api.inputs import Data, Model, data_name, for_labels, read
from mien.base.errors import DataError
from mien.data.dataset import ALL
from mien.data.synthetic import check_seed
from mien.evaluation.robustness import RobustnessResult, measure_robustness
from mien.inference.predictor import Predictor
from mien.pipeline.measured_split import trained_samples
from mien.pipeline.split_predictions import with_model_classes


def robustness(
    model: Model, data: Data, split: str = "validation", *, limit: int | None = None, seed: int = 0
) -> RobustnessResult:
    """Measure a model on images with noise, blur, bad light, occlusion and more, at five strengths each.

    Args:
        model: a loaded model, a run folder, a ``.onnx`` file, or a name in :func:`list_models`.
        data: labelled faces.
        split: validation or train; only :func:`evaluate` uses the test split.
        limit: largest number of samples, chosen at random.
        seed: seed of the corruptions and of the random choice.

    Raises:
        DataError: ``split`` is test or does not exist, ``limit`` is below 1 (``limit-range``), or ``seed`` is negative.
    """
    check_seed(seed)
    if limit is not None and (limit < 1 or limit % 1):
        raise DataError(f"limit must be a whole number, 1 or more; found {limit}.", code="limit-range")
    predictor = for_labels(model)
    result = read(data, *predictor.manifest.input.size_and_channels)
    faces = with_model_classes(predictor, result.faces).of_split(split)
    if split == ALL or (faces.split == "test").any():
        raise DataError("split must be validation or train. Only mien evaluate uses the test split.", code="split-test")
    if limit is not None and limit < len(faces):
        faces = faces.subset(np.sort(np.random.default_rng(seed).choice(len(faces), limit, replace=False)))
    fingerprint = result.faces.fingerprint_for_predictions(split)
    measured = measure_robustness(predictor.probabilities, faces.images, faces.labels, seed=seed, groups=faces.groups)
    name = predictor.manifest.full_name if isinstance(model, Predictor) else str(model)
    trained_on = int(trained_samples(predictor, result.faces, split, faces.rows).sum())
    return replace(
        measured, model=name, data=data_name(data), split=split, data_fingerprint=fingerprint, trained_on=trained_on
    )
