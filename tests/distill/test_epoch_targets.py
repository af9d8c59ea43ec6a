"""Oracles: the models' own answers, averaged; a file that was begun and gone on with."""

from dataclasses import replace

import numpy as np
import pytest

from mien.distill.epoch_targets import write_epoch_targets
from mien.errors import DataError, RunError
from mien.inference.find_model import find_model
from mien.inference.predictor import load
from mien.recipe_file import parse_recipe
from mien.training.stored_targets import read_stored_targets, shown_inputs
from support import raises

RECIPE = "batch_size = 16\n[input]\ncrop_px = 44\n[augment]\nflip = true\nshift = 0.1\nmixup = 0.3"


@pytest.fixture
def teacher(tiny_run):
    return find_model(tiny_run.path), load(tiny_run.path)


def test_answers_are_the_mean_of_the_models_in_the_order_that_is_shown(tmp_path, faces, teacher):
    recipe, file = parse_recipe(RECIPE, "x"), tmp_path / "epochs.npz"
    path, classifier = teacher
    other = load(path)
    other.manifest = other.manifest.model_copy(update={"classes": other.classes[::-1]})
    other.output = other.manifest.output()
    taught = write_epoch_targets(file, [teacher, (path, other)], recipe, faces, 1)
    shown = faces.of_split("train")
    own = np.concatenate([classifier.probabilities_of_inputs(each) for each in shown_inputs(recipe, shown, 1)])
    assert read_stored_targets(file).probabilities[0] == pytest.approx((own + own[:, ::-1]) / 2, abs=1e-3)
    assert (taught.epochs, taught.new, taught.faces) == (1, 1, len(own))


def test_a_partial_file_is_continued(tmp_path, faces, teacher):
    recipe = parse_recipe(RECIPE, "x")
    whole, parts = tmp_path / "whole.npz", tmp_path / "parts.npz"
    write_epoch_targets(whole, [teacher], recipe, faces, 3)
    write_epoch_targets(parts, [teacher], recipe, faces, 1)
    taught = write_epoch_targets(parts, [teacher], recipe, faces, 3)
    assert (taught.epochs, taught.new) == (3, 2)
    assert "(1 of them existed)" in taught.words()
    assert (read_stored_targets(parts).probabilities == read_stored_targets(whole).probabilities).all()


def test_a_file_of_other_answers_is_left_alone(tmp_path, faces, teacher):
    recipe, file = parse_recipe(RECIPE, "x"), tmp_path / "epochs.npz"
    write_epoch_targets(file, [teacher], recipe, faces, 1)
    before = file.read_bytes()
    fewer = faces.subset(np.arange(1, len(faces)))
    for teachers, other, data in (
        ([teacher, teacher], recipe, faces),
        ([teacher], recipe.model_copy(update={"seed": 1}), faces),
        ([teacher], recipe, fewer),
    ):
        with raises(DataError, "epoch-targets-other"):
            write_epoch_targets(file, teachers, other, data, 2)
    assert file.read_bytes() == before


def test_a_file_is_not_gone_on_with_where_epochs_come_out_otherwise(tmp_path, faces, teacher, monkeypatch):
    """As by another torch: here, epochs of another seed."""
    recipe, file = parse_recipe(RECIPE, "x"), tmp_path / "epochs.npz"
    write_epoch_targets(file, [teacher], recipe, faces, 1)
    monkeypatch.setattr("mien.training.batches.epoch_seed", lambda seed, epoch: 5 + epoch)
    with raises(DataError, "epoch-targets-torch"):
        write_epoch_targets(file, [teacher], recipe, faces, 2)


def test_what_a_killed_command_left_half_written_goes(tmp_path, faces, teacher):
    file = tmp_path / "epochs.npz"
    (tmp_path / ".epochs.npz.abc.part").write_bytes(b"half")
    write_epoch_targets(file, [teacher], parse_recipe(RECIPE, "x"), faces, 1)
    assert [each.name for each in tmp_path.iterdir()] == ["epochs.npz"]


def test_a_place_that_cannot_be_is_refused_before_anybody_is_asked(tmp_path, faces, teacher):
    (tmp_path / "file").write_text("")
    with raises(RunError, "file-unwritable"):
        write_epoch_targets(tmp_path / "file" / "x.npz", [teacher], parse_recipe(RECIPE, "x"), faces, 1)


def test_teachers_that_see_or_know_something_else_are_refused(tmp_path, faces, teacher):
    recipe, file = parse_recipe(RECIPE, "x"), tmp_path / "epochs.npz"
    with raises(DataError, "teacher-input"):
        write_epoch_targets(file, [teacher], parse_recipe("[input]\ncrop_px = 48", "x"), faces, 1)
    with raises(DataError, "teacher-classes"):
        write_epoch_targets(file, [teacher], recipe.model_copy(update={"classes": "six"}), faces, 1)
    with raises(DataError, "targets-balanced", "balance.sampling"):
        balanced = recipe.model_copy(update={"balance": recipe.balance.model_copy(update={"sampling": "batches"})})
        write_epoch_targets(file, [teacher], balanced, faces, 1)
    with raises(DataError, "split-missing", "'train'"):
        write_epoch_targets(file, [teacher], recipe, replace(faces, split=np.full(len(faces), "test")), 1)
    assert not file.exists()
