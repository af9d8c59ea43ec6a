"""Where scores are, and whether data, a model and a ``robustness.json`` belong to them. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mien.data.faceset import SPLITS, FaceSet
from mien.errors import DataError
from mien.evaluation.robustness_file import NAME, Measurement, read_measurement
from mien.evaluation.scores import Scores
from mien.inference.classifier import Classifier
from mien.inference.locate import find_run, find_run_of_model, is_shipped
from mien.labels import SCHEMES

ASKED = 64
"""Rows on which a model is held to its scores."""
SAME_ANSWER = 1e-3
"""Probabilities of one model on two machines, or kept as float16, differ by less."""


def faces_of_scores(faces: FaceSet, scores: Scores) -> FaceSet:
    """Bring data under the classes of the scores, by names alone or by the named label scheme that leads to them.

    Two schemes may share their classes, as both binary ones do: the first whose rows and labels fit is taken.

    Raises:
        DataError: the data has other classes, other rows or other labels.
    """
    misfit: DataError | None = None
    schemes = [None, *(scheme for scheme in SCHEMES.values() if set(scheme.classes) == set(scores.classes))]
    for scheme in schemes:
        try:
            renamed = faces.with_scheme(scheme).with_classes(scores.classes)
        except DataError:
            continue
        try:
            match_faces(renamed, scores)
        except DataError as error:
            misfit = misfit or error
            continue
        return renamed
    raise misfit or DataError(
        f"The scores are of the classes {', '.join(scores.classes)}, the data has {', '.join(faces.classes)}. "
        f"Rename classes of the data with --map, or give the data that was scored."
    )


def check_fingerprint(faces: FaceSet, scores: Scores) -> None:
    """Refuse data, as it was read at any size, that is not what was scored; scores of unknown data pass.

    Raises:
        DataError: another fingerprint.
    """
    found = faces.fingerprint_for_scores(scores.split)
    if scores.data_fingerprint not in {"", found} and not faces.is_of(scores.data_fingerprint):
        raise DataError(
            f"The scores are of data {scores.data_fingerprint[:19]}..., found {found[:19]}.... "
            f"Give the data that was scored, with the same --clean and --map."
        )


def match_faces(faces: FaceSet, scores: Scores) -> FaceSet:
    """The faces of the scores' rows, in their order, from data under the classes of the scores.

    Raises:
        DataError: other rows or other labels.
    """
    if scores.split in SPLITS:
        faces = faces.of_split(scores.split)
        lone = np.setxor1d(faces.rows, scores.rows)
    else:
        lone = np.setdiff1d(scores.rows, faces.rows)
    if len(lone):
        raise DataError(
            f"Scores and data must be of the same rows; found {len(scores)} scores of '{scores.split}' and "
            f"{len(faces)} faces, and {len(lone)} rows stand in one alone, such as row {lone[0]}."
        )
    chosen = faces.subset(faces.places(scores.rows))
    other = np.flatnonzero(chosen.labels != scores.labels)
    if len(other):
        first = other[0]
        raise DataError(
            f"Scores and data must have the same true classes; row {scores.rows[first]} is "
            f"{scores.classes[scores.labels[first]]} in the scores and {scores.classes[chosen.labels[first]]} in the "
            f"data, and {len(other)} rows differ in all."
        )
    return chosen


def holds_test(scores: Scores, chosen: FaceSet | None) -> bool:
    """Whether a row is of the test split: by what the scores call their split, or by the faces of the rows."""
    return scores.split == "test" or (chosen is not None and bool((chosen.split == "test").any()))


def check_model(model: Classifier, chosen: FaceSet, scores: Scores) -> float | None:
    """Refuse a model that did not make the scores, by its answers to some rows that are not of the test split.

    Args:
        model: of the scores' classes.
        chosen: the faces of the rows, in their order.
        scores: made at temperature 1 or at the model's own.

    Returns:
        The temperature at which the scores were made; None where no row could be asked.

    Raises:
        DataError: other answers.
    """
    askable = np.flatnonzero((chosen.split != "test") & (scores.split != "test"))
    if not len(askable):
        return None
    some = askable[np.unique(np.linspace(0, len(askable) - 1, ASKED).astype(np.int64))]
    gaps = {
        temperature: np.abs(model.probabilities(chosen.images[some], temperature) - scores.probabilities[some]).max(1)
        for temperature in (1.0, model.manifest.temperature)
    }
    temperature, gap = min(gaps.items(), key=lambda each: float(each[1].max()))
    if gap.max() > SAME_ANSWER and scores.note:
        raise DataError(
            f"The scores are {scores.note}; the model '{model.manifest.full_name}', asked for one view of a face, "
            f"answers otherwise. Report on them without a model: mien report --scores FILE."
        )
    if gap.max() > SAME_ANSWER:
        raise DataError(
            f"The model '{model.manifest.full_name}' did not make the scores: of {len(some)} rows it was asked again, "
            f"{(gap > SAME_ANSWER).sum()} differ, by up to {gap.max():.2g}. Give the model that made them, or none."
        )
    return temperature


def find_scores(folder: Path, split: str | None = None) -> Path:
    """The scores file of a run folder, or of what ``mien evaluate --out`` wrote.

    Raises:
        DataError: there is none, or several and ``split`` names none of them.
    """
    found = {file.stem.removeprefix("scores_"): file for file in sorted(folder.glob("scores_*.npz"))}
    if split is not None and split in found:
        return found[split]
    if not found or split is not None:
        if folder.is_file():
            raise DataError(
                f"{folder} is a file; give a folder, such as a run. A scores file is given by --scores, data by --data."
            )
        wanted = f"scores_{split or '*'}.npz"
        state = f"holds no {wanted}" if folder.is_dir() else "is not a folder"
        place = "DIR" if folder.exists() or is_shipped(folder) else folder
        of_split = f" --split {split}" if split in SPLITS else ""
        raise DataError(f"{folder} {state}. Make one with: mien evaluate --model M --data PATH{of_split} --out {place}")
    if "validation" in found:
        return found["validation"]
    if len(found) > 1:
        raise DataError(f"{folder} holds scores of {', '.join(found)}; choose one with --split.")
    return next(iter(found.values()))


def find_robustness(places: Sequence[Path], scores: Scores, model_name: str | None) -> tuple[Measurement | None, str]:
    """The first ``robustness.json`` that is of the scores' split and model, or None and the reason, for a reader.

    Args:
        places: files or folders in which it may lie.
        scores: what is reported on.
        model_name: where the model is; None where that is not known, and every model's is taken.

    Raises:
        DataError: a file that is no ``robustness.json``.
    """
    if scores.split == "test":
        return None, "Corrupted pictures are not here: nobody but mien evaluate opens the test split."
    refused = ""
    for place in places:
        file = place / NAME if place.is_dir() else place
        if not file.is_file():
            continue
        measured = read_measurement(file)
        if measured.split != scores.split:
            reason = f"this report of the split {scores.split}"
        elif _other_data(measured, scores):
            reason = "this report of other data"
        elif _other_answers(measured, scores):
            found = f"{measured.result.clean_accuracy.value:.4f}"
            reason = f"and its accuracy on the faces as they are, {found}, is not that of these scores"
        elif model_name is not None and _place(measured.model) != _place(model_name):
            reason = f"this report of the model {model_name}"
        else:
            return measured, ""
        refused = refused or f"{file} is left out: it is of {measured.words}, {reason}."
    return None, refused or (
        f"There is no {NAME} in the run folder or beside the report, so corrupted pictures are not here; they take "
        f"minutes: mien robustness --model MODEL --data PATH --out RUN makes it."
    )


def _other_data(measured: Measurement, scores: Scores) -> bool:
    """Files of an older mien do not say of which data they are."""
    return "" not in {measured.data_fingerprint, scores.data_fingerprint} and (
        measured.data_fingerprint != scores.data_fingerprint
    )


def _other_answers(measured: Measurement, scores: Scores) -> bool:
    """Whether all rows were measured, and by another model: a run folder keeps its place when it is trained on."""
    if measured.result.faces != len(scores):
        return False
    accuracy = float((scores.probabilities.argmax(axis=1) == scores.labels).mean())
    # Probabilities kept as float16 may turn a tie.
    return abs(measured.result.clean_accuracy.value - accuracy) > 2 / len(scores)


def _place(model: str) -> Path:
    """A run folder, whether it is named itself or by its model file; otherwise the file."""
    run = find_run_of_model(model)
    return (find_run(model) if run is None else run).path.resolve()
