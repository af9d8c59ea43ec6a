"""Measure a model on a split: faces in, scores and figures and a page out. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.audit.copies import in_conflict, leaked
from mien.data.faceset import FaceSet
from mien.data.splits import group_identical
from mien.errors import DataError, MissingExtraError
from mien.evaluation.evaluate import on_subsets
from mien.evaluation.results import Evaluation, Part
from mien.evaluation.scores import Scores, write_scores
from mien.evaluation.temperature import (
    GREATEST_TEMPERATURE,
    LEAST_TEMPERATURE,
    apply_temperature,
    fit_temperature,
)
from mien.evaluation.threshold import ThresholdResult, measure_threshold
from mien.files import write_text
from mien.inference.classifier import BATCH, Classifier
from mien.inference.views import probabilities_over_views, views_in_words
from mien.labels import LabelScheme, parse_scheme
from mien.progress import track
from mien.report.page import write_report
from mien.run_folder import RunFolder

ALL_ROWS = "all rows"


def faces_for(classifier: Classifier, faces: FaceSet) -> FaceSet:
    """Bring faces under the model's classes: its label scheme, its order.

    Raises:
        DataError: the data has a class that the model does not know.
    """
    scheme = parse_scheme(str(classifier.manifest.recipe.get("classes", "all")))
    # Data that speaks of the model's own classes already needs no merging.
    if scheme is not None and not set(faces.classes) <= set(classifier.classes):
        faces = faces.with_scheme(scheme)
    unknown = [name for name in faces.classes if name not in classifier.classes]
    if unknown:
        raise DataError(
            f"The data has the class '{unknown[0]}', which the model '{classifier.manifest.full_name}' does not know; "
            f"it knows: {', '.join(classifier.classes)}. Rename classes with --map."
        )
    return faces.with_classes(classifier.classes)


def score_split(
    classifier: Classifier, faces: FaceSet, split: str, views: int = 1, temperature: float | None = None
) -> Scores:
    """What the model says about each face of a split.

    Args:
        classifier: the model.
        faces: all of the data, as it was read.
        split: train, validation or test.
        views: how often each face is shown; see :mod:`mien.inference.views`.
        temperature: what logits are divided by. None takes the model's own, but where that was fitted on these very
            rows, which it would flatter: there 1.

    Raises:
        DataError: as :func:`faces_for`; no such split; a number of views that there is not.
    """
    chosen = faces_for(classifier, faces.of_split(split))
    if temperature is None:
        temperature = 1.0 if fitted_on(classifier, faces, split) else classifier.manifest.temperature
    parts = list(
        track(
            _batches(classifier, chosen, views, temperature),
            total=-(-len(chosen) // BATCH),
            what=f"reading {split}",
            unit="batches",
        )
    )
    return Scores(
        rows=chosen.rows,
        labels=chosen.labels,
        probabilities=np.concatenate(parts),
        classes=classifier.classes,
        split=split,
        data_fingerprint=faces.fingerprint_for_scores(split),
        note=views_in_words(views),
        temperature=temperature,
    )


def fitted_on(classifier: Classifier, faces: FaceSet, split: str) -> bool:
    """Whether the model's temperature was fitted on this split of these faces, or of these but for a list of changes.

    It may have been applied before the model learnt, or to what is measured, or another one to each.
    """
    manifest = classifier.manifest
    learnt = (manifest.data_fingerprint, *manifest.cleaned_from)
    # In this order: to know faces by older fingerprints all their pixels are hashed.
    known = any(each in faces.cleaned_from for each in learnt)
    return split == "validation" and (known or any(faces.is_learnt_as(each) for each in learnt))


def temperature_words(classifier: Classifier, faces: FaceSet, split: str) -> str:
    """What :func:`score_split` did with the model's temperature, for a reader of the figures."""
    if fitted_on(classifier, faces, split):
        return "without the model's temperature, which was fitted on these rows"
    return f"with the model's temperature {classifier.manifest.temperature:.3g}"


def headline_of(evaluation: Evaluation) -> dict[str, float]:
    """The headline figures of validation as a manifest holds them; an undefined one is left out."""
    return {
        f"validation_{name}": estimate.value
        for name, estimate in evaluation.headline.items()
        if not math.isnan(estimate.value)
    }


def merged_words(answers: Scores, merged: Scores, scheme: LabelScheme) -> str:
    """What merging the classes of a model's answers did, and which rows it left out."""
    gone = answers.labels[~np.isin(answers.rows, merged.rows)]
    names = [f"{(gone == index).sum():,} {name}" for index, name in enumerate(answers.classes) if (gone == index).any()]
    left_out = f"; left out: {', '.join(names)}" if names else ""
    return f"merged after the model's answer by '{scheme.name}': {len(merged):,} of {len(answers):,} rows{left_out}"


