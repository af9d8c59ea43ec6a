import os
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from mien.data.dataset import Dataset
from mien.errors import DataError, RecipeError, RunError, TrainingError
from mien.files import write_text
from mien.models.registry import complete
from mien.preprocess import to_input
from mien.recipe_file import dump_recipe
from mien.run_folder import RunFolder
from mien.training import checkpoint, loop
from mien.training.callback import Callback
from mien.training.distillation import Distillation, stored_targets
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.state import prepare
from support import raises


class Recorder(Callback):
    """Notes all it is told, and may act at a step."""

    def __init__(self, at_step=None, act=None):
        self.steps, self.epochs, self._at, self._act = 0, [], at_step, act

    def on_step_end(self, epoch, images, loss):
        self.steps += 1
        if self.steps == self._at:
            self._act()

    def on_epoch_end(self, line, is_best):
        self.epochs.append((line, is_best))


def same_weights(first, second):
    """Bit for bit: the kept weights and all that --resume would go on from."""
    for name in ("best", "last"):
        ours, our_facts = checkpoint.load(getattr(first, name))
        theirs, their_facts = checkpoint.load(getattr(second, name))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
        for line in our_facts.get("history", []) + their_facts.get("history", []):
            del line["seconds"]
        assert our_facts == their_facts
    return True


def changed(recipe, **tables):
    content = recipe.model_dump()
    for name, value in tables.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    return type(recipe).model_validate(content)


def test_a_run_learns_and_leaves_its_folder(tmp_path, faces, tiny_recipe):
    """Dark against bright pictures: anything that learns at all tells them apart."""
    bright = np.arange(len(faces)) % 2
    images = (faces.images // 2 + (bright * 120).astype(np.uint8)[:, None, None]).astype(np.uint8)
    data = Dataset(images, bright, ("dark", "bright"), faces.split, faces.source, faces.rows)
    recipe = changed(tiny_recipe, epochs=4)
    callback = Recorder()
    run = RunFolder(tmp_path / "run")
    outcome = train(plan_training(recipe, data), run, callback=callback)
    assert outcome.history[-1]["validation_accuracy"] > 0.95
    assert outcome.history[-1]["train_loss"] < outcome.history[0]["train_loss"]
    assert callback.steps == 4 * (int((faces.split == "train").sum()) // 32)
    assert [line for line, _ in callback.epochs] == outcome.history
    assert run.read_recipe() == recipe.model_copy(update={"model": complete(recipe.model)})
    assert len(run.read_history()) == 4
    assert checkpoint.load(run.best)[1]["epoch"] == outcome.best_epoch
    environment = run.read_environment()
    assert environment["data_fingerprint"] == data.fingerprint_without_test
    assert environment["threads"] == 1


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path, faces, tiny_recipe):
    runs = [RunFolder(tmp_path / name) for name in "abc"]
    train(plan_training(tiny_recipe, faces), runs[0])
    train(plan_training(tiny_recipe, faces), runs[1])
    train(plan_training(changed(tiny_recipe, seed=1), faces), runs[2])
    assert same_weights(runs[0], runs[1])
    first, third = checkpoint.load(runs[0].best)[0], checkpoint.load(runs[2].best)[0]
    assert not torch.equal(first["head.weight"], third["head.weight"])


def test_the_test_split_is_not_touched(tmp_path, faces, tiny_recipe):
    """Oracle: other pixels in the test split change no weight and no history."""
    images = np.array(faces.images)
    images[faces.split == "test"] = 0
    blanked = Dataset(images, faces.labels, faces.classes, faces.split, faces.source, faces.rows)
    first, second = RunFolder(tmp_path / "a"), RunFolder(tmp_path / "b")
    train(plan_training(tiny_recipe, faces), first)
    train(plan_training(tiny_recipe, blanked), second)
    assert same_weights(first, second)


KILLED = """
import sys
import torch
from pathlib import Path
from mien.data.synthetic import synthetic_faces
from mien.recipe_file import load_recipe
from mien.run_folder import RunFolder
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training

class Slow(Callback):
    def on_step_end(self, epoch, images, loss):
        print(epoch, flush=True)

torch.set_num_threads(1)
plan = plan_training(load_recipe(sys.argv[1]), synthetic_faces(400, seed=1))
train(plan, RunFolder(Path(sys.argv[2])), callback=Slow(), resume=True)
"""


@pytest.mark.parametrize(
    ("mixing", "sampling"), [({}, "none"), ({"mixup": 0.2, "cutmix": 1.0, "mixup_off_epochs": 0.2}, "batches")]
)
def test_a_run_killed_at_any_moment_and_resumed_ends_bit_identical(tmp_path, faces, tiny_recipe, mixing, sampling):
    """Real SIGKILLs at random moments, the first before any checkpoint, with dropout, averaging and momentum on."""
    recipe = changed(tiny_recipe, epochs=12, augment=mixing, balance={"sampling": sampling})
    file = tmp_path / "recipe.toml"
    write_text(file, dump_recipe(recipe))
    whole, cut = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "cut")
    train(plan_training(recipe, faces), whole)
    seed = np.random.SeedSequence().entropy
    print(f"moments of the kills: seed {seed}")  # noqa: T201 - shown where the test fails
    generator = np.random.default_rng(seed)
    for epoch in (1, 3, 6):
        child = subprocess.Popen([sys.executable, "-c", KILLED, file, cut.path], stdout=subprocess.PIPE, text=True)
        for line in child.stdout:
            if int(line) >= epoch:
                break
        time.sleep(generator.uniform(0, 0.2))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    assert len(checkpoint.load(cut.last)[1]["history"]) < 12, "the kill came too late to test anything"
    outcome = train(plan_training(recipe, faces), cut, resume=True)
    assert len(outcome.history) == 12
    assert same_weights(whole, cut)
    columns = [[line["validation_loss"], line["train_loss"]] for line in whole.read_history()]
    assert columns == [[line["validation_loss"], line["train_loss"]] for line in cut.read_history()]


