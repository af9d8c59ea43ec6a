"""Distillation from a teacher that runs in training. Oracle: the teacher's own predictions."""

import shutil

import numpy as np
import pytest
import torch

from mien.base.errors import DataError, RecipeError
from mien.base.preprocess import to_input
from mien.base.recipe import parse_recipe
from mien.base.run_folder import RunFolder
from mien.inference.predictor import load
from mien.training import checkpoint
from mien.training.device import make_fabric
from mien.training.distillation import make_distillation
from mien.training.loop import recipe_batches
from mien.training.losses import make_outputs
from mien.training.plan import plan_training
from mien.training.state import prepare
from mien.training.teacher import Teacher
from support import raises
from training_support import OUTPUTS, batch, changed


def distillation_of(recipe, runs, faces):
    teachers, shown = [Teacher(run.best) for run in runs], faces.of_split("train")
    return make_distillation(recipe, make_outputs(recipe, shown), teachers, shown, make_fabric("fp32"))


def test_a_live_teacher_runs_on_the_very_batch(faces, tiny_recipe, tiny_run):
    """Oracle: the teacher's exported file, on the plain faces, softened by hand."""
    recipe = changed(tiny_recipe, distill={"live": True, "temperature": 2.0})
    distillation = distillation_of(recipe, [tiny_run, tiny_run], faces)
    images = np.asarray(faces.images[:16])
    (targets,) = distillation.targets(batch(torch.from_numpy(to_input(images, recipe.input))))
    roots = np.sqrt(load(tiny_run.path).probabilities(images, temperature=1.0))
    assert targets.numpy() == pytest.approx(roots / roots.sum(axis=1, keepdims=True), abs=1e-5)
    assert not targets.requires_grad


def test_a_live_teacher_sees_images_before_they_are_degraded(faces, tiny_recipe, tiny_run):
    """Oracles: the same recipe without blur; the teacher's predictions of those images."""
    worse = changed(tiny_recipe, distill={"live": True}, augment={"blur": 1.0, "mixup": 0.4})
    clear = changed(worse, augment={"blur": 0.0})
    states = [prepare(plan_training(each, faces), teachers=[Teacher(tiny_run.best)]) for each in (worse, clear)]
    for shown, plain in zip(*(recipe_batches(state, 1) for state in states), strict=True):
        assert torch.equal(shown.clear, plain.images)
        assert not torch.equal(shown.images, plain.images)
        targets, expected = (
            state.distillation.targets(each)[0] for state, each in zip(states, (shown, plain), strict=True)
        )
        assert torch.equal(targets, expected)
        assert torch.equal(shown.part(slice(2, 5)).clear, plain.images[2:5])


@pytest.mark.parametrize("live", [True, False])
def test_a_teacher_teaches_each_output_of_the_same_name(tmp_path, voted_faces, voted_run, tiny_run, live):
    """Oracle: the exported file's output of votes at temperature 1; a teacher of labels alone has no part in it."""
    from mien.pipeline.soft_labels import with_soft_labels

    recipe = voted_run.read_recipe()
    recipe = changed(recipe, distill={"live": live, "temperature": 2.0}, augment={"mixup": 0.0})
    teachers = [Teacher(each.best if live else each.model) for each in (tiny_run, voted_run)]
    if not live:
        teachers = with_soft_labels(teachers, voted_faces, lambda spec: voted_faces, 1)
    state = prepare(plan_training(recipe, voted_faces), teachers=teachers)
    train_faces = voted_faces.of_split("train")
    images, chosen = np.asarray(train_faces.images[:8]), torch.arange(8)
    label, votes = state.distillation.targets(batch(torch.from_numpy(to_input(images, recipe.input)), chosen))
    name = next(each for each, output in recipe.outputs.items() if output.target == "votes")
    expected = load(voted_run.path, output=name)
    assert expected.classes == state.plan.outputs[1].classes
    assert votes.numpy() == pytest.approx(expected.probabilities(images, temperature=1.0), abs=1e-3)
    own = [load(each.path).for_labels().probabilities(images, temperature=1.0) for each in (tiny_run, voted_run)]
    roots = [np.sqrt(each) for each in own]
    mean = np.mean([each / each.sum(axis=1, keepdims=True) for each in roots], axis=0)
    assert label.numpy() == pytest.approx(mean, abs=2e-3)


def test_teachers_of_labels_leave_the_votes_to_the_data(voted_faces, tiny_recipe_text, tiny_run):
    recipe = changed(parse_recipe(tiny_recipe_text + OUTPUTS, "votes"), distill={"live": True})
    label, votes = distillation_of(recipe, [tiny_run], voted_faces).targets(batch(torch.zeros(2, 1, 44, 44)))
    assert label.shape == (2, 7)
    assert votes is None


def turned(run, folder):
    """A copy of a run with the rows of its head, and its classes, in the opposite order."""
    copy = RunFolder(folder)
    shutil.copytree(run.path, copy.path)
    tensors, facts = checkpoint.load(copy.best)
    flipped = {name: tensors[name].flip(0) for name in ("head.weight", "head.bias")}
    checkpoint.save(copy.best, {**tensors, **flipped}, {**facts, "classes": facts["classes"][::-1]})
    return copy


def test_a_live_teachers_classes_go_by_name(tmp_path, faces, tiny_recipe, tiny_run):
    recipe = changed(tiny_recipe, distill={"live": True})
    images = torch.randn(4, 1, 44, 44)
    runs = (tiny_run, turned(tiny_run, tmp_path / "run"))
    first, second = (distillation_of(recipe, [each], faces).targets(batch(images))[0] for each in runs)
    assert torch.allclose(first, second)


def test_what_a_live_teacher_cannot_see_is_refused(faces, tiny_recipe, tiny_run):
    for tables, code, words in (
        ({"input": {"crop_px": 48}}, "teacher-input", ("44 px", "48 px")),
        ({"progressive_resizing": ((0.5, 28),)}, "teacher-live-sizes", ("distill.live", "progressive_resizing")),
    ):
        recipe = changed(tiny_recipe, distill={"live": True}, **tables)
        with raises(RecipeError, code) as caught:
            distillation_of(recipe, [tiny_run], faces)
        for value in words:
            assert value in str(caught.value)
    merged = changed(tiny_recipe, distill={"live": True}, classes="three")
    with raises(DataError, "teacher-classes"):
        prepare(plan_training(merged, faces), teachers=[Teacher(tiny_run.best)])