def try_threshold(
    classifier: Classifier, faces: FaceSet, scores: Scores, scheme: LabelScheme | None, threshold: float
) -> ThresholdResult:
    """Measure a threshold between two classes, beside the best one of validation, with the model as it is in use.

    Args:
        classifier: the model.
        faces: all of the data, as it was read; validation is scored if there is one.
        scores: what :func:`score_split` gave, not merged.
        scheme: merges the model's classes into two; None where it knows but two.
        threshold: 0..1.

    Raises:
        DataError: not two classes, or a threshold outside 0..1.
    """
    validation = None
    if scores.split == "validation":
        validation = scores
    elif (faces.split == "validation").any():
        validation = score_split(classifier, faces, "validation")
    used = [
        None if each is None else _in_use(classifier, faces, each).with_scheme(scheme) for each in (scores, validation)
    ]
    assert used[0] is not None
    return replace(measure_threshold(used[0], threshold, used[1]), in_use=True)


def _in_use(classifier: Classifier, faces: FaceSet, scores: Scores) -> Scores:
    """With the model's temperature, also where :func:`score_split` left it out: a threshold is held against that."""
    if not fitted_on(classifier, faces, scores.split):
        return scores
    temperature = classifier.manifest.temperature
    return replace(scores, probabilities=apply_temperature(scores.probabilities, temperature), temperature=temperature)


def without_copies(faces: FaceSet, scores: Scores, resamples: int = 1000) -> list[Part]:
    """A score on all rows, and on those left without what identical pictures do to it.

    Rows seen before are those of validation with an identical picture in train, and those of test with one in train or
    validation. Rows whose copies disagree have an identical picture under another label.

    Args:
        faces: all of the data that the model learnt from and the scores are of, under the model's own classes: a label
            scheme that merges its answers may drop the copies that it learnt. Under the data's, where nobody knows the
            model.
        scores: of rows of one split, under any classes; of another than validation and test nothing was
            seen before, and the result is empty.
        resamples: bootstrap resamples behind each interval.
    """
    if scores.split not in {"validation", "test"}:
        return []
    if scores.split == "validation":
        # What is said of validation does not hang on whether test is at hand.
        faces = faces.subset(faces.split != "test")
    groups = group_identical(np.asarray(faces.images))
    places = faces.places(scores.rows)
    kept = {
        ALL_ROWS: np.ones(len(scores), dtype=np.bool_),
        "without rows seen before": ~leaked(groups, faces.split)[places],
        "without rows whose copies disagree": ~in_conflict(groups, faces.labels)[places],
    }
    return on_subsets(scores, kept, resamples)


def seen_by(models: Sequence[Classifier], faces: FaceSet, uncleaned: FaceSet | None) -> FaceSet:
    """The faces in which rows seen before are to be counted, for :func:`without_copies`.

    A model that did not learn from the data as a list of changes leaves it may have learnt what the list drops. So it
    is the data as it was, but where every model learnt from the cleaned one; of scores alone nobody knows.

    Args:
        models: those whose answers are measured; none where they are not known.
        faces: all of the data, as it was read and cleaned.
        uncleaned: the same before it was cleaned; None where nothing was.
    """
    if uncleaned is None or (models and all(faces.is_learnt_as(model.manifest.data_fingerprint) for model in models)):
        return faces
    return uncleaned


def temperature_for_use(scores: Scores) -> float:
    """The temperature to store in the model of some validation scores.

    1, the network as it is, where the fit runs into its bounds: with every row right the best answer would be
    boundless certainty, which says that there were too few rows.
    """
    fitted = fit_temperature(scores.labels, scores.probabilities)
    return fitted if 1.01 * LEAST_TEMPERATURE < fitted < GREATEST_TEMPERATURE / 1.01 else 1.0


def _batches(classifier: Classifier, faces: FaceSet, views: int, temperature: float | None) -> Iterator[Any]:
    for first in range(0, len(faces), BATCH):
        yield probabilities_over_views(classifier, faces.images[first : first + BATCH], views, temperature)


def write_evaluation(
    folder: Path,
    scores: Scores,
    evaluation: Evaluation,
    *,
    title: str,
    facts: Mapping[str, str],
    class_counts: Mapping[str, Sequence[int]],
    history: Sequence[Mapping[str, Any]] = (),
    best_epoch: int | None = None,
    threshold: ThresholdResult | None = None,
    subsets: Sequence[Part] = (),
) -> Path | None:
    """Write ``scores_<split>.npz``, ``metrics.json`` and, where the extra is installed, ``report.html``.

    Returns:
        The report's path; None where the extra ``report`` is missing: then none is left of what stood there.

    Raises:
        RunError: the disk refuses.
    """
    write_scores(RunFolder(folder).scores(scores.split), scores)
    content = evaluation.to_dict() | ({} if threshold is None else {"threshold": threshold.to_dict()})
    content |= {"subsets": [each.to_dict() for each in subsets]} if subsets else {}
    write_text(folder / "metrics.json", json.dumps(content, indent=2) + "\n")
    report = folder / "report.html"
    try:
        write_report(
            report,
            title=title,
            evaluation=evaluation,
            history=history,
            best_epoch=best_epoch,
            class_counts=class_counts,
            facts=facts,
            threshold=threshold,
            subsets=subsets,
        )
    except MissingExtraError:
        # One of another measurement is not to stand beside these figures.
        report.unlink(missing_ok=True)
        return None
    return report
