"""Runs killed, cut off and resumed. Oracle: a run that was not broken off, bit for bit."""

import shutil
import time

import numpy as np
import pytest
import torch

from children import CHILDREN, resume
from mien.base.errors import RunError
from mien.base.files import write_text
from mien.base.run_folder import RunFolder
from mien.training import checkpoint
from mien.training.loop import train
from mien.training.plan import plan_training
from support import raises
from training_support import Recorder, break_off, changed, kept, same_weights, trained


def test_removed_run_folder_is_created_again(tmp_path, faces, tiny_recipe):
    """In the first step of the last epoch: after it, the folder must be a run with its weights."""
    plan, run = plan_training(tiny_recipe, faces), RunFolder(tmp_path / "run")
    steps = -(-len(plan.train) // tiny_recipe.batch_size)
    train(plan, run, callback=Recorder(steps + 1, lambda: shutil.rmtree(run.path)))
    assert run.read_recipe().digest == plan.recipe.digest
    assert len(run.read_history()) == len(checkpoint.load(run.last)[1]["history"]) == 2


@pytest.mark.parametrize(
    ("mixing", "sampling"), [({}, "none"), ({"mixup": 0.2, "cutmix": 1.0, "mixup_off_epochs": 0.2}, "batches")]
)
def test_killed_and_resumed_run_is_bit_identical(tmp_path, faces, tiny_recipe, mixing, sampling):
    """Real SIGKILLs at random moments, the first before any checkpoint, with dropout, averaging and momentum on."""
    recipe = changed(tiny_recipe, epochs=12, augment=mixing, balance={"sampling": sampling})
    whole, cut = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "cut")
    train(plan_training(recipe, faces), whole)
    seed = np.random.SeedSequence().entropy
    print(f"moments of the kills: seed {seed}")  # noqa: T201 - shown where the test fails
    generator = np.random.default_rng(seed)
    for epoch in (1, 3, 6):
        reader, writer = CHILDREN.Pipe(duplex=False)
        child = CHILDREN.Process(target=resume, args=(recipe, cut.path, writer))
        child.start()
        writer.close()
        while reader.recv() < epoch:
            pass
        time.sleep(generator.uniform(0, 0.2))
        child.kill()
        child.join()
        reader.close()
    assert len(checkpoint.load(cut.last)[1]["history"]) < 12, "the kill came too late to test anything"
    assert len(train(plan_training(recipe, faces), cut, resume=True).history) == 12
    assert same_weights(whole, cut)
    columns = [[line["validation_loss"], line["train_loss"]] for line in whole.read_history()]
    assert columns == [[line["validation_loss"], line["train_loss"]] for line in cut.read_history()]


@pytest.mark.parametrize("changes", [
    {"optim": {"name": "adam", "lr": 1e-3}, "schedule": {"name": "plateau", "patience": 1, "warmup": 0.0}},
    {"optim": {"name": "rmsprop", "lr": 1e-3}, "schedule": {"name": "step", "step_epochs": 1, "warmup": 0.0}},
    {"optim": {"name": "adamw", "lr": 1e-3}, "schedule": {"name": "one-cycle", "warmup": 0.0}},
    {"balance": {"sampling": "undersample"}},
    {"balance": {"sampling": "oversample"}},
    {"balance": {"sampling": "batches", "focal_gamma": 2.0}},
    {"recalibrate_bn": True},
    {"recalibrate_bn": True, "ema_decay": 0.0},
    {"self_adaptive": 0.7},
    {"tuning": {"frozen_epochs": 1, "layer_decay": 0.7}},
    *(
        {"outputs": {"own": {"target": "label"}, "seen": {"target": each}}}
        for each in ("votes", "sampled", "majority")
    ),
])  # fmt: skip
def test_resumed_run_is_bit_identical_for_every_kind_of_recipe(tmp_path, voted_faces, tiny_recipe, changes):
    plan = plan_training(changed(tiny_recipe, epochs=3, batch_size=16, **changes), voted_faces)
    whole, cut = (RunFolder(tmp_path / name) for name in ("whole", "cut"))
    train(plan, whole)
    done = 2 if "self_adaptive" in changes else 1  # its targets move after the first
    break_off(plan, cut, done * plan.steps_per_epoch + 2)
    assert len(checkpoint.load(cut.last)[1]["history"]) == done
    train(plan, cut, resume=True)
    assert same_weights(whole, cut)
    plain = trained(changed(tiny_recipe, epochs=3, batch_size=16), voted_faces, tmp_path / "plain")
    first, other = kept(whole), kept(plain)
    assert not all(torch.equal(first[name], other[name]) for name in first), "the change changes something"