@pytest.mark.parametrize(("name", "schedule"), [("adam", "plateau"), ("rmsprop", "step"), ("adamw", "one-cycle")])
def test_resuming_works_with_every_optimiser_and_schedule(tmp_path, faces, tiny_recipe, name, schedule):
    recipe = changed(
        tiny_recipe,
        epochs=4,
        optim={"name": name, "lr": 1e-3},
        schedule={"name": schedule, "step_epochs": 1, "patience": 1, "warmup": 0.0},
    )
    whole, cut = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "cut")
    train(plan_training(recipe, faces), whole)
    with pytest.raises(ConnectionResetError):
        train(
            plan_training(recipe, faces),
            cut,
            callback=Recorder(25, lambda: (_ for _ in ()).throw(ConnectionResetError)),
        )
    assert len(checkpoint.load(cut.last)[1]["history"]) == 2
    train(plan_training(recipe, faces), cut, resume=True)
    assert same_weights(whole, cut)


@pytest.mark.parametrize(
    "balance",
    [
        *({"sampling": sampling} for sampling in ("undersample", "oversample", "mixup", "warp", "batches")),
        {"focal_gamma": 2.0, "logit_adjustment": 1.0},
    ],
)
def test_resuming_works_with_every_way_of_balancing(tmp_path, faces, tiny_recipe, balance):
    recipe = changed(tiny_recipe, epochs=3, batch_size=16, balance=balance)
    whole, cut, plain = (RunFolder(tmp_path / name) for name in ("whole", "cut", "plain"))
    train(plan_training(recipe, faces), whole)

    class Cut(Callback):
        def on_epoch_end(self, line, is_best):
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        train(plan_training(recipe, faces), cut, callback=Cut())
    train(plan_training(recipe, faces), cut, resume=True)
    assert same_weights(whole, cut)
    train(plan_training(changed(tiny_recipe, epochs=3, batch_size=16), faces), plain)
    first, other = (checkpoint.load(run.best)[0] for run in (whole, plain))
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_only_the_train_split_is_balanced(faces, tiny_recipe):
    """Oracle: the counts."""
    state = prepare(plan_training(changed(tiny_recipe, balance={"sampling": "undersample"}), faces))
    assert np.unique(np.bincount(state.labels.numpy())).tolist() == [faces.counts("train").min()]
    assert state.plan.validation.counts().tolist() == faces.counts("validation").tolist()


