"""Oracles: training without a sweep, successive halving by brute force, history.csv of each trial."""

import csv
import tomllib
from dataclasses import replace

import pytest

from mien.errors import DataError, RecipeError, RunError
from mien.recipe_file import load_recipe
from mien.run_folder import RunFolder
from mien.run_history import best_epoch
from mien.runs.space import load_space
from mien.runs.sweep import sweep
from mien.training.loop import train
from mien.training.plan import plan_training
from support import raises


def folders(out):
    return sorted((out / "trials").iterdir())


def test_a_sweep_leaves_its_trials_the_best_recipe_and_a_page(tmp_path, faces, space_file):
    told = []
    space, out = load_space(str(space_file())), tmp_path / "out"
    found = sweep(space, faces, out, on_trial_end=told.append, metadata={"command": "mien <sweep>"})
    assert not found.interrupted
    assert [trial.outcome for trial in found.trials] == ["complete"] * 3
    assert len(told) == 3
    assert {file.name for file in out.iterdir()} == {
        *(".lock", "trials.db", "trials", "trials.csv", "best.toml", "report.html", "figures", "tables"),
    }
    for trial, folder in zip(found.trials, folders(out), strict=True):
        assert {file.name for file in folder.iterdir()} == {"recipe.toml", "environment.json", "history.csv"}
        run = RunFolder(folder)
        history, recipe = run.read_history(), run.read_recipe()
        assert trial.accuracy == history[best_epoch(history, recipe) - 1]["validation_accuracy"]
        assert (trial.epochs, trial.values) == (2, {"optim.lr": recipe.optim.lr})
    page = (out / "report.html").read_text()
    assert "mien &lt;sweep&gt;" in page
    assert "http" not in page.replace("http://www.w3.org", "")

    with (out / "trials.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    by_accuracy = sorted(found.trials, key=lambda trial: -trial.accuracy)
    assert [int(line["trial"]) for line in lines] == [trial.number for trial in by_accuracy]
    assert [float(line["optim.lr"]) for line in lines] == [trial.values["optim.lr"] for trial in by_accuracy]

    # The best recipe, trained by itself, is the best trial over again.
    best = load_recipe(str(out / "best.toml"))
    assert best.name == "tiny-best"
    outcome = train(plan_training(best, faces), RunFolder(tmp_path / "again"))
    assert outcome.history[outcome.best_epoch - 1]["validation_accuracy"] == pytest.approx(by_accuracy[0].accuracy)


def test_trials_are_cut_as_successive_halving_says(tmp_path, faces, space_file):
    """Oracle: Li et al. 2020, section 3, over the trials in their order, from the histories alone."""
    parameters = "optim.lr = { log = [0.001, 1.0] }\nmodel.dropout = { uniform = [0.0, 0.6] }\n"
    file = space_file(parameters, trials=9, epochs=4, more="seed = 3\n[pruning]\nfirst_epoch = 1\nfactor = 2")
    found = sweep(load_space(str(file)), faces, tmp_path / "out")
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


def test_more_trials_go_on_where_the_sweep_ended(tmp_path, faces, space_file):
    space, out = load_space(str(space_file(trials=1, epochs=1))), tmp_path / "out"
    first = sweep(space, faces, out).trials
    assert sweep(space, faces, out).trials == first
    assert sweep(space, faces, out, trials=2).trials[:1] == first


def test_values_that_diverge_or_do_not_go_together_are_trials_too(tmp_path, faces, space_file):
    parameters = "progressive_resizing = { choice = [[], [[0.5, 40]]] }\ninput.crop_px = { choice = [44, 32] }\n"
    space = load_space(str(space_file(f"{parameters}optim.lr = {{ choice = [0.05, 1e25] }}\n", trials=12, epochs=1)))
    told = []
    found = sweep(space, faces, tmp_path / "out", on_trial_end=told.append)
    assert len(found.trials) == 12
    for trial, line in zip(found.trials, told, strict=True):
        invalid = trial.values["input.crop_px"] == 32 and trial.values["progressive_resizing"]
        end = "invalid" if invalid else "diverged" if trial.values["optim.lr"] > 1 else "complete"
        assert trial.outcome == end, line
        assert f"trial {trial.number}: {end}" in line or end == "complete"
    assert {trial.outcome for trial in found.trials} == {"complete", "diverged", "invalid"}


def test_a_sweep_in_which_nothing_succeeds_has_no_best_recipe(tmp_path, faces, space_file):
    found = sweep(load_space(str(space_file("optim.lr = { log = [1e25, 1e26] }\n", 2, 1))), faces, tmp_path / "out")
    assert [trial.outcome for trial in found.trials] == ["diverged"] * 2
    assert found.best is None
    assert not (tmp_path / "out" / "best.toml").exists()
    assert found.page.is_file()


def test_what_is_wrong_is_said_before_anything_is_written(tmp_path, faces, space_file):
    out = tmp_path / "out"
    space = load_space(str(space_file("model.dropuot = { uniform = [0.0, 0.5] }\n")))
    with raises(RecipeError, "space-network") as caught:
        sweep(space, faces, out)
    assert "'model.dropuot'" in str(caught.value)
    assert "'dropout'" in str(caught.value)
    space = load_space(str(space_file()))
    with pytest.raises(DataError):
        sweep(space, faces.of_split("train"), out)
    with raises(RunError, "sweep-database"):
        sweep(space, faces, out, database=f"sqlite:///{tmp_path}/nowhere/x.db")
    assert not out.exists()
    (out / "trials").mkdir(parents=True)
    with raises(RunError, "sweep-folder"):
        sweep(space, faces, out)
    (out / "journal.log").touch()
    with raises(RunError, "sweep-old-version"):
        sweep(space, faces, out)
    with raises(RunError, "sweep-folder"):
        sweep(space, faces, tmp_path / "space.toml")


def test_the_best_recipe_says_where_it_comes_from(tmp_path, faces, space_file):
    found = sweep(load_space(str(space_file(trials=2, epochs=1))), faces, tmp_path / "out")
    words = tomllib.loads((tmp_path / "out" / "best.toml").read_text())["description"]
    assert words == f"Trial {found.best.number}, the best of 2 of space: {found.best.accuracy:.1%} on validation"


def test_a_sweep_is_of_one_data_sets_votes(tmp_path, voted_faces, space_file):
    """Oracle: what was drawn for the first votes is refused for others, where an output learns from them."""
    space = space_file(trials=1, epochs=1)
    text = (tmp_path / "tiny.toml").read_text()
    outputs = '[outputs.label]\ntarget = "label"\n[outputs.seen]\ntarget = "votes"\n'
    (tmp_path / "tiny.toml").write_text(text.replace("[outputs]\n", "") + outputs)
    sweep(load_space(str(space)), voted_faces, tmp_path / "sweep")
    other = replace(voted_faces, columns={"ferplus_votes": voted_faces.votes + 1})
    with raises(RunError, "sweep-other-data"):
        sweep(load_space(str(space)), other, tmp_path / "sweep")
