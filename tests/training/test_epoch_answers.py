"""Oracles: a live teacher, which is asked about the very same batches; files broken on purpose."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mien.errors import DataError
from mien.experiments.teaching_epochs import write_answers_about_epochs
from mien.inference.classifier import load
from mien.inference.locate import find_model
from mien.recipe import parse_recipe
from mien.run_folder import RunFolder
from mien.training import checkpoint
from mien.training.batches import epoch_batches
from mien.training.device import make_fabric
from mien.training.distill import make_lesson
from mien.training.epoch_answers import read_epoch_answers, shown_inputs, what_is_shown, write_epoch_answers
from mien.training.loop import train

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
    write_answers_about_epochs(file, [(find_model(tiny_run.path), load(tiny_run.path))], recipe, faces, 2)
    return file


def batches(recipe, faces, epoch, seed=0):
    shown = faces.of_split("train")
    images, labels = torch.from_numpy(np.array(shown.images)), torch.from_numpy(shown.labels.copy())
    return list(epoch_batches(images, labels, recipe, seed=seed, epoch=epoch, mixing=True))


@pytest.mark.parametrize("epoch", [1, 2])
def test_kept_answers_are_those_of_a_live_teacher(answers, recipe, faces, tiny_run, epoch):
    shown, fabric = faces.of_split("train"), make_fabric("fp32")
    live = recipe.model_copy(update={"distill": recipe.distill.model_copy(update={"live": True})})
    kept = make_lesson(recipe, [answers], shown, fabric)
    asked = make_lesson(live, [tiny_run.path], shown, fabric)
    for batch in batches(recipe, faces, epoch):
        # float16 keeps three digits of a probability.
        assert torch.allclose(kept.targets(batch), asked.targets(batch), atol=1e-3)


def test_a_run_shows_the_epochs_that_were_asked_about_again_and_again(answers):
    found = read_epoch_answers(answers)
    assert [found.shown_in(epoch) for epoch in (1, 2, 3, 4)] == [(0, 1), (0, 2), (0, 1), (0, 2)]


def test_a_student_of_another_seed_is_shown_the_same_epochs(tmp_path, answers, recipe, faces, monkeypatch):
    """And one whose epochs are smaller at first has the same answers; both end, and not alike."""
    seen = []

    def spy(images, labels, recipe, **where):
        seen.append((where["seed"], where["epoch"], where["mixing"]))
        return epoch_batches(images, labels, recipe, **where)

    monkeypatch.setattr("mien.training.loop.epoch_batches", spy)
    weights = []
    for seed in (0, 1):
        run = RunFolder(tmp_path / str(seed))
        changes = {"seed": seed, "early_sizes": ((0.5, 28),)}
        train(recipe.model_copy(update=changes), faces, run, teachers=[answers])
        weights.append(checkpoint.load(run.last)[0]["model.head.weight"])
    assert seen == 2 * [(0, 1, True), (0, 2, True), (0, 1, True)]
    assert not torch.equal(*weights)


def changed(recipe, table, **values):
    content = recipe.model_dump()
    content[table] = {**content[table], **values} if isinstance(content[table], dict) else values[table]
    return type(recipe).model_validate(content)


@pytest.mark.parametrize(
    ("table", "values", "message"),
    [
        ("augment", {"rotation_degrees": 5.0}, r"augment\.rotation_degrees = 10\.0; the student's recipe has 5\.0"),
        ("augment", {"off_last": 0.2}, r"--set augment\.off_last=0"),
        ("batch_size", {"batch_size": 8}, "batch_size = 16; the student's recipe has 8"),
        ("balance", {"sampling": "oversample"}, "not 'oversample'"),
    ],
)
def test_answers_about_other_epochs_are_refused(answers, recipe, faces, table, values, message):
    with pytest.raises(DataError, match=message):
        make_lesson(changed(recipe, table, **values), [answers], faces.of_split("train"), make_fabric("fp32"))


def test_answers_about_other_faces_or_from_elsewhere_are_refused(tmp_path, answers, recipe, faces):
    fabric, shown = make_fabric("fp32"), faces.of_split("train")
    with pytest.raises(DataError, match="about other faces"):
        make_lesson(recipe, [answers], shown.subset(np.arange(len(shown) - 1)), fabric)
    found = read_epoch_answers(answers)
    write_epoch_answers(tmp_path / "x.npz", replace(found, first_batch=found.first_batch + np.float32(0.01)))
    with pytest.raises(DataError, match="come out otherwise here"):
        make_lesson(recipe, [tmp_path / "x.npz"], shown, fabric)
    with pytest.raises(DataError, match="give it alone"):
        make_lesson(recipe, [answers, answers], shown, fabric)


def test_classes_go_by_name(tmp_path, answers, recipe, faces):
    found = read_epoch_answers(answers)
    turned = replace(found, probabilities=found.probabilities[..., ::-1], classes=found.classes[::-1])
    write_epoch_answers(tmp_path / "x.npz", turned)
    batch = batches(recipe, faces, 1)[3]
    one, two = (
        make_lesson(recipe, [file], faces.of_split("train"), make_fabric("fp32")).targets(batch)
        for file in (answers, tmp_path / "x.npz")
    )
    assert torch.equal(one, two)


def test_a_damaged_file_is_refused_and_another_is_not_taken_for_one(tmp_path, answers):
    with np.load(answers) as archive:
        arrays = dict(archive)
    np.savez(tmp_path / "short.npz", **{name: value for name, value in arrays.items() if name != "seed"})
    np.savez(tmp_path / "flat.npz", **{**arrays, "probabilities": arrays["probabilities"][0]})
    np.savez(tmp_path / "other.npz", rows=np.arange(3))
    (tmp_path / "cut.npz").write_bytes(answers.read_bytes()[:2000])
    with pytest.raises(DataError, match="has no seed"):
        read_epoch_answers(tmp_path / "short.npz")
    with pytest.raises(DataError, match="does not hold float16"):
        read_epoch_answers(tmp_path / "flat.npz")
    for name in ("other.npz", "cut.npz", "missing.npz"):
        assert read_epoch_answers(tmp_path / name) is None


def test_what_is_shown_is_as_a_network_takes_it(recipe, faces):
    first = next(shown_inputs(recipe, faces.of_split("train"), 1))
    assert first.dtype == np.float32
    assert first.shape == (16, 1, 44, 44)
    assert first.flags.c_contiguous
    assert what_is_shown(recipe) == what_is_shown(recipe.model_copy(update={"epochs": 9, "seed": 4, "name": "y"}))