def test_ctrl_c_ends_the_run_with_its_best_model(tmp_path, faces, tiny_recipe):
    run = RunFolder(tmp_path / "run")
    recipe = changed(tiny_recipe, epochs=50)
    outcome = train(
        plan_training(recipe, faces), run, callback=Recorder(25, lambda: os.kill(os.getpid(), signal.SIGINT))
    )
    assert outcome.reason == "interrupted"
    assert len(outcome.history) == 2
    assert run.best.is_file()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_callback_stops_a_run_which_can_be_resumed(tmp_path, faces, tiny_recipe):
    """Oracle: an unbroken run ends with the same weights."""

    class StopAfterTwo(Callback):
        done = 0

        def on_epoch_end(self, metrics, is_best):
            self.done = metrics["epoch"]

        def should_stop(self):
            return self.done >= 2

    plan = plan_training(changed(tiny_recipe, epochs=4), faces)
    cut, whole = RunFolder(tmp_path / "cut"), RunFolder(tmp_path / "whole")
    outcome = train(plan, cut, callback=StopAfterTwo())
    assert (outcome.reason, outcome.was_stopped, len(outcome.history)) == ("stopped", True, 2)
    assert not train(plan, cut, resume=True).was_stopped
    train(plan, whole)
    assert same_weights(cut, whole)


def test_ctrl_c_in_the_first_epoch_says_that_there_is_nothing_to_keep(tmp_path, faces, tiny_recipe):
    with raises(TrainingError, "stopped-early"):
        train(
            plan_training(tiny_recipe, faces),
            RunFolder(tmp_path / "r"),
            callback=Recorder(2, lambda: os.kill(os.getpid(), signal.SIGINT)),
        )


def test_what_an_epoch_says_of_itself(faces, tiny_recipe, monkeypatch):
    """Oracle: scikit-learn on answers drawn for each face; the rate is that of the last step, before it is nothing."""
    recipe = changed(tiny_recipe, batch_size=29, optim={"lr": 0.5}, schedule={"name": "one-cycle", "warmup": 0.0})
    state = prepare(plan_training(recipe, faces))
    answers = torch.randn(len(state.labels), len(faces.classes), generator=torch.Generator().manual_seed(0))

    def learn(state, shown, vote_targets):
        logits = answers[shown.chosen] + 0 * state.network.head.bias
        return logits, torch.nn.functional.cross_entropy(logits, state.labels[shown.chosen])

    monkeypatch.setattr(loop, "forward_loss", learn)
    line = loop._train_epoch(state, 2, Recorder(), lambda: False)
    labels = state.labels.numpy()
    assert state.plan.steps_per_epoch * recipe.batch_size == len(labels) == 11 * 29, "every face is shown"
    assert line["train_accuracy"] == sk.accuracy_score(labels, answers.argmax(1))
    assert line["train_loss"] == pytest.approx(sk.log_loss(labels, answers.double().softmax(1).numpy()), rel=1e-5)
    assert line["learning_rate"] == pytest.approx(0.5 / 22)


def test_a_gradient_is_clipped_to_the_recipes_norm(faces, tiny_recipe):
    """Oracle: plain SGD moves the weights by the rate times the gradient, here of the norm that was allowed."""
    moved = []
    for clip_norm in (0.0, 1e-3):
        optim = {"name": "sgd", "lr": 0.5, "momentum": 0.0, "weight_decay": 0.0, "clip_norm": clip_norm}
        recipe = changed(tiny_recipe, optim=optim, schedule={"name": "constant", "warmup": 0.0})
        state = prepare(plan_training(recipe, faces))
        before = [each.detach().clone() for each in state.network.parameters()]
        stop = threading.Event()
        loop._train_epoch(state, 1, Recorder(at_step=1, act=stop.set), stop.is_set)
        after = [each.detach() for each in state.network.parameters()]
        moved.append(float(sum(((a - b) ** 2).sum() for a, b in zip(after, before, strict=True)) ** 0.5))
    assert moved[0] > 0.5 * 0.01
    assert moved[1] == pytest.approx(0.5 * 1e-3, rel=1e-3)


