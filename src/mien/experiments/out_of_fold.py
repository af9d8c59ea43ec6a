"""Out-of-fold probabilities: what models say about rows that they did not learn, nor a copy of them.

    <folder>/fold-1/ ... fold-5/     a run each: trained on the rows of the other folds
                     scores_out-of-fold.npz   what it says about the rows of its own
    <folder>/scores_out-of-fold.npz  all of them together

Train and validation are dealt into folds, copies together. A fold's model learns the train rows of the other folds, but
for a tenth of them, which choose its epoch and its temperature: no row has any part in what is said about it, and no
label of validation in what is said about train. Test stays shut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.balance import balanced_counts
from mien.data.faceset import FaceSet
from mien.errors import DataError, RecipeError, RunError
from mien.evaluation.scores import Scores, read_scores, write_scores
from mien.evaluation.temperature import FOLDS, assign_folds
from mien.experiments.measure import faces_for
from mien.experiments.run import run_recipe
from mien.inference.classifier import BATCH, Classifier
from mien.labels import parse_scheme
from mien.models.registry import build_model, completed
from mien.progress import track
from mien.recipe import Recipe
from mien.run_folder import RunFolder
from mien.training.loop import Watch
from mien.training.state import check_faces, check_network

CHOOSING = 10
"""One in so many pictures of what a fold's model could learn chooses its epoch instead."""

SPLIT = "out-of-fold"
"""What the scores call the rows that they are of."""

View = Callable[[Recipe, FaceSet], AbstractContextManager[Watch]]


class _Folds:
    """Which rows each fold's model is asked about, and which it learns; ``groups`` as :func:`score_out_of_fold`'s."""

    def __init__(self, faces: FaceSet, groups: npt.NDArray[np.int64]) -> None:
        self._faces, self._groups = faces, groups
        self._judged = np.flatnonzero(faces.split != "test")
        self._fold_of = assign_folds(groups[self._judged], FOLDS)
        self.count = int(self._fold_of.max()) + 1

    def held_out(self, fold: int) -> FaceSet:
        """The rows of train and validation in a fold."""
        return self._faces.subset(self._judged[self._fold_of == fold])

    def learnt(self, fold: int) -> FaceSet:
        """The train rows of the others, some of them as the validation split of a run: copies stay together."""
        others = self._judged[self._fold_of != fold]
        mine = others[self._faces.split[others] == "train"]
        chooses = assign_folds(self._groups[mine], CHOOSING) == 0
        # Their validation is no part of the data's own, cleaned or not.
        return replace(self._faces.subset(mine), split=np.where(chooses, "validation", "train"), cleaned_from=())


def score_out_of_fold(
    recipe: Recipe,
    faces: FaceSet,
    groups: npt.NDArray[np.int64],
    folder: Path,
    *,
    view: View,
    tell: Callable[[str], None],
    facts: Mapping[str, Any] | None = None,
) -> Scores | None:
    """Train one model a fold and gather what each says about the rows that it did not see.

    What is finished in the folder is not done again: the same call goes on where an earlier one was stopped.

    Args:
        recipe: under the data's own classes.
        faces: all of the data, as it was read at the recipe's size.
        groups: int64 (N,), copies share a number and a fold.
        folder: where to.
        view: shows a training run to a person.
        tell: is told of every fold that begins.
        facts: for each run's environment.json and report.

    Returns:
        Scores of all rows of train and validation; None where a run was interrupted.

    Raises:
        MienError: as :func:`check_recipe` and :func:`mien.experiments.run.run_recipe`.
        DataError, RunError: a fold that could not be learnt, or was begun on other data; nothing is trained.
    """
    check_recipe(recipe, faces, folder)
    folds = _Folds(faces, groups)
    _check_folds(recipe, folds, folder)
    parts = []
    for fold in range(folds.count):
        run = RunFolder(folder / f"fold-{fold + 1}")
        held_out, learnt = folds.held_out(fold), folds.learnt(fold)
        scores = _finished(run, learnt, held_out, faces.fingerprint_for_scores(SPLIT))
        if scores is None:
            tell(f"fold {fold + 1} of {folds.count}: {run.path}")
            with view(recipe, learnt) as watch:
                result = run_recipe(recipe, learnt, run, resume=True, watch=watch, facts=facts)
            if result.outcome.reason == "interrupted":
                return None
            scores = _score(Classifier(run.model), held_out, faces.fingerprint_for_scores(SPLIT))
            write_scores(run.scores(SPLIT), scores)
        parts.append(scores)
    together = Scores(
        rows=np.concatenate([each.rows for each in parts]),
        labels=np.concatenate([each.labels for each in parts]),
        probabilities=np.concatenate([each.probabilities for each in parts]),
        classes=parts[0].classes,
        split=SPLIT,
        data_fingerprint=faces.fingerprint_for_scores(SPLIT),
    )
    write_scores(RunFolder(folder).scores(SPLIT), together)
    return together


