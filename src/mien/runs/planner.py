"""Plan a study for given data, and check every run before the first one starts."""

from collections.abc import Sequence
from dataclasses import replace

from mien.base.errors import DataError, MissingExtraError, ModelError, Notice, RecipeError, StudyError, nearest
from mien.base.labels import parse_scheme
from mien.base.recipe import Change, Recipe
from mien.inference.find_model import find_trained
from mien.models.registry import completed
from mien.runs.plan import FacesByForm, PlannedRun
from mien.runs.spec import Study, Variant
from mien.training.outputs import target_fingerprints
from mien.training.plan import plan_training, recipe_warnings
from mien.training.state import check_network, file_digest


def make_plan(
    study: Study, faces_by_form: FacesByForm, changes: Sequence[Change] = (), *, whole: Study | None = None
) -> tuple[PlannedRun, ...]:
    """Return all runs of a study, parents first, after checking that each can be trained.

    The first seeds of all variants come first, so that an interrupted study already has a complete table. Metrics may
    name the classes of ``whole``, the study before variants were left out.

    Raises what :meth:`mien.api.train.TrainingJob.check` raises, and StudyError if two variants are the same run, a
    variant has a seed that its parent lacks, or a metric names an unknown class.
    """
    first = {each.name: _first_run(study, each, faces_by_form, changes) for each in study.trained}
    of_data = {name for faces in faces_by_form.values() for name in faces.classes}
    _check_metrics(whole or study, of_data.union(*(run.classes for run in first.values())), changes)
    _check_comparisons(study, {name: run.classes for name, run in first.items()})
    runs: dict[tuple[str, int], PlannedRun] = {}
    variant_of: dict[str, str] = {}
    for rank in range(max(len(study.seeds_of(variant)) for variant in study.trained)):
        for variant in study.trained:
            for seed in study.seeds_of(variant)[rank : rank + 1]:
                run = replace(
                    first[variant.name],
                    recipe=completed(study.recipe_of(variant, seed, changes)),
                    parent=runs.get((variant.init_from, seed)),
                )
                if variant.init_from and run.parent is None and run.model is None:
                    raise StudyError(
                        f"The variant '{variant.name}' starts from '{variant.init_from}' of seed {seed}, which has no "
                        f"run with that seed. Give both the same seeds, in the same order.",
                        code="study-parent-seed",
                    )
                runs[variant.name, seed] = run
                other = variant_of.setdefault(run.key, variant.name)
                if other != variant.name:
                    words = f"The variants '{other}' and '{variant.name}' of the study '{study.name}' have the same "
                    words += "recipe, so they would be one run. Change or remove one."
                    raise StudyError(words, code="study-same-recipe")
    return tuple(runs.values())


def notices_of(runs: Sequence[PlannedRun]) -> list[Notice]:
    """Return what to read before these runs are trained, once for each variant."""
    return [
        Notice(f"{name}: {each}", code=each.code)
        for name, run in {run.variant: run for run in reversed(runs)}.items()
        for each in recipe_warnings(
            run.recipe, from_run=run.parent is not None or run.model is not None, train_faces=run.train_faces
        )
    ]


def _check_metrics(study: Study, known: set[str], changes: Sequence[Change]) -> None:
    """Raise an error if a metric names an unknown class, because its column would be empty."""
    if all(metric.partition(".")[2] in {"", *known} for metric in study.metrics):
        return
    recipes = [study.recipe_of(each, study.seeds_of(each)[0], changes).classes for each in study.trained]
    for given in (*recipes, *(each.classes for each in study.variants), *(each.classes for each in study.comparisons)):
        scheme = parse_scheme(given or "all")
        known = known if scheme is None else known | set(scheme.classes)
    for metric in study.metrics:
        name = metric.partition(".")[2]
        if name and name not in known:
            words = f"The metric '{metric}' names a class that no variant is trained on." + nearest(name, known)
            raise StudyError(words, code="study-metric-class")


def _check_comparisons(study: Study, classes: dict[str, tuple[str, ...]]) -> None:
    """Raise an error if variants are compared whose predictions have different classes."""
    for each in study.variants:
        if each.after:
            scheme = parse_scheme(each.classes)
            classes[each.name] = classes[each.after] if scheme is None else scheme.classes
    for comparison in study.comparisons:
        if not comparison.classes and len({classes[name] for name in comparison.variants}) > 1:
            words = (
                f"Variants of the comparison '{comparison.title}' have different classes. Merge those of all, as with"
            )
            raise StudyError(f'{words}: classes = "three"', code="study-comparison")


def _first_run(study: Study, variant: Variant, faces_by_form: FacesByForm, changes: Sequence[Change]) -> PlannedRun:
    """Plan the run of a variant's first seed, without its parent. Error messages name the variant."""
    try:
        recipe = completed(study.recipe_of(variant, study.seeds_of(variant)[0], changes))
        return _checked(variant, recipe, faces_by_form, is_built_in=study.model_of(variant) is not None)
    except (MissingExtraError, ModelError) as error:
        how = "To run only other variants, name them with --only."
        if isinstance(error, ModelError) and not variant.init_from and not recipe.model.settings.get("weights"):
            how = f"In this study: --set {variant.name}:model.weights=FILE. {how}"
        raise type(error)(f"The variant '{variant.name}': {error} {how}", code=error.code) from None
    except (RecipeError, DataError) as error:
        raise type(error)(f"The variant '{variant.name}': {error}", code=error.code) from None


def _checked(variant: Variant, recipe: Recipe, faces_by_form: FacesByForm, is_built_in: bool) -> PlannedRun:
    faces = faces_by_form[recipe.input.stored_as]
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
