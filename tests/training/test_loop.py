"""How runs end: Ctrl-C, callbacks, patience, losses that are not finite, a full disk."""

import os
import resource
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from mien.base.errors import DataError, RecipeError, RunError, TrainingError
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.models.registry import complete
from mien.training import checkpoint, loop
from mien.training.callback import Callback, Callbacks, interruptible
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.state import prepare
from support import raises
from training_support import Recorder, bright_and_dark, changed, kept, same_weights, trained


def test_run_learns_and_writes_its_folder(tmp_path, faces, tiny_recipe):
    data, recipe, callback = bright_and_dark(faces), changed(tiny_recipe, epochs=4), Recorder()
    run = RunFolder(tmp_path / "run")
    outcome = train(plan_training(recipe, data), run, callback=callback)
    assert outcome.history[-1]["validation_accuracy"] > 0.95
    assert outcome.history[-1]["train_loss"] < outcome.history[0]["train_loss"]
    assert callback.steps == 4 * (int((faces.split == "train").sum()) // 32)
    assert [line for line, _ in callback.epochs] == outcome.history
    assert run.read_recipe() == recipe.model_copy(update={"model": complete(recipe.model)})
    assert (len(run.read_history()), checkpoint.load(run.best)[1]["epoch"]) == (4, outcome.best_epoch)
    environment = run.read_environment()
    assert (environment["data_fingerprint"], environment["threads"]) == (data.fingerprint_without_test, 1)


def test_seed_determines_the_run(tmp_path, faces, tiny_recipe):
    seeds = {"first": 0, "again": 0, "other": 1}
    first, again, other = (trained(changed(tiny_recipe, seed=seeds[at]), faces, tmp_path / at) for at in seeds)
    assert same_weights(first, again)
    assert not torch.equal(kept(first)["head.weight"], kept(other)["head.weight"])


def test_training_uses_no_test_split_and_keeps_the_fingerprint_under_a_scheme(tmp_path, faces, tiny_recipe):
    """Oracle: other pixels in the test split change no weight and no history."""
    images = np.array(faces.images)
    images[faces.split == "test"] = 0
    blanked = Dataset(images, faces.labels, faces.classes, faces.split, faces.source, faces.rows)
    assert same_weights(*(trained(tiny_recipe, each, tmp_path / str(each is faces)) for each in (faces, blanked)))
    facts = checkpoint.load(trained(changed(tiny_recipe, classes="binary"), faces, tmp_path / "run").best)[1]
    assert (facts["classes"], facts["data_fingerprint"]) == (["negative", "positive"], faces.fingerprint_without_test)


def test_epoch_reports_loss_accuracy_and_rate(faces, tiny_recipe, monkeypatch):
    """Oracle: scikit-learn on answers drawn for each face; the rate is that of the last step, before it is nothing."""
    recipe = changed(tiny_recipe, batch_size=29, optim={"lr": 0.5}, schedule={"name": "one-cycle", "warmup": 0.0})
    state = prepare(plan_training(recipe, faces))
    answers = torch.randn(len(state.labels), len(faces.classes), generator=torch.Generator().manual_seed(0))

    def learn(state, shown):
        logits = answers[shown.chosen] + 0 * state.network.head.bias
        return logits, torch.nn.functional.cross_entropy(logits, state.labels[shown.chosen])

    monkeypatch.setattr(loop, "forward_loss", learn)
    line, labels = loop._train_epoch(state, 2, Recorder(), lambda: False), state.labels.numpy()
    assert state.plan.steps_per_epoch * recipe.batch_size == len(labels) == 11 * 29, "every face is shown"
    assert line["train_accuracy"] == sk.accuracy_score(labels, answers.argmax(1))
    assert line["train_loss"] == pytest.approx(sk.log_loss(labels, answers.double().softmax(1).numpy()), rel=1e-5)
    assert line["learning_rate"] == pytest.approx(0.5 / 22)


def test_gradient_is_clipped_to_clip_norm(faces, tiny_recipe):
    """Oracle: plain SGD moves the weights by the rate times the gradient, here of the norm that was allowed."""
    moved = []
    for clip_norm in (0.0, 1e-3):
        optim = {"name": "sgd", "lr": 0.5, "momentum": 0.0, "weight_decay": 0.0, "clip_norm": clip_norm}
        recipe = changed(tiny_recipe, optim=optim, schedule={"name": "constant", "warmup": 0.0})
        state = prepare(plan_training(recipe, faces))
        before, stop = [each.detach().clone() for each in state.network.parameters()], threading.Event()
        loop._train_epoch(state, 1, Recorder(at_step=1, act=stop.set), stop.is_set)
        after = [each.detach() for each in state.network.parameters()]
        moved.append(float(sum(((a - b) ** 2).sum() for a, b in zip(after, before, strict=True)) ** 0.5))
    assert moved[0] > 0.5 * 0.01
    assert moved[1] == pytest.approx(0.5 * 1e-3, rel=1e-3)


def test_plateau_mixup_off_epochs_and_balance_are_heeded(faces, tiny_recipe):
    schedule = {"name": "plateau", "patience": 2, "factor": 0.25}
    state = prepare(plan_training(changed(tiny_recipe, epochs=9, schedule=schedule, optim={"lr": 0.5}), faces))
    for losses, cut in (((3.0, 2.0), 1), ((2.0, 3.0, 4.0), 0.25)):
        state.history = [{"validation_loss": loss} for loss in losses]
        line = loop._train_epoch(state, len(losses) + 1, Recorder(), lambda: False)
        assert line["learning_rate"] == pytest.approx(0.5 * cut)
    recipe = changed(tiny_recipe, epochs=20, augment={"mixup": 0.2, "mixup_off_epochs": 0.15})
    state = prepare(plan_training(recipe, faces))
    first = [next(loop.recipe_batches(state, epoch)) for epoch in range(1, 21)]
    assert [each.partner is None for each in first] == [each.lam == 1 for each in first] == [False] * 17 + [True] * 3
    # Oracle: the counts.
    state = prepare(plan_training(changed(tiny_recipe, balance={"sampling": "undersample"}), faces))
    assert np.unique(np.bincount(state.labels.numpy())).tolist() == [faces.counts("train").min()]
    assert state.plan.validation.counts().tolist() == faces.counts("validation").tolist()


def test_reading_the_loss_seldom_changes_no_weight(tmp_path, faces, tiny_recipe, monkeypatch):
    """As on a GPU. Oracle: the run that reads every step."""
    often = trained(tiny_recipe, faces, tmp_path / "often")
    monkeypatch.setattr(loop, "_read_every", lambda device: 3)
    seldom = trained(tiny_recipe, faces, tmp_path / "seldom")
    assert same_weights(often, seldom)
    first, second = ([{**line, "seconds": 0} for line in run.read_history()] for run in (often, seldom))
    assert first == second
    recipe = changed(tiny_recipe, epochs=50, schedule={"name": "one-cycle", "warmup": 0.9}, optim={"lr": 1e12})
    with raises(TrainingError, "loss-not-finite"):
        trained(recipe, faces, tmp_path / "run")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch knows")
def test_gpu_run_trains_and_resumes(tmp_path, faces, tiny_recipe):
    run, steps = RunFolder(tmp_path / "run"), prepare(plan_training(tiny_recipe, faces)).steps_per_epoch
    interrupted = Recorder(at_step=steps + 1, act=lambda: os.kill(os.getpid(), signal.SIGINT))
    recipe = changed(tiny_recipe, epochs=4)
    train(plan_training(recipe, faces), run, callback=interrupted)
    outcome = train(plan_training(recipe, faces), run, resume=True)
    assert run.read_environment()["device"].startswith("cuda")
    assert (outcome.reason, [line["epoch"] for line in outcome.history]) == ("all epochs done", [1, 2, 3, 4])
    assert outcome.history[-1]["train_loss"] < outcome.history[0]["train_loss"]


FOUR = {"widths": [4] * 4, "convolutions": [1] * 4}


def test_train_with_bad_input_leaves_no_folder(tmp_path, faces, tiny_recipe, tiny_run):
    only_train, one_class = faces.split == "train", (faces.split == "validation") | (faces.labels == 3)
    for kind, code, changes, rows in (
        (RecipeError, "model-setting", {"model": {"widths": [0]}}, ...),
        # Its poolings leave nothing of a face of 48 px; with four of them, nothing of one of 16.
        (RecipeError, "model-setting", {"model": {"widths": [4] * 6, "convolutions": [1] * 6}}, ...),
        (RecipeError, "model-setting", {"model": FOUR, "progressive_resizing": ((0.5, 16),)}, ...),
        (DataError, "image-size", {"input": {"size_px": 64}}, ...),
        (DataError, "split-missing", {}, only_train),
        (DataError, "too-few-classes", {}, one_class),
    ):
        with raises(kind, code):
            trained(changed(tiny_recipe, **changes), faces if rows is ... else faces.subset(rows), tmp_path / "run")
    with raises(RunError, "weights-unreadable"):
        trained(changed(tiny_recipe, model={"widths": [4, 9]}), faces, tmp_path / "run", init_from=tiny_run)
    assert not (tmp_path / "run").exists()


def test_ctrl_c_keeps_the_best_model(tmp_path, faces, tiny_recipe):
    run, recipe = RunFolder(tmp_path / "run"), changed(tiny_recipe, epochs=50)
    stops = Recorder(25, lambda: os.kill(os.getpid(), signal.SIGINT))
    outcome = train(plan_training(recipe, faces), run, callback=stops)
    assert (outcome.reason, len(outcome.history)) == ("interrupted", 2)
    assert run.best.is_file()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with raises(TrainingError, "stopped"):
        trained(tiny_recipe, faces, tmp_path / "r", callback=Recorder(2, lambda: os.kill(os.getpid(), signal.SIGINT)))


def test_run_stopped_by_a_callback_resumes(tmp_path, faces, tiny_recipe):
    """Oracle: an unbroken run ends with the same weights."""

    class StopAfterTwo(Callback):
        done = 0

        def on_epoch_end(self, metrics, is_best):
            self.done = metrics["epoch"]

        def should_stop(self):
            return self.done >= 2

    plan, cut = plan_training(changed(tiny_recipe, epochs=4), faces), RunFolder(tmp_path / "cut")
    outcome = train(plan, cut, callback=StopAfterTwo())
    assert (outcome.reason, outcome.was_stopped, len(outcome.history)) == ("stopped", True, 2)
    assert not train(plan, cut, resume=True).was_stopped
    assert same_weights(cut, trained(changed(tiny_recipe, epochs=4), faces, tmp_path / "whole"))


@pytest.mark.parametrize("frozen", [0, 4])
def test_patience_counts_only_epochs_of_all_layers(tmp_path, faces, tiny_recipe, frozen):
    """A rate of almost 0 changes nothing, so the first epoch stays the best."""
    stopping, tuning = {"metric": "macro_f1", "patience": 3}, {"frozen_epochs": frozen}
    recipe = changed(tiny_recipe, epochs=30, ema_decay=0.0, optim={"lr": 1e-12}, stopping=stopping, tuning=tuning)
    outcome = train(plan_training(recipe, faces), RunFolder(tmp_path / "run"))
    assert outcome.reason == "no better macro_f1 for 3 epochs"
    assert len(outcome.history) == max(outcome.best_epoch, frozen) + 3


def test_epoch_with_nan_weights_is_not_kept(tmp_path, faces, tiny_recipe, monkeypatch):
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
    with raises(TrainingError, "loss-not-finite", "of epoch 1"):
        train(plan_training(changed(tiny_recipe, epochs=3, ema_decay=0.0), faces), run)
    tensors, facts = checkpoint.load(run.best)
    assert facts["epoch"] == 1
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert len(run.read_history()) == 1


def test_full_disk_keeps_the_last_checkpoint(tmp_path, faces, tiny_recipe):
    """A file-size limit set after the first epoch makes the checkpoint's write fail as a full disk would."""
    run, former = RunFolder(tmp_path / "run"), resource.getrlimit(resource.RLIMIT_FSIZE)
    callback = Recorder(15, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, former[1])))
    try:
        with raises(RunError, "file-unwritable", "safetensors", "File too large"):
            train(plan_training(tiny_recipe, faces), run, callback=callback)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert len(checkpoint.load(run.last)[1]["history"]) == 1
    assert not [file for file in run.path.iterdir() if file.name.endswith(".part")]
    train(plan_training(tiny_recipe, faces), run, resume=True)


