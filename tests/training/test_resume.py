"""Runs killed, cut off and resumed. Oracle: a run that was not broken off, bit for bit."""

import math
import shutil
import time
import tomllib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn, optim

from children import CHILDREN, resume
from mien.base.errors import RunError
from mien.base.files import write_text
from mien.base.recipe import check_recipe
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


@pytest.fixture(scope="module")
def plain(tmp_path_factory, voted_faces, tiny_recipe_text):
    """Weights of unbroken runs of two and of three epochs, by their number."""
    recipe = check_recipe(tomllib.loads(tiny_recipe_text), "tiny", ["batch_size=16"])
    folder = tmp_path_factory.mktemp("p")
    return {n: kept(trained(changed(recipe, epochs=n), voted_faces, folder / str(n))) for n in (2, 3)}


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
def test_resumed_run_is_bit_identical_for_every_kind_of_recipe(tmp_path, voted_faces, tiny_recipe, plain, changes):
    # Self-adaptive targets move after the first epoch, and a plateau is known after two.
    done = 2 if "self_adaptive" in changes or "plateau" in str(changes) else 1
    plan = plan_training(changed(tiny_recipe, epochs=done + 1, batch_size=16, **changes), voted_faces)
    whole, cut = (RunFolder(tmp_path / name) for name in ("whole", "cut"))
    train(plan, whole)
    break_off(plan, cut, done * plan.steps_per_epoch + 2)
    assert len(checkpoint.load(cut.last)[1]["history"]) == done
    train(plan, cut, resume=True)
    assert same_weights(whole, cut)
    first, other = kept(whole), plain[done + 1]
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
    # Oracle: the folder takes a run of other first weights.
    run = RunFolder(tmp_path / "b")
    break_off(plan_training(tiny_recipe, faces), run, 2, init_from=tiny_run)
    assert not run.exists
    assert same_weights(*(trained(tiny_recipe, faces, tmp_path / name) for name in "ab"))


FACTS = {"recipe_digest": "a", "data_fingerprint": "b", "classes": ["ä"], "history": [{"loss": 0.1}]}


def test_checkpoint_returns_tensors_and_facts(tmp_path):
    tensors = {"a": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last), "n": torch.tensor(3)}
    checkpoint.save(tmp_path / "c", tensors, FACTS)
    loaded, facts = checkpoint.load(tmp_path / "c")
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert facts == FACTS
    # A header with several entries would be in any order: files that were equal would not be, one time in two.
    files = [tmp_path / str(number) for number in range(12)]
    for file in files:
        checkpoint.save(file, dict.fromkeys("ab", torch.ones(3)), FACTS)  # two names of one tensor
    assert len({file.read_bytes() for file in files}) == 1
    # Oracle: the file overwritten where it lies. What maps it would change with it, and on Windows keep it there.
    checkpoint.save(tmp_path / "c", {"a": torch.ones(4096)}, FACTS)
    loaded, _ = checkpoint.load(tmp_path / "c")
    with (tmp_path / "c").open("r+b") as stream:
        stream.write(bytes((tmp_path / "c").stat().st_size))
    assert (loaded["a"] == 1).all()
    packed = checkpoint.pack("model", {"a.b": torch.zeros(1)}) | checkpoint.pack("modelling", {"a": torch.zeros(1)})
    assert list(checkpoint.unpack("model", packed)) == ["a.b"]


class Slower(optim.Optimizer):
    """One that counts its steps in plain ints, of each parameter and of the group, as hand-written ones do."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1, "steps": 0})

    def step(self):
        group = self.param_groups[0]
        group["steps"] += 1
        for parameter in group["params"]:
            count = self.state[parameter]["step"] = self.state[parameter].get("step", 0) + 1
            parameter.data.add_(parameter.grad, alpha=-0.1 / math.factorial(count) / group["steps"])


def test_restored_optimizer_continues_identically(tmp_path):
    """Oracle: the same optimiser, not interrupted. Those of recipes are in the runs above."""

    def steps(net, optimizer, count):
        for number in range(count):
            optimizer.zero_grad()
            (net(torch.full((1, 3), 1.0 + number)) ** 2).sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    whole, cut = nn.Linear(3, 2), nn.Linear(3, 2)
    cut.load_state_dict(whole.state_dict())
    first, second, third = Slower(whole.parameters()), Slower(cut.parameters()), Slower(cut.parameters())
    steps(whole, first, 3)
    steps(whole, first, 4)
    steps(cut, second, 3)
    checkpoint.save(tmp_path / "c", checkpoint.optimizer_tensors(second), FACTS)
    checkpoint.restore_optimizer(third, checkpoint.load(tmp_path / "c")[0])
    steps(cut, third, 4)
    assert torch.equal(whole.weight, cut.weight)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_load_refuses_other_files(tmp_path, content):
    with raises(RunError, "weights-unreadable"):
        checkpoint.load(tmp_path / "c")
    (tmp_path / "c").write_bytes(content)
    with raises(RunError, "weights-unreadable"):
        checkpoint.load(tmp_path / "c")
    save_file({"a": torch.zeros(1)}, tmp_path / "c")
    with raises(RunError, "weights-unreadable"):
        checkpoint.load(tmp_path / "c")
