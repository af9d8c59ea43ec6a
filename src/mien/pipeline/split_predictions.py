"""Predictions of a model on one split; those of teachers for train are cached. Needs no torch."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.arrays import Array, Floats, Pixels
from mien.base.errors import DataError
from mien.base.files import cache_folder, expand_home, file_sha256
from mien.base.heads import LabelHead, VotesHead, decide
from mien.base.labels import NOT_A_FACE_CLASS, UNSURE, LabelScheme, parse_scheme
from mien.base.model_file import read_manifest
from mien.base.preprocess import InputSpec
from mien.base.progress import slices, track
from mien.base.run_folder import find_model
from mien.data.dataset import Dataset
from mien.data.votes import check_votes, read_ratings, vote_probabilities
from mien.evaluation.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE, apply_temperature, fit_temperature
from mien.evaluation.predictions import Answers, Predictions, RatedValues, Teacher, VotePredictions, write_predictions
from mien.inference.onnx_classifier import BATCH, check_tta, mean_over_views, views_note
from mien.inference.predictor import Predictor


def with_model_classes(predictor: Predictor, faces: Dataset) -> Dataset:
    """Convert the faces to the model's classes, by its label scheme and order; DataError for one that it lacks."""
    scheme = parse_scheme(str(predictor.manifest.recipe.get("classes", "all")))
    # Do not merge data that already has the model's classes.
    if scheme is not None and not set(faces.classes) <= set(predictor.classes):
        faces = faces.with_scheme(scheme)
    return faces.with_classes(predictor.classes)


def predict_split(
    predictor: Predictor, faces: Dataset, split: str, tta: int = 1, temperature: float | None = None
) -> Predictions:
    """Predict each face of a split of a data set, as loaded, as the mean of ``tta`` views.

    Without a ``temperature``, the logits are divided by the model's own, except on the samples it was fitted on; there
    it is 1. If one is given, the output trained on votes has temperature 1.

    Returns predictions with the data's votes, with those of an output trained on votes, and with the users' answers if
    they come from another output than the label's. Raises DataError as :func:`with_model_classes`, :func:`votes_of` and
    :func:`mien.inference.onnx_classifier.check_tta`.
    """
    check_tta(tta, predictor.mirrored)
    chosen = with_model_classes(predictor, faces.of_split(split))
    votes = votes_of(predictor, chosen)
    fitted = temperature is not None or fitted_on(predictor, faces, split)
    if temperature is None:
        temperature = 1.0 if fitted else predictor.manifest.temperature
    answering, further = predictor.manifest.output(), predictor.further
    names = tuple(name for head in further for name in head.classes) or answering.derives
    ratings = None
    # Only a model that learned ratings needs their columns in the right scale; a notice at reading names others.
    with nullcontext() if further else suppress(DataError):
        ratings = read_ratings(chosen, [name.removeprefix("derived_") for name in names]) if names else None
    others = ["" if votes is None else votes.output, _source(answering) if answering.perceived else ""]
    others += [] if ratings is None else [head.name or "" for head in further]
    outputs, scheme = predictor.manifest.outputs, str(predictor.manifest.recipe.get("classes", "all"))
    divisors: dict[str, float] = {}
    if any(others):
        divisors = {name: 1.0 if fitted else outputs[name].temperature for name in others if name}
        divisors = {next(iter(outputs)): temperature, **divisors}
    sizes = {head.name: len(head.classes) for head in predictor.manifest.all_outputs}
    ends = np.cumsum([0, *(sizes[name] for name in divisors)])
    column = {name: slice(ends[at], ends[at + 1]) for at, name in enumerate(divisors)}

    def predict(images: Pixels) -> Floats:
        if not divisors:
            return predictor.probabilities(images, temperature)
        found = predictor.output_probabilities(images, divisors)
        if not isinstance(answering, VotesHead):
            return found
        source = _source(answering)
        shown = apply_temperature(found[:, column[source]], answering.temperature / divisors[source])
        return np.concatenate([found, answering.shown(shown)], axis=1)

    batches = slices(len(chosen), BATCH)
    found = np.concatenate(
        [
            mean_over_views(predict, np.asarray(chosen.images[batch]), tta)
            for batch in track(batches, len(batches), f"predicting {split}", "batches")
        ]
    )
    if votes is not None and votes.output:
        votes = replace(votes, probabilities=_of_choices(predictor, votes, found[:, column[votes.output]]))
    rated = None
    if ratings is not None:
        values = [found[:, column[head.name or ""]] for head in further] or [answering.derived(found[:, ends[-1] :])]
        rated = RatedValues(names, np.concatenate(values, axis=1), ratings)
    return Predictions(
        sample_ids=chosen.rows,
        labels=chosen.labels,
        probabilities=found[:, : len(predictor.classes)],
        classes=predictor.classes,
        split=split,
        data_fingerprint=faces.fingerprint_for_predictions(split),
        note=views_note(tta),
        temperature=temperature,
        votes=votes,
        groups=chosen.groups,
        answers=answers_of(answering, found[:, ends[-1] :]) if answering.perceived else None,
        scheme="" if scheme == "all" else scheme,
        rated=rated,
    )