def test_a_plateau_cuts_the_rate(faces, tiny_recipe):
    schedule = {"name": "plateau", "patience": 2, "factor": 0.25}
    state = prepare(plan_training(changed(tiny_recipe, epochs=9, schedule=schedule, optim={"lr": 0.5}), faces))
    for losses, cut in (((3.0, 2.0), 1), ((2.0, 3.0, 4.0), 0.25)):
        state.history = [{"validation_loss": loss} for loss in losses]
        line = loop._train_epoch(state, len(losses) + 1, Recorder(), lambda: False)
        assert line["learning_rate"] == pytest.approx(0.5 * cut)


def test_the_last_epochs_mix_nothing(faces, tiny_recipe):
    recipe = changed(tiny_recipe, epochs=20, augment={"mixup": 0.2, "mixup_off_epochs": 0.15})
    state = prepare(plan_training(recipe, faces))
    mixed = [next(loop.recipe_batches(state, epoch)).partner is not None for epoch in range(1, 21)]
    assert mixed == [True] * 17 + [False] * 3


def test_early_stopping_waits_for_its_patience(tmp_path, faces, tiny_recipe):
    """A rate of almost 0 changes nothing, so the first epoch stays the best."""
    recipe = changed(
        tiny_recipe, epochs=30, ema_decay=0.0, optim={"lr": 1e-12}, stopping={"metric": "macro_f1", "patience": 3}
    )
    outcome = train(plan_training(recipe, faces), RunFolder(tmp_path / "run"))
    assert outcome.reason == "no better macro_f1 for 3 epochs"
    assert len(outcome.history) == outcome.best_epoch + 3


def test_a_loss_that_is_not_a_number_stops_names_the_step_and_keeps_the_best(tmp_path, faces, tiny_recipe):
    run = RunFolder(tmp_path / "run")
    recipe = changed(tiny_recipe, epochs=50, schedule={"name": "one-cycle", "warmup": 0.9}, optim={"lr": 1e12})
    with raises(TrainingError, "loss-not-finite", "optim.lr=1e+12"):
        train(plan_training(recipe, faces), run)


def test_a_loss_that_is_read_seldom_changes_no_weight_and_is_still_checked(tmp_path, faces, tiny_recipe, monkeypatch):
    """As on a GPU. Oracle: the run that reads every step."""
    train(plan_training(tiny_recipe, faces), RunFolder(tmp_path / "often"))
    monkeypatch.setattr(loop, "_read_every", lambda device: 3)
    train(plan_training(tiny_recipe, faces), RunFolder(tmp_path / "seldom"))
    assert same_weights(RunFolder(tmp_path / "often"), RunFolder(tmp_path / "seldom"))
    lines = [
        [{**line, "seconds": 0} for line in RunFolder(tmp_path / name).read_history()] for name in ("often", "seldom")
    ]
    assert lines[0] == lines[1]
    recipe = changed(tiny_recipe, epochs=50, schedule={"name": "one-cycle", "warmup": 0.9}, optim={"lr": 1e12})
    with raises(TrainingError, "loss-not-finite"):
        train(plan_training(recipe, faces), RunFolder(tmp_path / "run"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch knows")
def test_a_gpu_trains_and_goes_on(tmp_path, faces, tiny_recipe):
    run = RunFolder(tmp_path / "run")
    steps = prepare(plan_training(tiny_recipe, faces)).steps_per_epoch
    interrupted = Recorder(at_step=steps + 1, act=lambda: os.kill(os.getpid(), signal.SIGINT))
    recipe = changed(tiny_recipe, epochs=4)
    train(plan_training(recipe, faces), run, callback=interrupted)
    outcome = train(plan_training(recipe, faces), run, resume=True)
    assert run.read_environment()["device"].startswith("cuda")
    assert outcome.reason == "all epochs done"
    assert [line["epoch"] for line in outcome.history] == [1, 2, 3, 4]
    assert outcome.history[-1]["train_loss"] < outcome.history[0]["train_loss"]


def test_weights_that_the_last_step_spoilt_never_become_the_best(tmp_path, faces, tiny_recipe, monkeypatch):
    """Every loss of the epoch was still finite; what validation sees is not."""

    def spoiling_epoch(state, epoch, *others):
        line = train_epoch(state, epoch, *others)
        if epoch == 2:
            with torch.no_grad():
                state.network.head.bias.fill_(float("nan"))
        return line

    train_epoch = loop._train_epoch
    monkeypatch.setattr(loop, "_train_epoch", spoiling_epoch)
    run = RunFolder(tmp_path / "run")
    with raises(TrainingError, "loss-not-finite", "(epoch 2)", "of epoch 1"):
        train(plan_training(changed(tiny_recipe, epochs=3, ema_decay=0.0), faces), run)
    tensors, facts = checkpoint.load(run.best)
    assert facts["epoch"] == 1
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert len(run.read_history()) == 1


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path, faces, tiny_recipe):
    """A file-size limit set after the first epoch makes the checkpoint's write fail as a full disk would."""
    run = RunFolder(tmp_path / "run")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    callback = Recorder(15, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, former[1])))
    try:
        with raises(RunError, "file-unwritable", "safetensors", "File too large"):
            train(plan_training(tiny_recipe, faces), run, callback=callback)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert len(checkpoint.load(run.last)[1]["history"]) == 1
    assert not [file for file in run.path.iterdir() if file.name.endswith(".part")]
    train(plan_training(tiny_recipe, faces), run, resume=True)


