"""Sweeps in one process. Oracles: training without a sweep, successive halving by brute force, each history.csv."""

import csv
import math
import os
import signal
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from mien.base.errors import DataError, RecipeError, RunError, TrainingError
from mien.base.labels import FERPLUS_CLASSES
from mien.base.recipe import load_recipe
from mien.base.run_folder import RunFolder, best_epoch
from mien.runs.space import load_space
from mien.runs.sweep import SweepResult, TrialResult, best_first, check_networks, search
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training
from support import raises


def folders(out):
    return sorted((out / "trials").iterdir())


def test_a_sweep_writes_its_trials_and_the_best_recipe(tmp_path, faces, space_file):
    told = []
    space, out = load_space(str(space_file())), tmp_path / "out"
    found = search(space, faces, out, on_trial_end=told.append, metadata={"command": "mien <sweep>"})
    assert not found.was_stopped
    assert ([trial.outcome for trial in found.trials], len(told)) == (["complete"] * 3, 3)
    assert {file.name for file in out.iterdir()} == {"trials.db", "trials", "trials.csv", "best.toml"}
    for trial, folder in zip(found.trials, folders(out), strict=True):
        assert {file.name for file in folder.iterdir()} == {"recipe.toml", "environment.json", "history.csv"}
        run = RunFolder(folder)
        history, recipe = run.read_history(), run.read_recipe()
        assert trial.accuracy == history[best_epoch(history, recipe) - 1]["validation_accuracy"]
        assert (trial.epochs, trial.values) == (2, {"optim.lr": recipe.optim.lr})

    with (out / "trials.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    by_accuracy = sorted(found.trials, key=lambda trial: -trial.accuracy)
    assert [int(line["trial"]) for line in lines] == [trial.number for trial in by_accuracy]
    assert [float(line["optim.lr"]) for line in lines] == [trial.values["optim.lr"] for trial in by_accuracy]
    # The best recipe, trained by itself, is the best trial over again.
    best = load_recipe(str(found.best_recipe))
    assert best.name == "tiny-best"
    words = f"Trial {found.best.number}, the best of 3 of space: {found.best.accuracy:.1%} on validation"
    assert tomllib.loads(found.best_recipe.read_text())["description"] == words
    outcome = train(plan_training(best, faces), RunFolder(tmp_path / "again"))
    assert outcome.history[outcome.best_epoch - 1]["validation_accuracy"] == pytest.approx(by_accuracy[0].accuracy)


def test_trials_are_pruned_by_successive_halving(tmp_path, faces, space_file):
    """Oracle: Li et al. 2020, section 3, over the trials in their order, from the histories alone."""
    parameters = "optim.lr = { log = [0.001, 1.0] }\nmodel.dropout = { uniform = [0.0, 0.6] }\n"
    file = space_file(parameters, trials=9, epochs=4, more="seed = 3\n[pruning]\nfirst_epoch = 1\nfactor = 2")
    found = search(load_space(str(file)), faces, tmp_path / "out")
    # Epoch 4 would be a rung too, but it is the last: what came so far is whole.
    rungs, expected = {1: [], 2: []}, []
    for folder in folders(tmp_path / "out"):
        run = RunFolder(folder)
        history = run.read_history()
        for epoch in range(1, 5):
            until = history[:epoch]
            assert len(until) == epoch, "a trial ended that should have gone on"
            if epoch in rungs:
                accuracy = until[best_epoch(until, run.read_recipe()) - 1]["validation_accuracy"]
                rungs[epoch].append(accuracy)
                promoted = sorted(rungs[epoch], reverse=True)[: max(len(rungs[epoch]) // 2, 1)]
                if accuracy < promoted[-1]:
                    break
        expected.append(epoch)
        assert len(history) == epoch, "a trial went on that should have ended"
    assert [trial.epochs for trial in found.trials] == expected
    assert [trial.outcome for trial in found.trials] == ["complete" if epochs == 4 else "pruned" for epochs in expected]
    assert {"complete", "pruned"} == {trial.outcome for trial in found.trials}


def test_a_sweep_continues_with_more_trials(tmp_path, faces, space_file):
    """Oracle: a sweep of three trials at once. Values follow from the seed and the number of the trial."""
    space, out = load_space(str(space_file(trials=1, epochs=1))), tmp_path / "out"
    first = search(space, faces, out).trials
    assert search(space, faces, out).trials == first
    three = search(space, faces, out, trials=3).trials
    assert three[:1] == first
    whole = search(space, faces, tmp_path / "50%20? {a}#", trials=3).trials  # the database has a URL
    assert [trial.values for trial in three] == [trial.values for trial in whole]
    assert len({trial.values["optim.lr"] for trial in whole}) == 3


def test_a_trial_may_diverge_or_have_contradicting_values(tmp_path, faces, space_file):
    parameters = "progressive_resizing = { choice = [[], [[0.5, 40]]] }\ninput.crop_px = { choice = [44, 32] }\n"
    space = load_space(str(space_file(f"{parameters}optim.lr = {{ choice = [0.05, 1e25] }}\n", trials=12, epochs=1)))
    told = []
    found = search(space, faces, tmp_path / "out", on_trial_end=told.append)
    assert len(found.trials) == 12
    for trial, line in zip(found.trials, told, strict=True):
        invalid = trial.values["input.crop_px"] == 32 and trial.values["progressive_resizing"]
        end = "invalid" if invalid else "diverged" if trial.values["optim.lr"] > 1 else "complete"
        assert trial.outcome == end, line
        assert f"trial {trial.number}: {end}" in line or end == "complete"
    assert {trial.outcome for trial in found.trials} == {"complete", "diverged", "invalid"}


def test_a_sweep_that_cannot_run_writes_nothing(tmp_path, faces, space_file, monkeypatch):
    out = tmp_path / "out"
    with raises(RecipeError, "space-value", "'model.dropuot'", "'dropout'"):
        check_networks(load_space(str(space_file("model.dropuot = { uniform = [0.0, 0.5] }\n"))))
    space = load_space(str(space_file()))
    with raises(RecipeError, "fit-head"):
        check_networks(space.model_copy(update={"base": load_recipe("head")}))
    with pytest.raises(DataError):
        search(space, faces.of_split("train"), out)
    assert not out.exists()
    with raises(RunError, "file-unwritable"):
        search(space, faces, tmp_path / "space.toml")

    def fail(*given, **named):
        raise TrainingError("The loss fails.", code="own-part")

    monkeypatch.setattr("mien.runs.sweep.train", fail)
    with raises(TrainingError, "own-part"):
        search(load_space(str(space_file())), faces, tmp_path / "out")


def test_a_sweep_rejects_a_damaged_database(tmp_path, faces, space_file):
    space, out = load_space(str(space_file())), tmp_path / "out"
    out.mkdir()
    for content in (b"hello\n", b"SQLite format 3\0 and no more"):
        (out / "trials.db").write_bytes(content)
        with raises(RunError, "sweep-database"):
            search(space, faces, out)
        assert (out / "trials.db").read_bytes() == content
    assert [trial.number for trial in best_first(TRIALS)] == [2, 5, 0, 1, 4]
    assert SweepResult(Path(), TRIALS, 5).best.number == 2
    assert SweepResult(Path(), TRIALS[1:2], 5).best is None


def test_a_sweep_rejects_another_space_and_other_data(tmp_path, faces, voted_faces, space_file):
    """Oracle: what was drawn for the first votes is refused for others, where an output learns from them."""
    file, text = space_file(trials=1, epochs=1), (tmp_path / "tiny.toml").read_text()
    outputs = '[outputs.label]\ntarget = "label"\n[outputs.seen]\ntarget = "votes"\n'
    (tmp_path / "tiny.toml").write_text(text.replace("[outputs]\n", "") + outputs)
    space, out = load_space(str(file)), tmp_path / "sweep"
    search(space, voted_faces, out)
    before = (out / "trials.db").read_bytes()
    other = replace(voted_faces, votes=voted_faces.votes + 1, vote_classes=FERPLUS_CLASSES)
    with raises(RunError, "sweep-database"):
        search(space, other, out)
    file.write_text(file.read_text().replace("1.0", "2.0"))
    with raises(RunError, "sweep-database"):
        search(load_space(str(file)), voted_faces, out)
    assert (out / "trials.db").read_bytes() == before


class Interrupts(Callback):
    """Presses Ctrl-C in the second epoch of the second trial."""

    def __init__(self):
        self.runs = 0

    def on_train_begin(self, training):
        self.runs += 1

    def on_step_end(self, epoch, images, loss):
        if (self.runs, epoch) == (2, 2):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_sweep_continues_its_trial_after_ctrl_c(tmp_path, faces, space_file):
    """Oracle: a sweep without an interruption."""
    space, out = load_space(str(space_file())), tmp_path / "out"
    handler, stopped = signal.getsignal(signal.SIGINT), search(space, faces, out, callback=Interrupts())
    assert signal.getsignal(signal.SIGINT) is handler
    assert stopped.was_stopped
    assert [trial.number for trial in stopped.trials] == [0]
    first_epoch = RunFolder(out / "trials" / "0001").read_history()
    assert len(first_epoch) == 1
    resumed, whole = search(space, faces, out), search(space, faces, tmp_path / "whole")
    assert RunFolder(out / "trials" / "0001").read_history()[0] == first_epoch[0]
    assert [folder.name for folder in folders(out)] == ["0000", "0001", "0002"]
    assert [trial.accuracy for trial in resumed.trials] == [trial.accuracy for trial in whole.trials]
    assert [trial.values for trial in resumed.trials] == [trial.values for trial in whole.trials]


def test_machines_share_the_trials_of_a_database(tmp_path, faces, space_file):
    """Oracle: the values that the first machine stopped at, and the database of both."""
    space, url = load_space(str(space_file())), f"sqlite:///{tmp_path / 'shared.db'}"
    lines = []
    stopped = search(space, faces, tmp_path / "a", storage=url, callback=Interrupts(), on_trial_end=lines.append)
    assert stopped.was_stopped
    assert [trial.number for trial in stopped.trials] == [0]
    begun = RunFolder(tmp_path / "a" / "trials" / "0001").read_recipe()
    whole = search(space, faces, tmp_path / "b", storage=url, on_trial_end=lines.append)
    assert (len(whole.trials), whole.trials[0]) == (3, stopped.trials[0])
    assert [folder.name for folder in folders(tmp_path / "b")] == ["0001", "0003"]
    assert whole.trials[1].values["optim.lr"] == begun.optim.lr
    for trial, line in zip(whole.trials, lines, strict=True):
        assert f"optim.lr = {trial.values['optim.lr']:.4g}" in line
    with raises(RunError, "sweep-database", "nosuch"):
        search(space, faces, tmp_path / "c", storage="nosuch://host/db")


def line(number, outcome="complete", accuracy=0.5):
    return TrialResult(number, outcome, accuracy, 3, 12.5, {"optim.lr": 0.1})


TRIALS = (line(0, accuracy=0.4), line(1, "pruned", 0.9), line(2, accuracy=0.6), line(4, "diverged", math.nan),
          line(5, accuracy=0.6))  # fmt: skip
