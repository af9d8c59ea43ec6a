"""The full report, from a folder, from scores alone, or from what Python has at hand. No torch unless explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mien.data.faceset import FaceSet
from mien.errors import DataError
from mien.evaluation.evaluate import evaluate_scores
from mien.evaluation.scores import Scores
from mien.experiments.insight import explainer_of, features_of
from mien.experiments.matching import (
    check_fingerprint,
    check_model,
    faces_of_scores,
    find_robustness,
    holds_test,
    match_faces,
)
from mien.experiments.measure import faces_for, seen_by, without_copies
from mien.inference.classifier import Classifier
from mien.report.blocks import Section
from mien.report.full_page import Written, write_pages
from mien.report.material import Material
from mien.report.sections.attention import attention_section
from mien.report.sections.certainty import certainty_section
from mien.report.sections.conditions import conditions_section
from mien.report.sections.failures import merging_section, pairs_section, worst_section
from mien.report.sections.features import features_section
from mien.report.sections.quality import classes_section, curves_section, training_section
from mien.report.sections.robustness import robustness_section
from mien.run_folder import RunFolder


def write_full_report(
    out: Path,
    scores: Scores,
    *,
    title: str,
    faces: FaceSet | None = None,
    uncleaned: FaceSet | None = None,
    model: Classifier | None = None,
    run: RunFolder | None = None,
    robustness: Sequence[Path] = (),
    model_name: str | None = None,
    facts: Mapping[str, str] | None = None,
    resamples: int = 1000,
    level: float = 0.9,
    explain: bool = True,
    features: bool = True,
) -> Written:
    """Write ``report.html`` with its figures and tables into a folder: all that what is at hand allows.

    Args:
        out: the folder.
        scores: N rows, of anybody's model.
        title: what is reported on.
        faces: the data that the scores are of, all splits, under any classes that lead to those of the scores; of the
            model's size, where there is one.
        uncleaned: the same before a list of changes made them of it; see :func:`mien.experiments.measure.seen_by`.
        model: the model, for what needs its answers to other pictures than those of the scores.
        run: the model's run folder, for its training curves, and for its weights, which gradients need.
        robustness: where a ``robustness.json`` may lie, files or folders; the first that is of this model and split is
            taken. Where none is, the page says why.
        model_name: where the model is, as ``mien robustness`` would be told; None where it is not known.
        facts: what else a reader needs, such as model, data and command.
        resamples: bootstrap resamples behind each interval.
        level: promised coverage of the prediction sets, above 0 and below 1.
        explain: show what the model looks at, where faces and model allow.
        features: map the model's features and search training for faces like the worst mistakes, where faces and model
            allow; reads every training face.

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
    everything = chosen = seen = None
    if faces is not None:
        check_fingerprint(faces, scores)
        seen = seen_by([] if model is None else [model], faces, uncleaned)
        if model is None:
            everything = faces_of_scores(faces, scores)
        else:
            everything, seen = faces_for(model, faces), faces_for(model, seen)
        chosen = match_faces(everything, scores)
    of_test = holds_test(scores, chosen)
    facts = dict(facts or {})
    temperature = None if model is None or chosen is None else check_model(model, chosen, scores)
    facts |= _temperature_fact(model, scores.temperature if temperature is None else temperature)
    measured, without_robustness = find_robustness(robustness, scores, model_name)
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
        subsets=() if seen is None else without_copies(seen, scores, resamples),
    )
    sections = _sections(material)
    left_out = [*_left_out(material, model, of_test, explain, features), without_robustness]
    if model is not None and everything is not None and not of_test:
        if explain:
            explainer, without_network = explainer_of(model, run, material)
            sections.append(attention_section(material, explainer))
            left_out.append(without_network)
        if features:
            mapped, without_features = features_of(model, material, everything)
            sections += [features_section(material, mapped)] if mapped is not None else []
            left_out.append(without_features)
    return write_pages(
        out,
        title=title,
        evaluation=material.evaluation,
        sections=sections,
        left_out=[reason for reason in left_out if reason],
        facts=facts,
    )


def _temperature_fact(model: Classifier | None, of_scores: float | None) -> dict[str, str]:
    if of_scores is None:
        return {}
    if model is None:
        return {"probabilities": f"at temperature {of_scores:.3g}"}
    in_use = model.manifest.temperature
    if of_scores == in_use:
        return {"probabilities": f"at the model's temperature, {in_use:.3g}"}
    in_words = f"at temperature {of_scores:.3g}; in use the model's, {in_use:.3g}, makes them less or more sure"
    return {"probabilities": in_words}


def _sections(material: Material) -> list[Section]:
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
        sections.append(robustness_section(material.robustness))
    return sections


def _left_out(material: Material, model: Classifier | None, of_test: bool, explain: bool, features: bool) -> list[str]:
    """What is not on the page although a model and data could give it, and what would add it, a sentence each."""
    reasons = []
    if material.faces is None:
        reasons.append(
            "No data was given, so there is no face on this page, and nothing that depends on light, sharpness or "
            "people's votes: give --data PATH."
        )
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
    asked = (("what the model looks at", explain), ("how it sees the faces", features))
    unwanted = [what for what, wanted in asked if not wanted]
    return [*reasons, f"Left out as asked: {', '.join(unwanted)}."] if unwanted else reasons