def test_a_run_that_exists_is_not_overwritten_and_resume_wants_the_same_recipe_and_data(tmp_path, faces, tiny_recipe):
    run = RunFolder(tmp_path / "run")
    train(plan_training(tiny_recipe, faces), run)
    before = run.best.read_bytes()
    with raises(RunError, "run-exists"):
        train(plan_training(tiny_recipe, faces), run)
    with raises(RunError, "run-other-recipe"):
        train(plan_training(changed(tiny_recipe, seed=5), faces), run, resume=True)
    with raises(RunError, "run-other-data"):
        train(plan_training(tiny_recipe, faces.subset(np.arange(len(faces))[::-1])), run, resume=True)
    assert run.best.read_bytes() == before
    # With the test split or without, it is the same training.
    without_test = faces.subset(np.flatnonzero(faces.split != "test"))
    assert train(plan_training(tiny_recipe, without_test), run, resume=True).reason == "all epochs done"


@pytest.mark.parametrize("moment", ["before last", "after last"])
def test_the_best_weights_change_with_the_history_that_says_so(tmp_path, faces, tiny_recipe, monkeypatch, moment):
    """Killed as its second epoch, the best, is written. Oracle: a run that was not killed."""
    recipe = changed(tiny_recipe, stopping={"metric": "loss"})
    run, alone = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "alone")
    assert train(plan_training(recipe, faces), alone).best_epoch == 2

    class KilledError(Exception):
        pass

    save = checkpoint.save

    def save_or_die(path, tensors, facts):
        is_second_last = path == run.last and len(facts["history"]) == 2
        if is_second_last and moment == "before last":
            raise KilledError
        save(path, tensors, facts)
        if is_second_last:
            raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", save_or_die)
        with pytest.raises(KilledError):
            train(plan_training(recipe, faces), run)
    assert checkpoint.load(run.best)[1]["epoch"] == 1
    assert checkpoint.load(run.next_best)[1]["epoch"] == 2
    assert train(plan_training(recipe, faces), run, resume=True).best_epoch == 2
    assert same_weights(run, alone)
    assert not run.next_best.exists()


def test_a_best_epoch_that_comes_out_otherwise_the_second_time_leaves_the_former_best(tmp_path, faces, tiny_recipe):
    """As on a GPU: what lies aside is of an epoch that the history does not have."""
    run = RunFolder(tmp_path / "run")
    train(plan_training(tiny_recipe, faces), run)
    before = run.best.read_bytes()
    tensors, facts = checkpoint.load(run.best)
    checkpoint.save(run.next_best, tensors, {**facts, "epoch": 3})
    train(plan_training(tiny_recipe, faces), run, resume=True)
    assert run.best.read_bytes() == before
    assert not run.next_best.exists()


def test_a_recipe_written_otherwise_is_the_same_recipe(tmp_path, faces, tiny_recipe):
    """A run from before a setting of its network was there, and 0 where 0.0 stands."""
    run = RunFolder(tmp_path / "run")
    recipe = changed(tiny_recipe, model={"dropout": 0})
    train(plan_training(recipe, faces), run)
    stored = run.recipe_file.read_text()
    assert "pool_last = true" in stored
    write_text(run.recipe_file, stored.replace("pool_last = true\n", ""))
    again = changed(tiny_recipe, model={"dropout": 0.0})
    assert train(plan_training(again, faces), run, resume=True).reason == "all epochs done"
    with raises(RunError, "run-other-recipe"):
        train(plan_training(changed(again, model={"pool_last": False}), faces), run, resume=True)


