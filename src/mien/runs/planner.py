"""Plan a study on its data, and check every run before the first begins."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mien.base.errors import DataError, MissingExtraError, ModelError, RecipeError, StudyError, arg, nearest
from mien.base.recipe import Recipe
from mien.evaluation.predictions import Predictions
from mien.evaluation.seed_variance import aligned
from mien.inference.find_model import find_trained
from mien.models.registry import completed
from mien.runs.plan import DataForm, FacesByForm, PlannedRun, StudyPlan
from mien.runs.spec import Study, Variant
from mien.runs.table import merged
from mien.training.losses import count_logits, output_facts
from mien.training.plan import plan_training
from mien.training.state import check_network, check_weights, file_digest


@dataclass(frozen=True)
class _Checked:
    """What a variant's recipe comes to, whatever its seed; ``predictions`` are uniform, of its validation samples."""

    predictions: Predictions
    train_faces: int
    start_digest: str
    votes_fingerprint: str
    cleaned: str


def make_plan(study: Study, faces_by_form: FacesByForm, changes: Sequence[str] = ()) -> StudyPlan:
    """Plan a study and check all of it: what cannot be trained or compared is refused now, not hours later.

    Args:
        study: what to run.
        faces_by_form: the data, at every size and number of channels that the recipes name; for variants with
            ``clean``, also with the train split as these clean it.
        changes: as in :meth:`mien.runs.spec.Study.recipe_of`.

    Raises:
        RecipeError: a change or a network that is not possible.
        DataError: data that a recipe cannot be trained on.
        ModelError: pretrained weights that are not at hand.
        MissingExtraError: a variant's network needs a package that is not installed.
        StudyError: two variants that are one run, a variant that begins with a seed that its parent is not run with,
            or predictions that cannot be merged or compared: no sample is left, or one sample has two labels.
    """
    checked: dict[str, _Checked] = {}
    seen: dict[tuple[str, str, str], str] = {}
    for variant in study.variants:
        if not variant.after:
            try:
                recipe = _recipe(study, variant, study.seeds_of(variant)[0], changes)
                checked[variant.name] = _check(study, variant, recipe, faces_by_form)
            except (MissingExtraError, ModelError) as error:
                has_file = isinstance(error, MissingExtraError) or recipe.model.settings.get("weights")
                how = (
                    "" if has_file or variant.init_from else f" In this study: --set {variant.name}:model.weights=FILE."
                )
                words = f"The variant '{variant.name}': {error}{how} To run others alone, name them with {arg('only')}."
                raise type(error)(words, code=error.code) from None
            except (RecipeError, DataError) as error:
                raise type(error)(f"The variant '{variant.name}': {error}", code=error.code) from None
            alike = (recipe.model_copy(update={"seed": 0}).digest, variant.init_from, checked[variant.name].cleaned)
            other = seen.setdefault(alike, variant.name)
            if other != variant.name:
                raise StudyError(
                    f"The variants '{other}' and '{variant.name}' of the study '{study.name}' have the same recipe, so "
                    f"they would be one run. Change or remove one.",
                    code="study-same-recipe",
                )
    known = {name for faces in faces_by_form.values() for name in faces.classes}
    _check_comparisons(study, {name: each.predictions for name, each in checked.items()}, known)
    return StudyPlan(tuple(_runs(study, faces_by_form, changes, checked)))


def _recipe(study: Study, variant: Variant, seed: int, changes: Sequence[str]) -> Recipe:
    """With every setting of its model written out, so that two ways to write it are one run."""
    return completed(study.recipe_of(variant, seed, changes))


def _check(study: Study, variant: Variant, recipe: Recipe, faces_by_form: FacesByForm) -> _Checked:
    faces = faces_by_form[DataForm(*recipe.input.stored_as, variant.clean)]
    plan = plan_training(recipe, faces)
    if variant.init_from:
        check_network(plan.recipe, count_logits(plan.outputs))
        weights = None if study.model_of(variant) is None else find_trained(variant.init_from).best
    else:
        weights = check_weights(plan)
    start = "" if weights is None else file_digest(weights)
    validation = plan.validation
    votes = output_facts(plan.recipe, plan.outputs, plan.dataset).get("votes_fingerprint", "")
    uniform = np.full((len(validation), len(validation.classes)), 1 / len(validation.classes))
    predictions = Predictions(validation.rows, validation.labels, uniform, validation.classes, "validation", "")
    is_changed = (
        faces.fingerprint_without_test != faces_by_form[DataForm(*recipe.input.stored_as)].fingerprint_without_test
    )
    return _Checked(predictions, plan.train_count, start, votes, faces.fingerprint_without_test if is_changed else "")


def _check_comparisons(study: Study, of_trained: Mapping[str, Predictions], classes: Collection[str]) -> None:
    """Merge and compare made-up predictions as those of the runs will be, so that a fault shows before training."""
    predictions = dict(of_trained)
    for variant in study.variants:
        if variant.after:
            where = f"The variant '{variant.name}'"
            predictions[variant.name] = _merged(predictions[variant.after], variant.classes, where)
    for comparison in study.comparisons:
        where = f"The comparison '{comparison.title}'"
        compared = [_merged(predictions[name], comparison.classes, where) for name in comparison.variants]
        try:
            aligned(compared)
        except DataError as error:
            raise StudyError(f"{where} of {', '.join(comparison.variants)}: {error}", code=error.code) from None
    known = {*classes, *(name for each in predictions.values() for name in each.classes)}
    for metric in study.metrics:
        name = metric.partition(".")[2]
        if name and name not in known:
            raise StudyError(
                f"The metric '{metric}' names a class that no variant is trained on." + nearest(name, known),
                code="study-metric-class",
            )


def _merged(predictions: Predictions, classes: str, where: str) -> Predictions:
    try:
        return merged(predictions, classes)
    except DataError as error:
        raise StudyError(f"{where}: {error}", code=error.code) from None


def _runs(
    study: Study, faces_by_form: FacesByForm, changes: Sequence[str], checked: Mapping[str, _Checked]
) -> list[PlannedRun]:
    """The first seed of every variant, then the second ones: a study that is cut short has a whole table."""
    runs: dict[tuple[str, int], PlannedRun] = {}
    for rank in range(max(len(study.seeds_of(variant)) for variant in study.variants)):
        for variant in study.variants:
            if variant.after or rank >= len(study.seeds_of(variant)):
                continue
            seed, found = study.seeds_of(variant)[rank], checked[variant.name]
            parent = runs.get((variant.init_from, seed))
            model = study.model_of(variant)
            if variant.init_from and parent is None and model is None:
                raise StudyError(
                    f"The variant '{variant.name}' starts from '{variant.init_from}' of seed {seed}, which has no run "
                    f"with that seed. Give both the same seeds, in the same order.",
                    code="study-parent-seed",
                )
            recipe = _recipe(study, variant, seed, changes)
            # A finished run is its predictions on validation.
            fingerprint = faces_by_form[DataForm(*recipe.input.stored_as)].fingerprint_for_predictions("validation")
            runs[variant.name, seed] = PlannedRun(
                variant.name,
                recipe,
                fingerprint,
                found.predictions.classes,
                found.train_faces,
                parent,
                found.start_digest,
                found.votes_fingerprint,
                variant.clean if found.cleaned else (),
                found.cleaned,
                model,
                study.is_corrupted(variant),
            )
    return list(runs.values())
