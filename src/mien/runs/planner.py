"""Plan a study for given data, and check every run before the first one starts."""

from collections.abc import Sequence
from dataclasses import replace

from mien.base.errors import MienError, MissingExtraError, ModelError, Notice, RecipeError, StudyError
from mien.base.recipe import Change, Recipe
from mien.inference.find_model import find_trained
from mien.models.registry import completed
from mien.runs.plan import FacesByForm, PlannedRun
from mien.runs.spec import Study, Variant
from mien.training.outputs import target_fingerprints
from mien.training.plan import plan_training, recipe_warnings
from mien.training.state import check_network, file_digest


def make_plan(study: Study, faces_by_form: FacesByForm, changes: Sequence[Change] = ()) -> tuple[PlannedRun, ...]:
    """Return all runs of a study, parents first, after checking that each can be trained.

    The first seeds of all variants come first, so that an interrupted study already has a complete table.

    Raises what :meth:`mien.api.train.TrainingJob.check` raises, and StudyError if two variants are the same run.
    """
    runs: dict[tuple[str, int], PlannedRun] = {}
    variant_of: dict[str, str] = {}
    for variant in study.trained:
        first = _first_run(study, variant, faces_by_form, changes)
        for seed in study.seeds_of(variant):
            recipe = completed(study.recipe_of(variant, seed, changes))
            run = replace(first, recipe=recipe, parent=runs.get((variant.init_from, seed)))
            runs[variant.name, seed] = run
            other = variant_of.setdefault(run.key, variant.name)
            if other != variant.name:
                words = f"The variants '{other}' and '{variant.name}' have the same recipe. Change or remove one."
                raise StudyError(words, code="study-same-recipe")
    ranks = {
        (variant.name, seed): rank for variant in study.trained for rank, seed in enumerate(study.seeds_of(variant))
    }
    return tuple(runs[key] for key in sorted(runs, key=ranks.__getitem__))


def notices_of(runs: Sequence[PlannedRun]) -> list[Notice]:
    """Return what to read before these runs are trained, once for each variant."""
    return [
        Notice(f"{name}: {each}", code=each.code)
        for name, run in {run.variant: run for run in reversed(runs)}.items()
        for each in recipe_warnings(
            run.recipe, from_run=run.parent is not None or run.model is not None, train_faces=run.train_faces
        )
    ]


def _first_run(study: Study, variant: Variant, faces_by_form: FacesByForm, changes: Sequence[Change]) -> PlannedRun:
    """Plan the run of a variant's first seed, without its parent. Error messages name the variant."""
    try:
        recipe = completed(study.recipe_of(variant, study.seeds_of(variant)[0], changes))
        return _checked(variant, recipe, faces_by_form, is_built_in=study.model_of(variant) is not None)
    except MienError as error:
        how = " To run only other variants, name them with --only."
        if isinstance(error, ModelError) and not variant.init_from and not recipe.model.settings.get("weights"):
            how = f" In this study: --set {variant.name}:model.weights=FILE.{how}"
        how = how if isinstance(error, MissingExtraError | ModelError) else ""
        raise type(error)(f"The variant '{variant.name}': {error}{how}", code=error.code) from None


def _checked(variant: Variant, recipe: Recipe, faces_by_form: FacesByForm, is_built_in: bool) -> PlannedRun:
    faces = faces_by_form[recipe.input.size_and_channels]
    plan = plan_training(recipe, faces)
    model = find_trained(variant.init_from) if is_built_in else None
    network = check_network(plan.recipe, plan.logits)
    weights = None if model is None else model.best
    if not variant.init_from:
        weights = network.load_pretrained()
        if weights is None and recipe.tuning.fit_head:
            words = 'a head needs a trained network. Name it in the study, as with: from = "default"'
            raise RecipeError(words, code="head-alone")
    return PlannedRun(
        variant.name,
        recipe,
        # Validation predictions show that a run is finished.
        faces.fingerprint_for_predictions("validation"),
        plan.validation.classes,
        plan.train_count,
        start_digest="" if weights is None else file_digest(weights),
        targets_fingerprint=" ".join(target_fingerprints(plan.recipe, plan.dataset).values()),
        model=model,
    )