def test_a_history_of_something_else_is_one_line(tmp_path, faces, tiny_recipe):
    run = RunFolder(tmp_path / "run")
    train(plan_training(tiny_recipe, faces), run)
    tensors, facts = checkpoint.load(run.last)
    for history in (["a"], [{"epoch": 1}], [{**facts["history"][0], "seconds": "long"}]):
        checkpoint.save(run.last, tensors, {**facts, "history": history})
        with raises(RunError, "checkpoint-damaged"):
            train(plan_training(tiny_recipe, faces), run, resume=True)


def test_a_run_begun_on_other_data_or_weights_is_not_resumed_even_before_its_first_epoch(
    tmp_path, faces, tiny_recipe, tiny_run
):
    run = RunFolder(tmp_path / "run")
    with pytest.raises(ConnectionResetError):
        train(
            plan_training(tiny_recipe, faces),
            run,
            callback=Recorder(2, lambda: (_ for _ in ()).throw(ConnectionResetError)),
            init_from=tiny_run,
        )
    assert not run.last.exists()
    with raises(RunError, "run-other-data"):
        train(
            plan_training(tiny_recipe, faces.subset(np.arange(len(faces))[::-1])), run, resume=True, init_from=tiny_run
        )
    with raises(RunError, "run-other-weights", "--from"):
        train(plan_training(tiny_recipe, faces), run, resume=True)
    whole = RunFolder(tmp_path / "whole")
    train(plan_training(tiny_recipe, faces), whole, init_from=tiny_run)
    train(plan_training(tiny_recipe, faces), run, resume=True, init_from=tiny_run)
    assert same_weights(whole, run)


def test_a_run_stays_the_one_that_began_with_its_weights(tmp_path, faces, tiny_recipe, tiny_run):
    """They need not be at hand any more when an epoch is done, but others are not taken for them."""
    whole, cut = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "cut")
    recipe = changed(tiny_recipe, epochs=3)
    train(plan_training(recipe, faces), whole, init_from=tiny_run)
    with pytest.raises(ConnectionResetError):
        train(
            plan_training(recipe, faces),
            cut,
            callback=Recorder(25, lambda: (_ for _ in ()).throw(ConnectionResetError)),
            init_from=tiny_run,
        )
    with raises(RunError, "run-other-weights", "--from"):
        train(plan_training(recipe, faces), cut, resume=True, init_from=whole)
    train(plan_training(recipe, faces), cut, resume=True)
    assert same_weights(whole, cut)


def test_what_is_no_beginning_or_no_run_to_go_on_with_is_one_line(tmp_path, faces, tiny_recipe):
    run = RunFolder(tmp_path / "run")
    train(plan_training(tiny_recipe, faces), run)
    best, last = run.best.read_bytes(), run.last.read_bytes()
    run.best.write_bytes(last)
    with raises(RunError, "checkpoint-no-network"):
        train(plan_training(tiny_recipe, faces), RunFolder(tmp_path / "other"), init_from=run)
    run.last.write_bytes(best)
    with raises(RunError, "checkpoint-damaged"):
        train(plan_training(tiny_recipe, faces), run, resume=True)
    run.last.write_bytes(last)
    (run.path / "environment.json").write_text("{}")
    with raises(RunError, "run-other-data"):
        train(plan_training(tiny_recipe, faces), run, resume=True)


def test_a_label_scheme_is_applied_and_the_fingerprint_stays_the_datas(tmp_path, faces, tiny_recipe):
    run = RunFolder(tmp_path / "run")
    train(plan_training(changed(tiny_recipe, classes="binary"), faces), run)
    facts = checkpoint.load(run.best)[1]
    assert facts["classes"] == ["negative", "positive"]
    assert facts["data_fingerprint"] == faces.fingerprint_without_test


