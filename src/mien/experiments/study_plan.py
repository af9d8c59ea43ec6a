"""What a study has to run: every run is checked before the first begins; what is missing, and how long it will take."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.data.faceset import FaceSet
from mien.errors import DataError, MienError, MissingExtraError, ModelError, RecipeError, StudyError, nearest
from mien.experiments.study import Study, Variant
from mien.experiments.study_results import Finished, Plan, Planned
from mien.labels import parse_scheme
from mien.models.registry import complete
from mien.recipe import Recipe
from mien.run_folder import RunFolder
from mien.training.device import set_threads, threads
from mien.training.rate import bare_rate
from mien.training.state import file_digest, prepare

FacesOfSize = Mapping[int, FaceSet]
"""Side in pixels -> the data, read at that size."""


@dataclass(frozen=True)
class _Checked:
    """What a variant's recipe comes to, whatever its seed."""

    classes: tuple[str, ...]
    train_faces: int
    start_digest: str


def make_plan(study: Study, faces_of_size: FacesOfSize, changes: Sequence[str] = ()) -> Plan:
    """Plan a study and check all of it: what cannot be trained or compared is refused now, not hours later.

    Args:
        study: what to run.
        faces_of_size: the data, at every size that the recipes name.
        changes: ``key=value`` for all recipes, as in :func:`mien.recipe_file.load_recipe`.

    Raises:
        RecipeError: a change or a network that is not possible.
        DataError: data that a recipe cannot be trained on.
        ModelError: pretrained weights that are not at hand, of a variant that is not optional.
        StudyError: two variants that are one run, a variant that begins with a seed that its parent is not run with,
            or scores that cannot be merged or compared.
    """
    checked: dict[str, _Checked] = {}
    left_out: dict[str, str] = {}
    seen: dict[tuple[str, str], str] = {}
    for variant in study.variants:
        source = variant.start or variant.after
        if source in left_out:
            left_out[variant.name] = f"it is made from {source}, which is left out"
        elif not variant.after:
            try:
                recipe = _recipe(study, variant, study.seeds_of(variant)[0], changes)
                checked[variant.name] = _check(recipe, faces_of_size, begins_with_parent=bool(variant.start))
            except (ModelError, MissingExtraError) as error:
                if not variant.optional:
                    raise
                left_out[variant.name] = str(error)
                continue
            except (RecipeError, DataError) as error:
                raise type(error)(f"The variant '{variant.name}': {error}") from None
            other = seen.setdefault((recipe.model_copy(update={"seed": 0}).digest, variant.start), variant.name)
            if other != variant.name:
                raise StudyError(
                    f"The variants '{other}' and '{variant.name}' of the study '{study.name}' have one and the same "
                    f"recipe: they would be one run. Change one, or take it out."
                )
    _check_classes(study, {name: each.classes for name, each in checked.items()}, left_out)
    return Plan(tuple(_runs(study, faces_of_size, changes, checked)), left_out)


def _recipe(study: Study, variant: Variant, seed: int, changes: Sequence[str]) -> Recipe:
    """With every setting of its model written out, so that two ways to write it are one run."""
    recipe = study.recipe_of(variant, seed, changes)
    return recipe.model_copy(update={"model": complete(recipe.model)})


def _check(recipe: Recipe, faces_of_size: FacesOfSize, *, begins_with_parent: bool) -> _Checked:
    state = prepare(recipe, faces_of_size[recipe.input.size_px], None, goes_on=begins_with_parent)
    start = "" if state.start_file is None else file_digest(state.start_file)
    return _Checked(state.validation.classes, len(state.images), start)


def _check_classes(study: Study, of_trained: Mapping[str, tuple[str, ...]], left_out: Collection[str]) -> None:
    classes = dict(of_trained)
    for variant in study.variants:
        if variant.after and variant.name not in left_out:
            classes[variant.name] = _merged(variant.classes, classes[variant.after], f"The variant '{variant.name}'")
    for comparison in study.comparisons:
        where = f"The comparison '{comparison.title}'"
        present = [name for name in comparison.variants if name not in left_out]
        found = {name: _merged(comparison.classes, classes[name], where) for name in present}
        if len(set(found.values())) > 1:
            words = "; ".join(f"{name}: {', '.join(each)}" for name, each in found.items())
            raise StudyError(f"{where} is of variants with other classes ({words}). Give it a label scheme, `classes`.")
    known = {name for each in classes.values() for name in each}
    for figure in study.figures:
        name = figure.partition(".")[2]
        if name and known and name not in known:
            raise StudyError(f"The figure '{figure}' is of a class that no variant learns." + nearest(name, known))


