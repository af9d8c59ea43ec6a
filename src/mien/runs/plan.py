"""What a study has to run: every run is checked before the first begins; what is missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.data.dataset import Dataset
from mien.errors import DataError, MissingExtraError, ModelError, RecipeError, StudyError, nearest
from mien.inference.find_model import find_trained
from mien.labels import parse_scheme
from mien.models.registry import completed
from mien.recipe import Recipe
from mien.run_folder import RunFolder
from mien.runs.spec import Study, Variant
from mien.runs.store import CompletedRun, DataForm, PlannedRun, StudyPlan
from mien.training.outputs import count_logits, output_facts
from mien.training.plan import plan_training
from mien.training.state import check_network, check_weights, file_digest

FacesByForm = Mapping[DataForm, Dataset]
"""The data in every form that a study's recipes need."""


@dataclass(frozen=True)
class _Rows:
    """The rows of validation that a variant's scores will be of.

    Attributes:
        numbers: (N,) int64, of the data.
        labels: (N,) int64, indices into ``classes``.
        classes: names.
    """

    numbers: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    def labels_of(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The labels of some of the rows."""
        order = np.argsort(self.numbers)
        return self.labels[order[np.searchsorted(self.numbers, numbers, sorter=order)]]

    def merged(self, scheme_text: str, where: str) -> _Rows:
        """As scores will be merged into a label scheme; those that speak of its classes already stay.

        Raises:
            StudyError: the scheme needs a class that there is not, or leaves no row; ``where`` says of what.
        """
        scheme = parse_scheme(scheme_text or "all")
        if scheme is None or scheme.classes == self.classes:
            return self
        try:
            labels = scheme.mapping(self.classes, "the model")[self.labels]
        except DataError as error:
            raise StudyError(f"{where}: {error}", code="study-classes") from None
        kept = labels >= 0
        if not kept.any():
            raise StudyError(
                f"{where}: the label scheme '{scheme.name}' leaves no validation sample.", code="study-no-samples"
            )
        return _Rows(self.numbers[kept], labels[kept], scheme.classes)


@dataclass(frozen=True)
class _Checked:
    """What a variant's recipe comes to, whatever its seed."""

    rows: _Rows
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
        ModelError: pretrained weights that are not at hand, of a variant that is not optional.
        StudyError: two variants that are one run, a variant that begins with a seed that its parent is not run with,
            or scores that cannot be merged or compared, be it that no row is left to do so on, or
            that one row has two labels.
    """
    checked: dict[str, _Checked] = {}
    left_out: dict[str, str] = {}
    seen: dict[tuple[str, str, str], str] = {}
    for variant in study.variants:
        source = variant.init_from or variant.after
        if source in left_out:
            left_out[variant.name] = f"it is made from {source}, which is skipped"
        elif not variant.after:
            try:
                recipe = _recipe(study, variant, study.seeds_of(variant)[0], changes)
                checked[variant.name] = _check(study, variant, recipe, faces_by_form)
            except MissingExtraError as error:
                if not variant.optional:
                    raise
                left_out[variant.name] = str(error)
                continue
            except ModelError as error:
                has_file = recipe.model.settings.get("weights")
                how = (
                    "" if has_file or variant.init_from else f" In this study: --set {variant.name}:model.weights=FILE."
                )
                if not variant.optional:
                    raise ModelError(f"The variant '{variant.name}': {error}{how}", code=error.code) from None
                left_out[variant.name] = f"{error}{how}"
                continue
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
    _check_rows(study, {name: each.rows for name, each in checked.items()}, left_out)
    return StudyPlan(tuple(_runs(study, faces_by_form, changes, checked)), left_out)


def _recipe(study: Study, variant: Variant, seed: int, changes: Sequence[str]) -> Recipe:
    """With every setting of its model written out, so that two ways to write it are one run."""
    recipe = study.recipe_of(variant, seed, changes)
    return completed(recipe)


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
    rows = _Rows(validation.rows, validation.labels, validation.classes)
    is_changed = (
        faces.fingerprint_without_test != faces_by_form[DataForm(*recipe.input.stored_as)].fingerprint_without_test
    )
    return _Checked(rows, plan.train_count, start, votes, faces.fingerprint_without_test if is_changed else "")


def _check_rows(study: Study, of_trained: Mapping[str, _Rows], left_out: Collection[str]) -> None:
    rows = dict(of_trained)
    for variant in study.variants:
        if variant.after and variant.name not in left_out:
            rows[variant.name] = rows[variant.after].merged(variant.classes, f"The variant '{variant.name}'")
    for comparison in study.comparisons:
        where = f"The comparison '{comparison.title}'"
        present = [name for name in comparison.variants if name not in left_out]
        found = {name: rows[name].merged(comparison.classes, where) for name in present}
        if len({each.classes for each in found.values()}) > 1:
            words = "; ".join(f"{name}: {', '.join(each.classes)}" for name, each in found.items())
            raise StudyError(
                f"{where} has variants with different classes ({words}). Give it a label scheme, `classes`.",
                code="study-classes",
            )
        _check_shared(found, where)
    known = {name for each in rows.values() for name in each.classes}
    for metric in study.metrics:
        name = metric.partition(".")[2]
        if name and known and name not in known:
            raise StudyError(
                f"The metric '{metric}' names a class that no variant is trained on." + nearest(name, known),
                code="study-metric-class",
            )


def _check_shared(found: Mapping[str, _Rows], where: str) -> None:
    """Refuse to compare what has no row in common, or calls one row by two classes."""
    if not found:
        return
    shared = reduce(np.intersect1d, [each.numbers for each in found.values()])
    if not len(shared):
        raise StudyError(f"{where}: {', '.join(found)} share no validation sample.", code="study-no-samples")
    first, *others = ((name, each.labels_of(shared)) for name, each in found.items())
    for name, labels in others:
        if (labels != first[1]).any():
            raise StudyError(
                f"{where}: {first[0]} and {name} give the same samples different classes.", code="study-classes"
            )


def _runs(
    study: Study, faces_by_form: FacesByForm, changes: Sequence[str], checked: Mapping[str, _Checked]
) -> list[PlannedRun]:
    """The first seed of every variant, then the second ones: a study that is cut short has a whole table."""
    runs: dict[tuple[str, int], PlannedRun] = {}
    for rank in range(max(len(study.seeds_of(variant)) for variant in study.variants)):
        for variant in study.variants:
            if variant.name not in checked or rank >= len(study.seeds_of(variant)):
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
            # A finished run is its scores of validation.
            fingerprint = faces_by_form[DataForm(*recipe.input.stored_as)].fingerprint_for_predictions("validation")
            runs[variant.name, seed] = PlannedRun(
                variant.name,
                recipe,
                fingerprint,
                found.rows.classes,
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


def pending(
    study: Study, plan: StudyPlan, finished: Mapping[str, CompletedRun], out: Path, only: Collection[str] = ()
) -> list[PlannedRun]:
    """The runs that are not finished or lack what is asked for, and their parents whose weights are not in ``out``.

    Parents come first.

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
        kept = finished.get(run.key)
        if (kept is not None and not kept.lacks(run)) or (only and run.variant not in trained):
            continue
        wanted.add(run.key)
        parent = run.parent
        while parent is not None and not _serves(parent, finished, out):
            wanted.add(parent.key)
            parent = parent.parent
    return [run for run in plan.runs if run.key in wanted]


def _serves(parent: PlannedRun, finished: Mapping[str, CompletedRun], out: Path) -> bool:
    """Whether children can begin: the parent failed, which fails them too, or its weights of all epochs are there."""
    kept = finished.get(parent.key)
    if kept is None:
        return False
    folder = folder_of(parent, out)
    return bool(kept.record.failed) or (
        folder.best.is_file() and len(folder.read_history()) == kept.record.epochs and not folder.last.is_file()
    )


def folder_of(run: PlannedRun, out: Path) -> RunFolder:
    """Where a run of a study stands. It holds ``last.safetensors`` until the run is finished."""
    return RunFolder(out / "runs" / run.folder_name)
