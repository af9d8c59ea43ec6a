"""The full report, from a folder, from scores alone, or from what Python has at hand. No torch unless explained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.data.faceset import SPLITS, FaceSet
from mien.errors import DataError, MissingExtraError, needs_extra
from mien.evaluation.evaluate import evaluate_scores
from mien.evaluation.robustness import RobustnessResult, read_robustness
from mien.evaluation.scores import Scores
from mien.experiments.measure import faces_for
from mien.explain.verdict import Randomisation
from mien.inference.classifier import BATCH, Classifier
from mien.inference.locate import find_run, find_run_of_model
from mien.labels import SCHEMES
from mien.progress import track
from mien.report.blocks import Section
from mien.report.full_page import Written, write_pages
from mien.report.material import Material
from mien.report.sections.attention import Explainer, attention_section
from mien.report.sections.certainty import certainty_section
from mien.report.sections.conditions import conditions_section
from mien.report.sections.failures import merging_section, pairs_section, worst_section
from mien.report.sections.features import Features, features_section
from mien.report.sections.quality import classes_section, curves_section, training_section
from mien.report.sections.robustness import robustness_section
from mien.run_folder import RunFolder

ASKED = 64
"""Rows on which a model is held to its scores."""
SAME_ANSWER = 1e-3
"""Probabilities of one model on two machines, or kept as float16, differ by less."""


def write_full_report(
    out: Path,
    scores: Scores,
    *,
    title: str,
    faces: FaceSet | None = None,
    model: Classifier | None = None,
    run: RunFolder | None = None,
    robustness: Path | None = None,
    model_name: str | None = None,
    facts: Mapping[str, str] | None = None,
    resamples: int = 1000,
    level: float = 0.9,
    with_maps: bool = False,
    with_features: bool = False,
) -> Written:
    """Write ``report.html`` with its figures and tables into a folder.

    Args:
        out: the folder.
        scores: N rows, of anybody's model.
        title: what is reported on.
        faces: the data that the scores are of, all splits, under any classes that lead to those of the scores.
        model: the model, for what needs its answers to other pictures than those of the scores.
        run: the model's run folder, for its training curves.
        robustness: a ``robustness.json``; left out, with a word on the page, where it is of another model or split.
        model_name: where the model is, as ``mien robustness`` would be told; None where it is not known.
        facts: what else a reader needs, such as model, data and command.
        resamples: bootstrap resamples behind each interval.
        level: promised coverage of the prediction sets, above 0 and below 1.
        with_maps: show what the model looks at; needs faces and a model, and its run for more than occlusion.
        with_features: map the model's features and search training for faces like the worst mistakes; needs faces
            and a model, and reads every training face.

    Raises:
        DataError: faces or a model that the scores are not of; a level outside. Nothing is written, as for all errors.
        MissingExtraError: matplotlib or jinja2 is not installed.
        RunError: the file system refused.
    """
    if model is not None and model.classes != scores.classes:
        raise DataError(
            f"The scores are of the classes {', '.join(scores.classes)}, the model knows {', '.join(model.classes)}. "
            f"Give the model that made them, or none."
        )
    if (with_maps or with_features) and (faces is None or model is None):
        raise DataError("What the model looks at and how it sees faces needs the data and the model.")
    everything = chosen = None
    if faces is not None:
        check_fingerprint(faces, scores)
        everything = faces_of_scores(faces, scores) if model is None else faces_for(model, faces)
        chosen = match_faces(everything, scores)
    of_test = holds_test(scores, chosen)
    if model is not None and chosen is not None:
        check_model(model, chosen, scores)
    if (with_maps or with_features) and of_test:
        raise DataError("The model is asked nothing new about test faces; explain it on validation.")
    measured, origin, refused = _read_robustness(robustness, scores, model_name)
    history = run.read_history() if run is not None else []
    material = Material(
        scores=scores,
        evaluation=evaluate_scores(scores, resamples),
        faces=chosen,
        class_counts={} if everything is None else everything.counts_by_split(),
        history=history,
        best_epoch=model.manifest.epoch if model is not None and history else None,
        # Only mien evaluate opens the test split: the model is asked nothing new about its faces.
        predict=None if model is None or of_test else model.probabilities,
        robustness=measured,
        resamples=resamples,
        level=level,
    )
    sections = _sections(material, origin)
    left_out = [refused] if refused else []
    left_out += _left_out(material, robustness, model, of_test, with_maps, with_features)
    if with_maps and model is not None:
        explainer, without_network = _explainer(model, run)
        sections.append(attention_section(material, explainer))
        left_out += [without_network] if without_network else []
    if with_features and model is not None and everything is not None:
        sections.append(features_section(material, _features(material, model, everything)))
    return write_pages(
        out,
        title=title,
        evaluation=material.evaluation,
        sections=sections,
        left_out=left_out,
        facts=dict(facts or {}),
    )


def faces_of_scores(faces: FaceSet, scores: Scores) -> FaceSet:
    """Bring data under the classes of the scores, by a named label scheme where the names alone do not do.

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
    """Refuse data, as it was read, that is not what was scored; scores of unknown data pass.

    Raises:
        DataError: another fingerprint.
    """
    if scores.data_fingerprint and scores.data_fingerprint != faces.fingerprint:
        raise DataError(
            f"The scores are of data {scores.data_fingerprint[:19]}..., found {faces.fingerprint[:19]}.... "
            f"Give the data that was scored."
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


def holds_test(scores: Scores, chosen: FaceSet | None) -> bool:
    """Whether a row is of the test split: by what the scores call their split, or by the faces of the rows."""
    return scores.split == "test" or (chosen is not None and bool((chosen.split == "test").any()))


def check_model(model: Classifier, chosen: FaceSet, scores: Scores) -> None:
    """Refuse a model that did not make the scores, by its answers to some rows that are not of the test split.

    Args:
        model: of the scores' classes.
        chosen: the faces of the rows, in their order.
        scores: made at temperature 1 or at the model's own.

    Raises:
        DataError: other answers.
    """
    askable = np.flatnonzero((chosen.split != "test") & (scores.split != "test"))
    if not len(askable):
        return
    some = askable[np.unique(np.linspace(0, len(askable) - 1, ASKED).astype(np.int64))]
    gaps = [
        np.abs(model.probabilities(chosen.images[some], temperature) - scores.probabilities[some]).max(axis=1)
        for temperature in (1.0, model.manifest.temperature)
    ]
    gap = min(gaps, key=lambda each: float(each.max()))
    if gap.max() > SAME_ANSWER:
        raise DataError(
            f"The model '{model.manifest.name}' did not make the scores: of {len(some)} rows it was asked again, "
            f"{(gap > SAME_ANSWER).sum()} differ, by up to {gap.max():.2g}. Give the model that made them, or none."
        )


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


def _read_robustness(
    path: Path | None, scores: Scores, model_name: str | None
) -> tuple[RobustnessResult | None, str, str]:
    """What was measured, of what, and why it is left out, where it is."""
    if path is None:
        return None, "", ""
    measured = read_robustness(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    model, data, split = (str(content.get(name, "unknown")) for name in ("model", "data", "split"))
    origin = f"the model {model} on {measured.faces:,} rows of the split {split} of {data}"
    if split != scores.split:
        return None, origin, f"{path.name} is left out: it is of {origin}, this report of the split {scores.split}."
    if model_name is not None and _place(model) != _place(model_name):
        return None, origin, f"{path.name} is left out: it is of {origin}, this report of the model {model_name}."
    return measured, origin, ""


def _place(model: str) -> Path:
    """A run folder, whether it is named itself or by its model file; otherwise the file."""
    run = find_run_of_model(model)
    return (find_run(model) if run is None else run).path.resolve()


def _sections(material: Material, origin: str) -> list[Section]:
    sections = [
        classes_section(material),
        curves_section(material),
        training_section(material),
        certainty_section(material),
        pairs_section(material),
        worst_section(material),
    ]
    if len(material.classes) > 2:
        sections.append(merging_section(material))
    if material.faces is not None:
        sections.append(conditions_section(material))
    if material.robustness is not None:
        sections.append(robustness_section(material.robustness, origin))
    return sections


def _explainer(model: Classifier, run: RunFolder | None) -> tuple[Explainer, str]:
    """With the network where it can be had, otherwise for occlusion alone, and why."""
    crop_px = model.manifest.input.crop_px
    reason = ""
    if run is None:
        reason = "The model is in no run folder"
    elif not run.best.is_file():
        reason = f"The model's run folder has no {run.best.name}"
    else:
        try:
            with needs_extra("explain", "What the model looks at by its gradients"):
                from mien.explain.randomisation import check_randomisation
                from mien.explain.torch_model import load_torch_model
        except MissingExtraError as error:
            return Explainer(model.probabilities, crop_px), f"{error} Here is occlusion alone, which does without."
    if run is None or reason:
        return Explainer(model.probabilities, crop_px), f"{reason}, so methods that need gradients are not here."
    network = load_torch_model(run, model.manifest.temperature)

    def randomise(name: str, images: npt.NDArray[np.uint8]) -> Randomisation:
        return check_randomisation(name, network, images, depths=1)

    return Explainer(model.probabilities, crop_px, network, randomise), ""


def _features(material: Material, model: Classifier, everything: FaceSet) -> Features:
    assert material.faces is not None
    of_rows = _in_batches(model, material.faces, "features")
    if not (everything.split == "train").any():
        return Features(of_rows, np.empty((0, of_rows.shape[1])), None)
    training = everything.of_split("train")
    return Features(of_rows, _in_batches(model, training, "features of training"), training)


def _in_batches(model: Classifier, faces: FaceSet, what: str) -> npt.NDArray[np.float32]:
    starts = track(range(0, len(faces), BATCH), total=-(-len(faces) // BATCH), what=what, unit="batches")
    return np.concatenate([model.features(faces.images[first : first + BATCH]) for first in starts])


def _left_out(
    material: Material,
    robustness: Path | None,
    model: Classifier | None,
    of_test: bool,
    with_maps: bool,
    with_features: bool,
) -> list[str]:
    """What is not on the page, and what would add it, a sentence each."""
    reasons = []
    if material.faces is None:
        reasons.append(
            "No data was given, so there is no face on this page, and nothing that depends on light, sharpness or "
            "people's votes: give --data PATH."
        )
    if robustness is None:
        reasons.append("There is no robustness.json, so corrupted pictures are not here: mien robustness makes it.")
    if of_test:
        return [
            *reasons,
            "Only mien evaluate opens the test split, so the model was asked nothing new about its faces: not of them "
            "in the mirror, not what it looks at, not how it sees them.",
        ]
    lacking = [
        what for what, there in (("data", material.faces is not None), ("model", model is not None)) if not there
    ]
    if lacking:
        options = " and ".join({"data": "--data PATH", "model": "--model MODEL"}[what] for what in lacking)
        return [
            *reasons,
            f"No {' and no '.join(lacking)} was given, so nothing is here that needs new answers: faces in the mirror, "
            f"what the model looks at, how it sees the faces. Give {options}.",
        ]
    if not with_maps:
        reasons.append("What the model looks at was not asked for, because it takes a minute: --explain adds it.")
    if not with_features:
        reasons.append("How the model sees faces was not asked for, because it reads all training faces: --features.")
    return reasons