def _merged(scheme_text: str, classes: tuple[str, ...], where: str) -> tuple[str, ...]:
    scheme = parse_scheme(scheme_text or "all")
    if scheme is None or scheme.classes == classes:
        return classes
    try:
        scheme.mapping(classes, "the model")
    except DataError as error:
        raise StudyError(f"{where}: {error}") from None
    return scheme.classes


def _runs(
    study: Study, faces_of_size: FacesOfSize, changes: Sequence[str], checked: Mapping[str, _Checked]
) -> list[Planned]:
    """The first seed of every variant, then the second ones: a study that is cut short has a whole table."""
    runs: dict[tuple[str, int], Planned] = {}
    for rank in range(max(len(study.seeds_of(variant)) for variant in study.variants)):
        for variant in study.variants:
            if variant.name not in checked or rank >= len(study.seeds_of(variant)):
                continue
            seed, found = study.seeds_of(variant)[rank], checked[variant.name]
            parent = runs.get((variant.start, seed))
            if variant.start and parent is None:
                raise StudyError(
                    f"The variant '{variant.name}' begins with '{variant.start}' of seed {seed}, which is not run with "
                    f"that seed. Give both the same seeds, in the same order."
                )
            recipe = _recipe(study, variant, seed, changes)
            # A finished run is its scores of validation.
            fingerprint = faces_of_size[recipe.input.size_px].fingerprint_for_scores("validation")
            runs[variant.name, seed] = Planned(
                variant.name, recipe, fingerprint, found.classes, found.train_faces, parent, found.start_digest
            )
    return list(runs.values())


def lacking(
    study: Study, plan: Plan, finished: Mapping[str, Finished], out: Path, only: Collection[str] = ()
) -> list[Planned]:
    """The runs that are not finished, and their parents whose weights are not in ``out``; parents first.

    Args:
        study: what is planned.
        plan: all of it.
        finished: by key.
        out: where the study's run folders are.
        only: variants that are wanted, or that are merged from what is wanted; empty means all.
    """
    trained = {study.variant(name).after or name for name in only}
    wanted: set[str] = set()
    for run in plan.runs:
        if run.key in finished or (only and run.variant not in trained):
            continue
        wanted.add(run.key)
        parent = run.parent
        while parent is not None and not _serves(parent, finished, out):
            wanted.add(parent.key)
            parent = parent.parent
    return [run for run in plan.runs if run.key in wanted]


def _serves(parent: Planned, finished: Mapping[str, Finished], out: Path) -> bool:
    """Whether children can begin: the parent failed, which fails them too, or its weights of all epochs are there."""
    kept = finished.get(parent.key)
    if kept is None:
        return False
    folder = folder_of(parent, out)
    return bool(kept.record.failed) or (
        folder.best.is_file() and len(folder.read_history()) == kept.record.epochs and not folder.last.is_file()
    )


def folder_of(run: Planned, out: Path) -> RunFolder:
    """Where a run of a study stands. It holds ``last.safetensors`` until the run is finished."""
    return RunFolder(out / "runs" / run.folder_name)


def seconds_left(runs: Sequence[Planned], finished: Mapping[str, Finished], out: Path, jobs: int = 1) -> list[float]:
    """About how long each run will take, from finished runs of the same network or else from a few timed steps.

    Args:
        runs: what is to be run.
        finished: runs that may serve as a measure, where they had as many threads as these will.
        out: where the study's run folders are.
        jobs: how many at once.
    """
    each_has = threads_of(jobs)
    rates: dict[str, float] = {}
    for each in finished.values():
        record = each.record
        if record.threads == each_has and record.seconds > 0:
            try:
                cost = _cost(RunFolder(each.folder).read_recipe())
            except (MienError, OSError):
                continue  # of another study, or of an older mien: no measure for this one
            rates[cost] = record.train_faces * record.epochs / record.seconds
    before = threads()
    set_threads(each_has)
    left = []
    for run in runs:
        cost = _cost(run.recipe)
        if cost not in rates:
            rates[cost] = bare_rate(run.recipe, len(run.classes), seconds=1.0)
        done = len(folder_of(run, out).read_history())
        left.append(max(run.recipe.epochs - done, 0) * run.train_faces / rates[cost])
    set_threads(before)
    return left


def _cost(recipe: Recipe) -> str:
    """What the time of one image depends on."""
    ways = recipe.consistency > 0
    return repr((complete(recipe.model), recipe.input, recipe.batch_size, recipe.precision, recipe.early_sizes, ways))


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(jobs: int) -> int:
    """Threads of each of so many runs at once: one alone has what torch takes, several share the cores."""
    return max(cores() // jobs, 1) if jobs > 1 else threads()