def test_first_ctrl_c_is_noted_and_second_raises():
    with interruptible() as outer, interruptible() as inner:
        assert not outer.is_set()
        signal.raise_signal(signal.SIGINT)
        assert all(each.is_set() for each in (inner, outer))
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with interruptible() as later:
        assert not later.is_set()


def test_callbacks_change_rate_and_batch(tmp_path, faces, tiny_recipe):
    """Oracles: weights that stay where the rate is 0; the shapes of the batch; what the next callback is given."""
    told = []

    class Stands(Callback):
        def on_train_begin(self, training):
            self.before = [each.detach().clone() for each in training.network.parameters()]

        def on_step_begin(self, training, batch):
            told.append(batch.images.shape)
            training.optimizer.param_groups[0]["lr"] = training.optimizer.param_groups[1]["lr"] = 0.0
            return replace(batch, images=batch.images * 0)

        def on_train_end(self, reason):
            told.append(reason)

    class Looks(Callback):
        def on_train_begin(self, training):
            self.network = training.network

        def on_step_begin(self, training, batch):
            assert not batch.images.any()

    stands, looks = Stands(), Looks()
    trained(changed(tiny_recipe, epochs=1), faces, tmp_path / "run", callback=Callbacks(stands, None, looks))
    assert all(map(torch.equal, stands.before, looks.network.parameters()))
    assert (told[0], told[-1]) == ((32, 1, 44, 44), "all epochs done")