def answers_of(output: LabelHead, probabilities: Floats) -> Answers:
    """Compute the answers of an output trained on votes, as :attr:`mien.Prediction.answer` does; float64 (N, C)."""
    decisions = decide(probabilities, output.classes, output.unsure_below, output.margin)
    top = np.array(output.classes)[decisions.top]
    said = np.where(decisions.likely | (top == NOT_A_FACE_CLASS), top, UNSURE)
    return Answers(said, probabilities.max(axis=1), output.name or "")


def votes_of(predictor: Predictor | None, faces: Dataset) -> VotePredictions | None:
    """Return the votes on faces in the order of :attr:`mien.base.model_file.Manifest.measured_output`, or None;
    ``output`` is empty if people could choose a class that it lacks.
    """
    answering = None if predictor is None else predictor.manifest.measured_output
    output = answering.name if answering is not None and answering.perceived else None
    if faces.votes is None or not faces.votes.any():
        return None
    counts = check_votes(faces)
    if answering is None or output is None or not set(faces.vote_classes) <= set(answering.classes):
        return VotePredictions(counts, faces.vote_classes)
    # Use the output's order, without classes that people could not choose.
    classes = tuple(name for name in answering.classes if name in faces.vote_classes)
    return VotePredictions(counts[:, [faces.vote_classes.index(name) for name in classes]], classes, output=output)


def _of_choices(predictor: Predictor, votes: VotePredictions, probabilities: Floats) -> Floats:
    """Restrict an output's probabilities to the classes that people could choose: (N, C) -> (N, V), rows sum to 1."""
    classes = predictor.manifest.output(votes.output).classes
    if classes == votes.classes:
        return probabilities
    return LabelScheme("votes", {name: (name,) for name in votes.classes}).merge_probabilities(probabilities, classes)


def _source(answering: LabelHead) -> str:
    """Return the name of the graph's output from which the answer is made."""
    rule = answering.rule if isinstance(answering, VotesHead) else None
    return (answering.name or "") if rule is None else rule.output


def fitted_on(predictor: Predictor, faces: Dataset, split: str) -> bool:
    """Return whether the model's temperature was fitted on this split of these faces, cleaned or not."""
    manifest = predictor.manifest
    trained_on = (manifest.data_fingerprint, *manifest.cleaned_from)
    # Check cleaned_from first, because matches_training_data hashes all pixels.
    known = any(each in faces.cleaned_from for each in trained_on)
    return split == "validation" and (known or any(faces.matches_training_data(each) for each in trained_on))


