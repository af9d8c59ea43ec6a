"""One whole run: train, export, measure on validation. What ``mien train``, ``mien demo`` and studies do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.artifact import replace_manifest
from mien.data.faceset import FaceSet
from mien.evaluation.evaluate import evaluate_scores
from mien.evaluation.results import Evaluation
from mien.evaluation.scores import Scores
from mien.experiments.measure import (
    faces_for,
    headline_of,
    score_split,
    temperature_for_use,
    temperature_words,
    without_copies,
    write_evaluation,
)
from mien.export import Parity, export_run, manifest_of_weights
from mien.inference.classifier import Classifier
from mien.progress import busy
from mien.recipe import Recipe
from mien.run_folder import RunFolder
from mien.training import checkpoint
from mien.training.loop import Outcome, Watch, train


@dataclass(frozen=True, eq=False)
class Finish:
    """What weights came to; scores and evaluation are of validation. No ``report`` where its extra is missing.

    ``removed`` names the files that went: made from a model of other weights, or from one that is gone.
    """

    parity: Parity
    scores: Scores
    evaluation: Evaluation
    report: Path | None
    removed: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class RunResult(Finish):
    """What a run came to."""

    run: RunFolder
    outcome: Outcome


def run_recipe(
    recipe: Recipe,
    faces: FaceSet,
    run: RunFolder,
    *,
    resume: bool = False,
    start: RunFolder | None = None,
    teachers: Sequence[Path] = (),
    watch: Watch | None = None,
    facts: Mapping[str, Any] | None = None,
) -> RunResult:
    """Train by a recipe, export the best epoch, measure the artifact on validation, and fill the run folder.

    The temperature that suits validation best goes into the artifact; the figures of validation are without it.

    Args:
        recipe: what to do.
        faces: under the data's own classes; train and validation are used, test is not touched.
        run: where to.
        resume: go on with the run that stands there, if any.
        start: a run whose weights to begin with.
        teachers: whom to learn from beside the labels; see :func:`mien.training.distill.make_lesson`.
        watch: is told of every step and epoch.
        facts: for environment.json and the report: data, command, ...

    Raises:
        MienError: as :func:`mien.training.loop.train` and :func:`mien.export.export_run`; another process has the run.
    """
    environment = dict(facts or {})
    with run.alone():
        outcome = train(
            recipe, faces, run, resume=resume, start=start, teachers=teachers, watch=watch, environment=environment
        )
        recipe = run.read_recipe()
        about = {
            "weights at the start": run.read_environment().get("started_from") or "random",
            "epoch": f"{outcome.best_epoch}, the best of {len(outcome.history)} by {recipe.stopping.metric}",
            "training time": f"{outcome.history[-1]['seconds']:.0f} s",
            **environment,
        }
        finish = finish_run(run, faces, about, outcome.history, outcome.best_epoch)
    return RunResult(**vars(finish), run=run, outcome=outcome)


def finish_run(
    run: RunFolder,
    faces: FaceSet,
    facts: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]] = (),
    best_epoch: int | None = None,
) -> Finish:
    """Export a run's best weights, measure the artifact on validation, and fill the run folder.

    Args:
        run: with its best weights.
        faces: under the data's own classes.
        facts: for the report.
        history: its epochs, where it has any.
        best_epoch: which of them was best.

    Raises:
        MienError: as :func:`mien.export.export_run`.
    """
    recipe = run.read_recipe()
    same_weights = manifest_of_weights(run, checkpoint.load(run.best)[1]) is not None
    removed = () if same_weights else run.remove_derived()
    with busy("exporting model.onnx"):
        parity = export_run(run)
    classifier = Classifier(run.model)
    scores = score_split(classifier, faces, "validation")
    evaluation = evaluate_scores(scores)
    update = {"scores": headline_of(evaluation), "temperature": temperature_for_use(scores)}
    manifest = classifier.manifest.model_copy(update=update)
    replace_manifest(run.model, manifest)
    known = faces_for(classifier, faces)
    report = write_evaluation(
        run.path,
        scores,
        evaluation,
        title=f"{recipe.name}: validation",
        history=history,
        best_epoch=best_epoch,
        class_counts=known.counts_by_split(),
        subsets=without_copies(known, scores),
        facts={
            "recipe": f"{recipe.name} ({recipe.digest[:19]}), seed {recipe.seed}",
            "model": f"{recipe.model.name}, {manifest.parameters:,} trainable numbers",
            "probabilities": temperature_words(classifier, faces, "validation"),
            "fingerprint of the data": faces.fingerprint_without_test,
            **{name: str(value) for name, value in facts.items()},
        },
    )
    return Finish(parity, scores, evaluation, report, removed)
