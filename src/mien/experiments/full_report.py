"""The full report, from a folder, from scores alone, or from what Python has at hand. No torch unless explained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mien.data.faceset import SPLITS, FaceSet
from mien.errors import DataError
from mien.evaluation.evaluate import evaluate_scores
from mien.evaluation.robustness import read_robustness
from mien.evaluation.scores import Scores
from mien.experiments.measure import class_counts, faces_for
from mien.inference.classifier import Classifier
from mien.labels import SCHEMES
from mien.report.blocks import Section
from mien.report.full_page import Written, write_pages
from mien.report.material import Material
from mien.report.sections.certainty import certainty_section
from mien.report.sections.conditions import conditions_section
from mien.report.sections.failures import merging_section, pairs_section, worst_section
from mien.report.sections.quality import classes_section, curves_section, training_section
from mien.report.sections.robustness import robustness_section
from mien.run_folder import RunFolder


def write_full_report(
    out: Path,
    scores: Scores,
    *,
    title: str,
    faces: FaceSet | None = None,
    model: Classifier | None = None,
    run: RunFolder | None = None,
    robustness: Path | None = None,
    facts: Mapping[str, str] | None = None,
    resamples: int = 1000,
) -> Written:
    """Write ``report.html`` with its figures and tables into a folder.

    Args:
        out: the folder.
        scores: N rows, of anybody's model.
        title: what is reported on.
        faces: the data that the scores are of, all splits, under any classes that lead to those of the scores.
        model: the model, for what needs its answers to other pictures than those of the scores.
        run: the model's run folder, for its training curves.
        robustness: a ``robustness.json``.
        facts: what else a reader needs, such as model, data and command.
        resamples: bootstrap resamples behind each interval.

    Raises:
        DataError: faces or a model that the scores are not of. Nothing is written, as for all errors.
        MissingExtraError: matplotlib or jinja2 is not installed.
        RunError: the file system refused.
    """
    if model is not None and model.classes != scores.classes:
        raise DataError(
            f"The scores are of the classes {', '.join(scores.classes)}, the model knows {', '.join(model.classes)}. "
            f"Give the model that made them, or none."
        )
    everything = None
    if faces is not None:
        everything = faces_of_scores(faces, scores) if model is None else faces_for(model, faces)
    history = run.read_history() if run is not None else []
    material = Material(
        scores=scores,
        evaluation=evaluate_scores(scores, resamples),
        faces=None if everything is None else match_faces(everything, scores),
        class_counts={} if everything is None else class_counts(everything),
        history=history,
        best_epoch=model.manifest.epoch if model is not None and history else None,
        # Only mien evaluate opens the test split: the model is asked nothing new about its faces.
        predict=None if model is None or scores.split == "test" else model.probabilities,
        robustness=None if robustness is None else read_robustness(robustness),
        resamples=resamples,
    )
    sections = list(_sections(material))
    return write_pages(
        out,
        title=title,
        evaluation=material.evaluation,
        sections=sections,
        left_out=_left_out(material),
        facts=dict(facts or {}),
    )


def faces_of_scores(faces: FaceSet, scores: Scores) -> FaceSet:
    """Bring data under the classes of the scores, by a named label scheme where the names alone do not do.

    Raises:
        DataError: the data has other classes.
    """
    schemes = [None, *(scheme for scheme in SCHEMES.values() if set(scheme.classes) == set(scores.classes))]
    for scheme in schemes:
        try:
            return faces.with_scheme(scheme).with_classes(scores.classes)
        except DataError:
            continue
    raise DataError(
        f"The scores are of the classes {', '.join(scores.classes)}, the data has {', '.join(faces.classes)}. "
        f"Rename classes of the data with --map, or give the data that was scored."
    )


def match_faces(faces: FaceSet, scores: Scores) -> FaceSet:
    """The faces of the scores' rows, in their order.

    Raises:
        DataError: other rows, other labels, or data with another fingerprint where the scores have one.
    """
    if scores.data_fingerprint and scores.data_fingerprint != faces.fingerprint:
        raise DataError(
            f"The scores are of data {scores.data_fingerprint[:19]}..., found {faces.fingerprint[:19]}.... "
            f"Give the data that was scored."
        )
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
    order = np.argsort(faces.rows, kind="stable")
    chosen = faces.subset(order[np.searchsorted(faces.rows[order], scores.rows)])
    other = np.flatnonzero(chosen.labels != scores.labels)
    if len(other):
        first = other[0]
        raise DataError(
            f"Scores and data must have the same true classes; row {scores.rows[first]} is "
            f"{scores.classes[scores.labels[first]]} in the scores and {scores.classes[chosen.labels[first]]} in the "
            f"data, and {len(other)} rows differ in all."
        )
    return chosen


def find_scores(folder: Path, split: str | None = None) -> Path:
    """The scores file of a run folder, or of what ``mien evaluate --out`` wrote.

    Raises:
        DataError: there is none, or several and ``split`` names none of them.
    """
    found = {file.stem.removeprefix("scores_"): file for file in sorted(folder.glob("scores_*.npz"))}
    if split is not None and split in found:
        return found[split]
    if not found or split is not None:
        wanted = f"scores_{split or '*'}.npz"
        state = f"holds no {wanted}" if folder.is_dir() else "is not a folder"
        raise DataError(f"{folder} {state}. Make one with: mien evaluate --model M --data PATH --out {folder}")
    if "validation" in found:
        return found["validation"]
    if len(found) > 1:
        raise DataError(f"{folder} holds scores of {', '.join(found)}; choose one with --split.")
    return next(iter(found.values()))


def _sections(material: Material) -> list[Section]:
    sections = [
        classes_section(material),
        curves_section(material),
        training_section(material),
        certainty_section(material),
        pairs_section(material),
        worst_section(material),
        merging_section(material),
    ]
    if material.faces is not None:
        sections.append(conditions_section(material))
    if material.robustness is not None:
        sections.append(robustness_section(material.robustness))
    return sections


def _left_out(material: Material) -> list[str]:
    reasons = []
    if material.faces is None:
        reasons.append(
            "No data was given, so there is no face on this page, and nothing that depends on light, sharpness or "
            "people's votes: give --data PATH."
        )
    if material.scores.split == "test":
        reasons.append(
            "Only mien evaluate opens the test split, so the model was asked nothing new about its faces, such as in "
            "the mirror."
        )
    elif material.predict is None:
        reasons.append("No model was given, so nothing is here that needs new answers, such as of mirrored faces.")
    if material.robustness is None:
        reasons.append("There is no robustness.json, so corrupted pictures are not here: mien robustness makes it.")
    return reasons