def check_recipe(recipe: Recipe, faces: FaceSet, folder: Path) -> None:
    """Refuse what can be known before copies are: faces of any size will do. The rest is refused before the first fold.

    Raises:
        RecipeError: the recipe merges or drops classes, or its network cannot be built.
        DataError: there is no train split, or none of its rows is of some class.
        ModelError: pretrained weights are missing, damaged or another network's, or cannot be downloaded.
        RunError: a fold that stands in the folder was begun by another recipe.
    """
    scheme = parse_scheme(recipe.classes)
    if scheme is not None and set(scheme.classes) != set(faces.classes):
        raise RecipeError(
            f"The recipe '{recipe.name}' merges or drops classes ({recipe.classes}). Labels are judged under the "
            f"data's own classes: choose a recipe with classes = 'all'."
        )
    if not (faces.split == "train").any():
        raise DataError("Out-of-fold probabilities need a train split; the data has none. Give --scores FILE instead.")
    lacking = [name for name, count in zip(faces.classes, faces.counts("train"), strict=True) if not count]
    if lacking:
        raise DataError(
            f"No row of train is of the class '{lacking[0]}', so nobody could say who is taken for it. Name it like "
            f"another class with --map, leave its rows out, or put some of them into train."
        )
    check_network(recipe, len(faces.classes))
    runs = [RunFolder(folder / f"fold-{fold + 1}") for fold in range(FOLDS)]
    if not all(run.last.is_file() for run in runs):
        build_model(recipe.model, len(faces.classes), recipe.input.crop_px).load_start()
    digest = completed(recipe).digest
    for run in runs:
        if run.is_run and completed(run.read_recipe()).digest != digest:
            raise RunError(
                f"{run.path} was begun by another recipe; give that one, or choose another folder with --out."
            )


def faces_to_learn(faces: FaceSet, recipe: Recipe) -> int:
    """About how many faces the model of one fold learns, once classes are balanced."""
    share = (1 - 1 / FOLDS) * (1 - 1 / CHOOSING)
    return int(balanced_counts(faces.counts("train"), recipe.balance).sum() * share)


def _check_folds(recipe: Recipe, folds: _Folds, folder: Path) -> None:
    """Refuse before the first fold what a later one would fail at, hours after."""
    for fold in range(folds.count):
        run, learnt = RunFolder(folder / f"fold-{fold + 1}"), folds.learnt(fold)
        try:
            check_faces(recipe, learnt)
        except DataError as error:
            raise DataError(f"Fold {fold + 1} of {folds.count} cannot be learnt. {error}") from None
        if run.is_run and not learnt.is_learnt_as(str(run.read_environment().get("data_fingerprint"))):
            raise RunError(f"{run.path} was begun on other data; choose another folder with --out.")


def _finished(run: RunFolder, learnt: FaceSet, held_out: FaceSet, fingerprint: str) -> Scores | None:
    """The scores of a fold that was done before; None where it was not, or for other rows or data."""
    file = run.scores(SPLIT)
    if not run.is_run or not file.is_file():
        return None
    scores = read_scores(file)
    same = scores.data_fingerprint == fingerprint and np.array_equal(scores.rows, held_out.rows)
    return (
        scores if same and run.read_environment().get("data_fingerprint") == learnt.fingerprint_without_test else None
    )


def _score(classifier: Classifier, held_out: FaceSet, fingerprint: str) -> Scores:
    mine = faces_for(classifier, held_out)
    starts = track(range(0, len(mine), BATCH), -(-len(mine) // BATCH), "reading the fold", "batches")
    return Scores(
        rows=mine.rows,
        labels=mine.labels,
        probabilities=np.concatenate([classifier.probabilities(mine.images[at : at + BATCH]) for at in starts]),
        classes=classifier.classes,
        split=SPLIT,
        data_fingerprint=fingerprint,
        temperature=classifier.manifest.temperature,
    )