def test_bad_input_leaves_no_folder(tmp_path, faces, tiny_recipe):
    run = RunFolder(tmp_path / "run")
    with pytest.raises(RecipeError):
        train(plan_training(changed(tiny_recipe, model={"widths": [0]}), faces), run)
    # Its poolings leave nothing of a face of 48 px; with four of them, nothing of one of 16.
    for deep in (
        {"model": {"widths": [4] * 6, "convolutions": [1] * 6}},
        {"model": {"widths": [4] * 4, "convolutions": [1] * 4}, "progressive_resizing": ((0.5, 16),)},
    ):
        with raises(RecipeError, "image-too-small"):
            train(plan_training(changed(tiny_recipe, **deep), faces), run)
    with raises(DataError, "split-missing", "'validation'"):
        train(plan_training(tiny_recipe, faces.subset(faces.split == "train")), run)
    with raises(DataError, "image-size"):
        train(plan_training(changed(tiny_recipe, input={"size_px": 64}), faces), run)
    one = faces.subset((faces.split == "validation") | (faces.labels == 3))
    with raises(DataError, "one-class"):
        train(plan_training(tiny_recipe, one), run)
    assert not run.path.exists()


def test_fine_tuning_from_another_network_is_one_line(tmp_path, faces, tiny_recipe, tiny_run):
    with raises(RunError, "weights-mismatch"):
        train(
            plan_training(changed(tiny_recipe, model={"widths": [4, 9]}), faces),
            RunFolder(tmp_path / "x"),
            init_from=tiny_run,
        )
    assert not (tmp_path / "x").exists()


def test_consistency_makes_answers_the_same_for_a_face_and_its_mirror_image(tmp_path, faces, tiny_recipe):
    """Told apart by the brighter side, two classes are each other's mirror image: easy to learn without, never with."""
    is_left = np.arange(len(faces)) % 2
    brighter = np.where(is_left[:, None] == (np.arange(48) < 24), 120, 0).astype(np.uint8)
    images = (faces.images // 2 + brighter[:, None, :]).astype(np.uint8)
    data = Dataset(images, is_left, ("right", "left"), faces.split, faces.source, faces.rows)
    apart = []
    for consistency in (0.0, 1.0):
        run = RunFolder(tmp_path / str(consistency))
        train(
            plan_training(changed(tiny_recipe, epochs=4, consistency_loss=consistency, augment={"flip": False}), data),
            run,
        )
        network, _ = checkpoint.load_best(run)
        inputs = torch.from_numpy(to_input(images, tiny_recipe.input))
        with torch.inference_mode():
            seen, mirrored = (network(each).softmax(1) for each in (inputs, inputs.flip(3)))
        apart.append(float((seen - mirrored).abs().max(1).values.mean()))
    assert apart[0] > 0.5
    assert apart[1] < 0.1


def test_the_loss_with_consistency_is_the_mean_over_both_ways_and_what_they_differ_by(faces, tiny_recipe):
    """Oracle: the formula, from the logits of both ways, with mixed faces and a teacher who differs by face."""
    recipe = changed(tiny_recipe, consistency_loss=2.5, augment={"mixup": 0.4})
    state = prepare(plan_training(recipe, faces))
    answers = torch.rand(len(state.images), len(faces.classes), generator=torch.Generator().manual_seed(0)).softmax(1)
    state.distillation = Distillation(0.9, 3.0, stored_targets(answers))
    state.model.eval()
    with torch.no_grad():
        state.network.head.weight.mul_(100)  # a fresh network says the same of all
    batch = next(shown for shown in loop.recipe_batches(state, 1) if shown.partner is not None)
    labels, targets = state.labels[batch.chosen], state.distillation.targets(batch)
    losses, shares = [], []
    for images in (batch.images, batch.images.flip(3)):
        logits = state.network(images)
        hard = batch.lam * state.loss(logits, labels) + (1 - batch.lam) * state.loss(
            logits, state.labels[batch.partner]
        )
        shares.append((logits / 3).softmax(1))
        soft = (targets * (targets.log() - shares[-1].log())).sum(1).mean()
        losses.append(0.9 * 9 * soft + 0.1 * hard)
    together = (shares[0] + shares[1]) / 2
    apart = [(together * (together.log() - each.log())).sum(1).mean() for each in shares]
    expected = (losses[0] + losses[1]) / 2 + 2.5 * 9 * (apart[0] + apart[1]) / 2
    assert apart[0] > 1e-3
    assert loop.forward_loss(state, batch)[1].item() == pytest.approx(expected.item(), rel=1e-4)