def temperature_description(predictor: Predictor, faces: Dataset, split: str) -> str:
    """Describe whether :func:`predict_split` used the model's temperature."""
    if fitted_on(predictor, faces, split):
        return "without the model's temperature, because it was fitted on these samples"
    return f"with the model's temperature {predictor.manifest.temperature:.3g}"


HALF_WAY = 100
"""With so many samples, the fitted temperature is moved half of the way towards 1, on a log scale. On 8 faces, all
predicted correctly, the fit was 0.06, which made every answer certain."""


def temperature_for_use(targets: Array, probabilities: Floats) -> float:
    """Fit a model's temperature to labels (N,) or shares (N, C); with few it moves towards 1: :data:`HALF_WAY`."""
    fitted = fit_temperature(targets, probabilities)
    if not 1.01 * MIN_TEMPERATURE < fitted < MAX_TEMPERATURE / 1.01:
        return 1.0
    return float(fitted ** (len(targets) / (len(targets) + HALF_WAY)))


def vote_temperature_for_use(predictor: Predictor, faces: Dataset) -> float:
    """Fit the temperature of the output in use, trained on votes, on votes in validation; 1 without such votes."""
    chosen = faces.of_split("validation")
    if chosen.votes is None or set(chosen.vote_classes) != set(predictor.classes):
        return 1.0
    chosen = chosen.subset(np.asarray(chosen.votes.any(axis=1)))
    if not len(chosen):
        return 1.0
    shares = vote_probabilities(check_votes(chosen))[:, [chosen.vote_classes.index(name) for name in predictor.classes]]
    return temperature_for_use(shares, predictor.probabilities(np.asarray(chosen.images), 1.0))


def fitted_temperatures(predictor: Predictor, faces: Dataset, predictions: Predictions) -> dict[str, Any]:
    """Fit the temperatures to store in a model; returns changes of its manifest: ``temperature`` and ``outputs``."""
    outputs = dict(predictor.manifest.outputs)
    for each in predictor.manifest.all_outputs:
        if each.name is not None and each.perceived:
            temperature = vote_temperature_for_use(predictor.with_output(each.name), faces)
            outputs[each.name] = outputs[each.name].model_copy(update={"temperature": temperature})
    return {"temperature": temperature_for_use(predictions.labels, predictions.probabilities), "outputs": outputs}


def find_teachers(names: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Find the files of teachers given by a user: models, or predictions files of the train split; else an error."""
    found = []
    for name in [names] if isinstance(names, str | os.PathLike) else names:
        path = expand_home(name)
        if path.suffix != ".npz":
            path = find_model(name)
            read_manifest(path)  # fails early if it is no model
        elif not path.is_file():
            raise DataError(f"There is no file {path}. A model can also be a teacher.", code="teacher")
        found.append(path)
    return found


def predict_soft_labels(
    teachers: Sequence[Path], faces: Dataset, read: Callable[[InputSpec], Dataset], views: int
) -> list[Teacher]:
    """Return each teacher with its predictions for train, from the cache if possible, at temperature 1: a model's own
    was fitted on validation labels, which must not influence a student.
    """
    return [Teacher(each, each if each.suffix == ".npz" else _predict(each, faces, read, views)) for each in teachers]


def _predict(teacher: Path, faces: Dataset, read: Callable[[InputSpec], Dataset], views: int) -> Path:
    votes = faces.vote_classes if faces.votes is not None else ()
    # Rows are numbered otherwise if a corrupted file, which was skipped, is gone.
    rows = faces.rows[faces.split == "train"].tolist()
    key = [file_sha256(teacher), faces.fingerprint_for_predictions("train"), rows, votes, views]
    file = cache_folder("soft-labels") / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.npz"
    if not zipfile.is_zipfile(file):  # missing or cut off
        predictor = Predictor(teacher).for_labels()
        predictions = predict_split(predictor, read(predictor.manifest.input), "train", views, temperature=1.0)
        write_predictions(file, predictions, np.float32)
    return file
