"""Distillation from a teacher that is asked during training. Oracle: the teacher's own predictions."""

import shutil

import numpy as np
import pytest
import torch

from mien.errors import RecipeError
from mien.run_folder import RunFolder
from mien.training import checkpoint
from mien.training.device import make_fabric
from mien.training.distillation import make_distillation
from support import raises
from training_support import batch, changed


def test_a_live_teacher_is_asked_about_the_very_batch(faces, tiny_recipe, tiny_run):
    """Oracle: the teacher's exported file, on the plain faces, softened by hand."""
    from mien.inference.predictor import load
    from mien.preprocess import to_input

    recipe = changed(tiny_recipe, distill={"live": True, "temperature": 2.0})
    lesson = make_distillation(recipe, [tiny_run.path, tiny_run.path], faces.of_split("train"), make_fabric("fp32"))
    images = np.asarray(faces.images[:16])
    targets = lesson.targets(batch(torch.from_numpy(to_input(images, recipe.input))))
    roots = np.sqrt(load(tiny_run.path).probabilities(images, temperature=1.0))
    assert targets.numpy() == pytest.approx(roots / roots.sum(axis=1, keepdims=True), abs=1e-5)
    assert not targets.requires_grad


def test_a_live_teachers_classes_go_by_name(tmp_path, faces, tiny_recipe, tiny_run):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run.path, run.path)
    tensors, facts = checkpoint.load(run.best)
    turned = {name: tensors[name].flip(0) for name in ("head.weight", "head.bias")}
    checkpoint.save(run.best, {**tensors, **turned}, {**facts, "classes": facts["classes"][::-1]})
    recipe = changed(tiny_recipe, distill={"live": True})
    images = torch.randn(4, 1, 44, 44)
    first, second = (
        make_distillation(recipe, [each.path], faces.of_split("train"), make_fabric("fp32")).targets(batch(images))
        for each in (tiny_run, run)
    )
    assert torch.allclose(first, second)


def test_what_a_live_teacher_cannot_see_is_refused(faces, tiny_recipe, tiny_run):
    train_faces = faces.of_split("train")
    fabric = make_fabric("fp32")
    for tables, code, words in (
        ({"input": {"crop_px": 48}}, "teacher-input", ("44 px", f"mien soft-labels {tiny_run.path}")),
        ({"progressive_resizing": ((0.5, 28),)}, "teacher-live-sizes", ("distill.live", "progressive_resizing")),
    ):
        recipe = changed(tiny_recipe, distill={"live": True}, **tables)
        with raises(RecipeError, code) as caught:
            make_distillation(recipe, [tiny_run.path], train_faces, fabric)
        for value in words:
            assert value in str(caught.value)
