"""Oracles: the models' own answers, averaged; a file that was begun and gone on with."""

from dataclasses import replace

import numpy as np
import pytest

from mien.errors import DataError
from mien.experiments.teaching_epochs import write_answers_about_epochs
from mien.inference.classifier import load
from mien.inference.locate import find_model
from mien.recipe import parse_recipe
from mien.training.epoch_answers import read_epoch_answers, shown_inputs

RECIPE = "batch_size = 16\n[input]\ncrop_px = 44\n[augment]\nflip = true\nshift = 0.1\nmixup = 0.3"


@pytest.fixture
def teacher(tiny_run):
    return find_model(tiny_run.path), load(tiny_run.path)


def test_answers_are_the_mean_of_the_models_in_the_order_that_is_shown(tmp_path, faces, teacher):
    recipe, file = parse_recipe(RECIPE, "x"), tmp_path / "epochs.npz"
    path, classifier = teacher
    other = load(path)
    other.manifest = other.manifest.model_copy(update={"classes": other.classes[::-1]})
    taught = write_answers_about_epochs(file, [teacher, (path, other)], recipe, faces, 1)
    shown = faces.of_split("train")
    own = np.concatenate([classifier.probabilities_of_inputs(each) for each in shown_inputs(recipe, shown, 1)])
    assert read_epoch_answers(file).probabilities[0] == pytest.approx((own + own[:, ::-1]) / 2, abs=1e-3)
    assert (taught.epochs, taught.new, taught.faces) == (1, 1, len(own))


def test_a_file_that_was_begun_is_gone_on_with(tmp_path, faces, teacher):
    recipe = parse_recipe(RECIPE, "x")
    whole, parts = tmp_path / "whole.npz", tmp_path / "parts.npz"
    write_answers_about_epochs(whole, [teacher], recipe, faces, 3)
    write_answers_about_epochs(parts, [teacher], recipe, faces, 1)
    taught = write_answers_about_epochs(parts, [teacher], recipe, faces, 3)
    assert (taught.epochs, taught.new) == (3, 2)
    assert "(1 stood there)" in taught.words()
    assert (read_epoch_answers(parts).probabilities == read_epoch_answers(whole).probabilities).all()


def test_a_file_of_other_answers_is_left_alone(tmp_path, faces, teacher):
    recipe, file = parse_recipe(RECIPE, "x"), tmp_path / "epochs.npz"
    write_answers_about_epochs(file, [teacher], recipe, faces, 1)
    before = file.read_bytes()
    for teachers, other in (([teacher, teacher], recipe), ([teacher], recipe.model_copy(update={"seed": 1}))):
        with pytest.raises(DataError, match="exists, and is not what these teachers say"):
            write_answers_about_epochs(file, teachers, other, faces, 1)
    assert file.read_bytes() == before


def test_teachers_that_see_or_know_something_else_are_refused(tmp_path, faces, teacher):
    recipe, file = parse_recipe(RECIPE, "x"), tmp_path / "epochs.npz"
    with pytest.raises(DataError, match="sees 44 px of 48"):
        write_answers_about_epochs(file, [teacher], parse_recipe("[input]\ncrop_px = 48", "x"), faces, 1)
    with pytest.raises(DataError, match="the student is to learn"):
        write_answers_about_epochs(file, [teacher], recipe.model_copy(update={"classes": "six"}), faces, 1)
    with pytest.raises(DataError, match="no 'train' split"):
        write_answers_about_epochs(file, [teacher], recipe, replace(faces, split=np.full(len(faces), "test")), 1)
    assert not file.exists()