def test_train_refuses_an_existing_run_or_another_recipe(tmp_path, faces, tiny_recipe):
    run = trained(tiny_recipe, faces, tmp_path / "run")
    before = run.best.read_bytes()
    with raises(RunError, "file-exists"):
        train(plan_training(tiny_recipe, faces), run)
    with raises(RunError, "run-other", "by another recipe (other seed)"):
        train(plan_training(changed(tiny_recipe, seed=5), faces), run, resume=True)
    with raises(RunError, "run-other"):
        train(plan_training(tiny_recipe, faces.subset(np.arange(len(faces))[::-1])), run, resume=True)
    assert run.best.read_bytes() == before
    # With the test split or without, it is the same training.
    without_test = faces.subset(np.flatnonzero(faces.split != "test"))
    assert train(plan_training(tiny_recipe, without_test), run, resume=True).reason == "all epochs done"
    run.last.unlink()
    with raises(RunError, "run-other", "--from"):
        train(plan_training(tiny_recipe, faces), run, resume=True)
    run.best.unlink()
    with raises(RunError, "run-other"):
        train(plan_training(changed(tiny_recipe, seed=5), faces), run, resume=True)


@pytest.mark.parametrize(("epoch", "moment"), [(1, "before last"), (2, "before last"), (2, "after last")])
def test_run_killed_while_writing_an_epoch_is_bit_identical(tmp_path, faces, tiny_recipe, monkeypatch, epoch, moment):
    """Oracle: a run that was not killed. Its second epoch is the best: weights change with the history that says so."""
    recipe = changed(tiny_recipe, stopping={"metric": "loss"})
    run, alone = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "alone")
    assert train(plan_training(recipe, faces), alone).best_epoch == 2
    save = checkpoint.save

    def save_or_die(path, tensors, facts):
        dies = path == run.last and len(facts["history"]) == epoch
        if not dies or moment == "after last":
            save(path, tensors, facts)
        if dies:
            raise ConnectionResetError

    with monkeypatch.context() as patched, pytest.raises(ConnectionResetError):
        patched.setattr(checkpoint, "save", save_or_die)
        train(plan_training(recipe, faces), run)
    assert run.is_run
    assert not run.best.is_file() if epoch == 1 else checkpoint.load(run.best)[1]["epoch"] == 1
    assert train(plan_training(recipe, faces), run, resume=True).best_epoch == 2
    assert same_weights(run, alone)


def test_resume_accepts_an_equal_recipe(tmp_path, faces, tiny_recipe):
    """A run from before a setting of its network was there, and 0 where 0.0 stands."""
    run = trained(changed(tiny_recipe, model={"dropout": 0}), faces, tmp_path / "run")
    stored = run.recipe_file.read_text()
    assert "pool_last = true" in stored
    write_text(run.recipe_file, stored.replace("pool_last = true\n", ""))
    again = changed(tiny_recipe, model={"dropout": 0.0})
    assert train(plan_training(again, faces), run, resume=True).reason == "all epochs done"
    with raises(RunError, "run-other"):
        train(plan_training(changed(again, model={"pool_last": False}), faces), run, resume=True)


def test_run_stopped_before_its_first_epoch_leaves_nothing(tmp_path, faces, tiny_recipe, tiny_run):
    """Oracle: the folder takes a run of other first weights."""
    run = RunFolder(tmp_path / "run")
    break_off(plan_training(tiny_recipe, faces), run, 2, init_from=tiny_run)
    assert not run.exists
    assert same_weights(*(trained(tiny_recipe, faces, tmp_path / name) for name in ("whole", "run")))


def test_resume_refuses_other_initial_weights(tmp_path, faces, tiny_recipe, tiny_run):
    """They need not be at hand any more when an epoch is done, but others are not taken for them."""
    cut, recipe = RunFolder(tmp_path / "cut"), changed(tiny_recipe, epochs=3)
    whole = trained(recipe, faces, tmp_path / "whole", init_from=tiny_run)
    break_off(plan_training(recipe, faces), cut, 25, init_from=tiny_run)
    with raises(RunError, "run-other", "--out"):
        train(plan_training(recipe, faces), cut, resume=True, init_from=whole)
    with raises(RunError, "run-other", "another model, and --from is missing", "seed"):
        train(plan_training(changed(recipe, seed=5), faces), cut, resume=True)
    train(plan_training(recipe, faces), cut, resume=True)
    assert same_weights(whole, cut)
