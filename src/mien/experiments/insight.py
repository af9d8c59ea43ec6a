"""What a report asks a model anew: its network for gradients, its features of all faces. torch for gradients alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.data.faceset import FaceSet
from mien.errors import DataError, MienError, MissingExtraError, ModelError, needs_extra
from mien.evaluation.failures import worst_mistakes
from mien.experiments.matching import SAME_ANSWER
from mien.explain.methods import METHODS, explain
from mien.explain.verdict import Randomisation
from mien.inference.classifier import Classifier
from mien.progress import track
from mien.report.material import Material
from mien.report.sections.attention import Explainer
from mien.report.sections.failures import WORST
from mien.report.sections.features import SEARCHED, Features, look_alikes
from mien.run_folder import RunFolder

TRIED = 4
"""Faces on which a run's weights are held to its model file."""

FEATURE_BATCH = 256


def explainer_of(model: Classifier, run: RunFolder | None, material: Material) -> tuple[Explainer, str]:
    """What explains a model: with its network where it can be had, otherwise by occlusion alone, and why.

    Args:
        model: the model.
        run: its run folder, where it is in one.
        material: with the faces, none of them of the test split.
    """
    crop_px = model.manifest.input.crop_px
    alone = Explainer(model.probabilities, crop_px)
    rest = "so methods that need gradients are not here."
    if run is None:
        return alone, f"The model is in no run folder, {rest}"
    if not run.best.is_file():
        return alone, f"The model's run folder has no {run.best.name}, {rest}"
    try:
        with needs_extra("explain", "What the model looks at by its gradients"):
            import captum  # noqa: F401 - the methods import it when they are first asked

            from mien.explain.randomisation import check_randomisation
            from mien.explain.torch_model import load_torch_model
        network = load_torch_model(run, model.manifest.temperature)
    except MissingExtraError as error:
        return alone, f"{error} Here is occlusion alone, which does without."
    except MienError as error:
        return alone, f"{error} Here is occlusion alone, which does without the run's weights."
    assert material.faces is not None
    some = np.asarray(material.faces.images[:TRIED])
    if np.abs(network.predict(some) - model.probabilities(some)).max() > SAME_ANSWER:
        return alone, f"{run.best} holds other weights than the model file, {rest} mien export writes it anew."

    def randomise(name: str, images: npt.NDArray[np.uint8], maps: npt.NDArray[np.float32]) -> Randomisation:
        return check_randomisation(name, network, images, maps=maps, depths=1)

    unfit, reasons = [], []
    for name, method in METHODS.items():
        if method.needs_torch:
            try:
                explain(name, some[:1], model=network)
            except DataError as error:
                unfit.append(name)
                reasons.append(f"The method {name} is not here. {error}")
    return Explainer(model.probabilities, crop_px, network, randomise, tuple(unfit)), " ".join(reasons)


def features_of(model: Classifier, material: Material, everything: FaceSet) -> tuple[Features | None, str]:
    """The model's features of the rows and of training faces; None where its file gives none, and why.

    Of more than :data:`mien.report.sections.features.SEARCHED` training faces it is those that look most like one of
    the worst mistakes: reading all of FER2013's takes longer than the rest of the report.

    Args:
        model: the model.
        material: with the faces, none of them of the test split.
        everything: all faces, under the model's classes.
    """
    assert material.faces is not None
    try:
        of_rows = _in_batches(model, material.faces, "features")
    except ModelError as error:
        return None, f"How the model sees the faces is not here. {error}"
    if not (everything.split == "train").any():
        return Features(of_rows, np.empty((0, of_rows.shape[1])), None), ""
    training = everything.of_split("train")
    worst = worst_mistakes(material.scores.labels, material.scores.probabilities, WORST)
    found = look_alikes(material.faces.images[worst], training.images, SEARCHED)
    searched = training.subset(found)
    return Features(of_rows, _in_batches(model, searched, "features of training"), searched, len(training)), ""


def _in_batches(model: Classifier, faces: FaceSet, what: str) -> npt.NDArray[np.float32]:
    starts = range(0, len(faces), FEATURE_BATCH)
    batches = track(starts, total=len(starts), what=what, unit="batches")
    return np.concatenate([model.features(faces.images[first : first + FEATURE_BATCH]) for first in batches])
