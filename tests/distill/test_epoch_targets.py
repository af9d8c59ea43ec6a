"""Oracles: the models' own answers, averaged; a file that was begun and gone on with."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mien.distill.epoch_targets import write_epoch_targets
from mien.errors import DataError, RunError
from mien.inference.find_model import find_model
from mien.inference.predictor import load
from mien.recipe_file import parse_recipe
from mien.training.batches import epoch_batches
from mien.training.device import make_fabric
from mien.training.distillation import make_distillation
from mien.training.stored_targets import read_stored_targets, shown_inputs, write_stored_targets
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


VOTES = "[outputs.label]\ntarget = 'label'\n[outputs.perceived]\ntarget = 'votes'"


def test_votes_are_the_mean_of_those_models_that_predict_them(tmp_path, voted_faces, voted_run, teacher):
    """Oracle: each model's own answers. The student's target is them, by name; a recipe without votes has none."""
    recipe, file = parse_recipe(f"{RECIPE}\n{VOTES}", "x"), tmp_path / "epochs.npz"
    voting = find_model(voted_run.path), load(voted_run.path).for_labels()
    other = (voting[0], load(voted_run.path).for_labels())
    other[1].manifest = with_perceived(other[1].manifest, classes=voted_faces.vote_classes[::-1])
    taught = write_epoch_targets(file, [voting, teacher, other], recipe, voted_faces, 1)
    shown = voted_faces.of_split("train")
    own = np.concatenate(
        [voting[1].with_output("perceived").probabilities_of_inputs(each) for each in shown_inputs(recipe, shown, 1)]
    )
    found = read_stored_targets(file)
    assert found.votes[0] == pytest.approx((own + own[:, ::-1]) / 2, abs=1e-3)
    assert (taught.vote_teachers, found.vote_classes) == (2, shown.vote_classes)
    assert "Teachers that predict the votes: 2." in taught.words()
    # Not the mirror image: the mean above is its own.
    moved = replace(found, votes=np.roll(found.votes, 3, 2), vote_classes=tuple(np.roll(found.vote_classes, 3)))
    write_stored_targets(tmp_path / "turned.npz", moved)
    images, labels = torch.from_numpy(np.array(shown.images)), torch.from_numpy(shown.labels.copy())
    batch = list(epoch_batches(images, labels, recipe, seed=0, epoch=1, mixing=True))[1]
    for each in (file, tmp_path / "turned.npz"):
        lesson = make_distillation(recipe, [each], shown, make_fabric("fp32"))
        assert lesson.votes(batch).numpy() == pytest.approx(found.votes[0, 16:32])
    write_stored_targets(tmp_path / "other.npz", replace(found, vote_classes=tuple("abcdefghij")))
    with raises(DataError, "teacher-classes", "a, b, c, d, e, f, g, h, i, j"):
        make_distillation(recipe, [tmp_path / "other.npz"], shown, make_fabric("fp32"))
    plain = parse_recipe(RECIPE, "x")
    assert make_distillation(plain, [file], shown, make_fabric("fp32")).votes is None
    kept = write_epoch_targets(tmp_path / "plain.npz", [voting], plain, voted_faces, 1)
    assert (read_stored_targets(tmp_path / "plain.npz").votes, kept.vote_teachers) == (None, None)


def test_only_an_output_that_learned_the_votes_predicts_them(tmp_path, voted_faces, voted_run, teacher):
    """Not one that learned the label, though its classes be those of the votes, nor one that learned the majority."""
    recipe = parse_recipe(f"{RECIPE}\n{VOTES}", "x")
    votes = np.eye(7, dtype=np.int64)[voted_faces.labels]
    by_label = replace(voted_faces, columns={"votes": votes}, vote_classes=voted_faces.classes)
    majority = load(voted_run.path).for_labels()
    majority.manifest = with_perceived(majority.manifest, target="majority")
    for model, faces in ((teacher, by_label), ((find_model(voted_run.path), majority), voted_faces)):
        file = tmp_path / f"{len(faces.vote_classes)}.npz"
        assert write_epoch_targets(file, [model], recipe, faces, 1).vote_teachers == 0
        assert read_stored_targets(file).votes is None


def with_perceived(manifest, **changes):
    """With other facts about its output of votes."""
    outputs = {**manifest.outputs, "perceived": manifest.outputs["perceived"].model_copy(update=changes)}
    return manifest.model_copy(update={"outputs": outputs})


def test_a_file_is_not_continued_with_votes_that_it_lacks(tmp_path, voted_faces, voted_run):
    recipe, plain = parse_recipe(f"{RECIPE}\n{VOTES}", "x"), parse_recipe(RECIPE, "x")
    voting = [(find_model(voted_run.path), load(voted_run.path).for_labels())]
    for file, first, then in ((tmp_path / "a.npz", recipe, plain), (tmp_path / "b.npz", plain, recipe)):
        write_epoch_targets(file, voting, first, voted_faces, 1)
        before = file.read_bytes()
        with raises(DataError, "epoch-targets-other"):
            write_epoch_targets(file, voting, then, voted_faces, 2)
        assert file.read_bytes() == before


def test_a_recipe_with_votes_needs_data_with_votes(tmp_path, faces, teacher):
    with raises(DataError, "votes-missing"):
        write_epoch_targets(tmp_path / "x.npz", [teacher], parse_recipe(f"{RECIPE}\n{VOTES}", "x"), faces, 1)


def test_a_file_with_votes_is_continued(tmp_path, voted_faces, voted_run):
    recipe = parse_recipe(f"{RECIPE}\n{VOTES}", "x")
    voting = [(find_model(voted_run.path), load(voted_run.path).for_labels())]
    for name, steps in (("whole", [2]), ("parts", [1, 2])):
        for epochs in steps:
            write_epoch_targets(tmp_path / f"{name}.npz", voting, recipe, voted_faces, epochs)
    whole, parts = (read_stored_targets(tmp_path / f"{name}.npz").votes for name in ("whole", "parts"))
    assert len(whole) == 2
    assert (whole == parts).all()


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
    file.write_bytes(before[:1000])
    with raises(DataError, "epoch-targets-other", file):
        write_epoch_targets(file, [teacher], recipe, faces, 2)
    assert file.read_bytes() == before[:1000]


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
