"""Oracles: a live teacher, which is asked about the very same batches; files broken on purpose."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mien.distill.epoch_targets import write_epoch_targets
from mien.errors import DataError
from mien.inference.find_model import find_model
from mien.inference.predictor import load
from mien.recipe_file import parse_recipe
from mien.run_folder import RunFolder
from mien.training import checkpoint
from mien.training.batches import epoch_batches
from mien.training.device import make_fabric
from mien.training.distillation import make_distillation
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.step import forward_loss
from mien.training.stored_targets import read_stored_targets, shown_inputs, what_is_shown, write_stored_targets
from support import raises

STUDENT = """
name = "student"
epochs = 3
batch_size = 16
precision = "fp32"
[model]
name = "mien"
stem_width = 4
widths = [4, 8]
convolutions = [1, 2]
[input]
crop_px = 44
[augment]
flip = true
rotation_degrees = 10
mixup = 0.4
[distill]
temperature = 2.0
"""


@pytest.fixture(scope="module")
def recipe():
    return parse_recipe(STUDENT, "x")


@pytest.fixture(scope="module")
def answers(tmp_path_factory, recipe, faces, tiny_run):
    """What the tiny run says of two epochs."""
    file = tmp_path_factory.mktemp("answers") / "epochs.npz"
    write_epoch_targets(file, [(find_model(tiny_run.path), load(tiny_run.path))], recipe, faces, 2)
    return file


def batches(recipe, faces, epoch, seed=0):
    shown = faces.of_split("train")
    images, labels = torch.from_numpy(np.array(shown.images)), torch.from_numpy(shown.labels.copy())
    return list(epoch_batches(images, labels, recipe, seed=seed, epoch=epoch, mixing=True))


@pytest.mark.parametrize("epoch", [1, 2])
def test_kept_answers_are_those_of_a_live_teacher(answers, recipe, faces, tiny_run, epoch):
    shown, fabric = faces.of_split("train"), make_fabric("fp32")
    live = recipe.model_copy(update={"distill": recipe.distill.model_copy(update={"live": True})})
    kept = make_distillation(recipe, [answers], shown, fabric)
    asked = make_distillation(live, [tiny_run.path], shown, fabric)
    for batch in batches(recipe, faces, epoch):
        # float16 keeps three digits of a probability.
        assert torch.allclose(kept.targets(batch), asked.targets(batch), atol=1e-3)


def test_a_run_shows_the_epochs_that_were_asked_about_again_and_again(answers):
    found = read_stored_targets(answers)
    assert [found.shown_in(epoch) for epoch in (1, 2, 3, 4)] == [(0, 1), (0, 2), (0, 1), (0, 2)]


def test_a_student_of_another_seed_is_shown_the_same_epochs(tmp_path, answers, recipe, faces, monkeypatch):
    """And one whose epochs are smaller at first has the same answers; both end, and not alike."""
    seen = []

    def spy(images, labels, recipe, **where):
        seen.append((where["seed"], where["epoch"], where["mixing"]))
        return epoch_batches(images, labels, recipe, **where)

    monkeypatch.setattr("mien.training.step.epoch_batches", spy)
    weights = []
    for seed in (0, 1):
        run = RunFolder(tmp_path / str(seed))
        changes = {"seed": seed, "progressive_resizing": ((0.5, 28),)}
        train(plan_training(recipe.model_copy(update=changes), faces), run, teachers=[answers])
        weights.append(checkpoint.load(run.last)[0]["model.head.weight"])
    assert seen == 2 * [(0, 1, True), (0, 2, True), (0, 1, True)]
    assert not torch.equal(*weights)


def test_a_student_sees_what_the_teachers_saw_made_worse(tmp_path, answers, recipe, faces, monkeypatch):
    """Oracle: the teachers' own batches. What is left without them is noise, drawn anew when an epoch comes again."""
    seen = []

    def spy(state, batch, *targets):
        seen.append(batch)
        return forward_loss(state, batch, *targets)

    monkeypatch.setattr("mien.training.loop.forward_loss", spy)
    worse = changed(recipe, "augment", noise=1.0)
    train(plan_training(worse, faces), RunFolder(tmp_path / "run"), teachers=[answers])
    clear = [batch for epoch in (1, 2, 1) for batch in batches(recipe, faces, epoch)]
    assert [batch.chosen.tolist() for batch in seen] == [batch.chosen.tolist() for batch in clear]
    noise = [one.images - other.images for one, other in zip(seen, clear, strict=True)]
    assert all(0.05 < float(each.std()) < 1 for each in noise)
    assert not torch.allclose(noise[0], noise[2 * len(noise) // 3], atol=0.05)


def changed(recipe, table, **values):
    content = recipe.model_dump()
    content[table] = {**content[table], **values} if isinstance(content[table], dict) else values[table]
    return type(recipe).model_validate(content)


@pytest.mark.parametrize(
    ("table", "values", "code", "named"),
    [
        ("augment", {"rotation_degrees": 5.0}, "targets-other-recipe", ("augment.rotation_degrees = 10.0", "5.0")),
        ("augment", {"mixup_off_epochs": 0.2}, "epochs-not-mixed", ("--set augment.mixup_off_epochs=0",)),
        ("batch_size", {"batch_size": 8}, "targets-other-recipe", ("batch_size = 16", "8")),
        ("balance", {"sampling": "oversample"}, "targets-balanced", ("'oversample'",)),
        ("augment", {"cutmix": 1.0, "early": True}, "targets-cutmix", ()),
    ],
)
def test_answers_about_other_epochs_are_refused(answers, recipe, faces, table, values, code, named):
    early = ((0.5, 28),) if values.pop("early", False) else ()
    other = changed(recipe, table, **values).model_copy(update={"progressive_resizing": early})
    with raises(DataError, code, *named):
        make_distillation(other, [answers], faces.of_split("train"), make_fabric("fp32"))


def test_answers_about_other_faces_or_from_elsewhere_are_refused(tmp_path, answers, recipe, faces):
    fabric, shown = make_fabric("fp32"), faces.of_split("train")
    with raises(DataError, "targets-other-data"):
        make_distillation(recipe, [answers], shown.subset(np.arange(len(shown) - 1)), fabric)
    found = read_stored_targets(answers)
    write_stored_targets(tmp_path / "x.npz", replace(found, first_batch=found.first_batch + np.float32(0.01)))
    with raises(DataError, "targets-other-machine"):
        make_distillation(recipe, [tmp_path / "x.npz"], shown, fabric)
    with raises(DataError, "teacher-file-not-alone"):
        make_distillation(recipe, [answers, answers], shown, fabric)


def test_classes_go_by_name(tmp_path, answers, recipe, faces):
    found = read_stored_targets(answers)
    turned = replace(found, probabilities=found.probabilities[..., ::-1], classes=found.classes[::-1])
    write_stored_targets(tmp_path / "x.npz", turned)
    batch = batches(recipe, faces, 1)[3]
    one, two = (
        make_distillation(recipe, [file], faces.of_split("train"), make_fabric("fp32")).targets(batch)
        for file in (answers, tmp_path / "x.npz")
    )
    assert torch.equal(one, two)


def test_another_file_is_not_taken_for_one(tmp_path, answers):
    np.savez(tmp_path / "other.npz", rows=np.arange(3))
    (tmp_path / "cut.npz").write_bytes(answers.read_bytes()[:2000])
    for name in ("other.npz", "cut.npz", "missing.npz"):
        assert read_stored_targets(tmp_path / name) is None


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("seed", None, "no seed"),
        ("seed", np.array([1]), "'seed' is int64 (1,)"),
        ("seed", np.array("x"), "'seed' is <U1"),
        ("seed", np.array(2**62), "'seed' is 4611686018427387904"),
        ("classes", np.arange(7), "'classes' is int64"),
        ("teachers", np.array("a"), "'teachers' is <U1 ()"),
        ("shown", np.array("[]"), ""),
        ("shown", np.array("null"), ""),
        ("shown", np.array('{"augment": {"zoom": 3}}'), ""),
        ("shown", np.array("[" * 100_000), ""),
        ("first_batch", np.full(16, np.nan, np.float32), "'first_batch' is not finite"),
        ("classes", np.array([*"abcdef", "f"]), "(E, N, 7)"),
        ("probabilities", np.zeros((2, 96, 7), np.float16), "(E, N, 7)"),
        ("probabilities", np.full((2, 96, 6), 1 / 6, np.float16), "(E, N, 7)"),
        ("probabilities", np.full((2, 96), 0.5, np.float16), "'probabilities' is float16 (2, 96)"),
        ("votes", np.full((2, 96, 2), 0.5, np.float16), "no vote_classes"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, answers, name, value, named):
    with np.load(answers) as archive:
        arrays = {**archive, name: value}
    np.savez(tmp_path / "bad.npz", **{key: array for key, array in arrays.items() if array is not None})
    with raises(DataError, "targets-damaged", named):
        read_stored_targets(tmp_path / "bad.npz")


@pytest.mark.parametrize("shape", [(2, 95, 2), (1, 96, 2), (2, 96, 3)])
def test_votes_of_other_epochs_or_classes_are_damage(tmp_path, answers, shape):
    votes = np.full(shape, 1 / shape[2], np.float16)
    found = read_stored_targets(answers)
    write_stored_targets(tmp_path / "x.npz", replace(found, votes=votes, vote_classes=("a", "b")))
    with raises(DataError, "targets-damaged"):
        read_stored_targets(tmp_path / "x.npz")


def test_answers_about_fewer_faces_than_an_epoch_shows_are_refused(tmp_path, answers, recipe, faces):
    found = read_stored_targets(answers)
    write_stored_targets(tmp_path / "x.npz", replace(found, probabilities=found.probabilities[:, :-16]))
    with raises(DataError, "targets-other-data"):
        make_distillation(recipe, [tmp_path / "x.npz"], faces.of_split("train"), make_fabric("fp32"))


def test_a_file_outlives_new_keys(answers, recipe):
    """Oracle: the keys in it, which are those that somebody set."""
    shown = json.loads(read_stored_targets(answers).shown)
    assert shown == {
        "augment": {"flip": True, "rotation_degrees": 10.0, "mixup": 0.4},
        "batch_size": 16,
        "input": {"crop_px": 44},
    }


def test_what_is_shown_is_as_a_network_takes_it(recipe, faces):
    first = next(shown_inputs(recipe, faces.of_split("train"), 1))
    assert first.dtype == np.float32
    assert first.shape == (16, 1, 44, 44)
    assert first.flags.c_contiguous
    assert what_is_shown(recipe) == what_is_shown(recipe.model_copy(update={"epochs": 9, "seed": 4, "name": "y"}))
