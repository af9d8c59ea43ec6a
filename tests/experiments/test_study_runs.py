"""Oracles: mien train's own code for the same recipe, and what lies on disk after a run, a kill and a second run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mien.data.synthetic import synthetic_faces
from mien.errors import DataError, StudyError
from mien.experiments.run import run_recipe
from mien.experiments.study import parse_study
from mien.experiments.study_results import Planned, read_finished
from mien.experiments.study_runs import Yard, folder_of, lacking, plan, run_all, seconds_left
from mien.run_folder import RunFolder


def test_every_variant_and_seed_is_planned_first_seeds_first(done):
    planned = [(run.variant, run.recipe.seed) for run in done.runs]
    assert planned == [("base", 0), ("five", 0), ("wild", 0), ("base", 1)]
    assert done.runs[1].parent is done.runs[0]
    assert len({run.key for run in done.runs}) == 4


def test_a_key_follows_recipe_seed_data_and_parent(done):
    run = done.runs[1]
    others = [
        Planned(run.variant, run.recipe.model_copy(update={"seed": 7}), run.data_fingerprint, run.parent),
        Planned(run.variant, run.recipe, "sha256:other", run.parent),
        Planned(run.variant, run.recipe, run.data_fingerprint, None),
    ]
    assert len({run.key, *(each.key for each in others)}) == 4
    renamed = run.recipe.model_copy(update={"name": "another", "description": "words"})
    assert Planned("another", renamed, run.data_fingerprint, run.parent).key == run.key


def test_a_run_is_what_mien_train_makes_of_its_recipe(done, faces, tmp_path):
    alone = RunFolder(tmp_path / "alone")
    run_recipe(done.runs[0].recipe, faces, alone)
    kept = done.finished[done.runs[0].key]
    direct = np.load(alone.scores("validation"))["probabilities"]
    np.testing.assert_allclose(kept.scores().probabilities, direct, atol=1e-7)
    assert kept.record.threads == 1
    assert kept.record.train_faces == (faces.split == "train").sum()
    assert kept.record.seconds == pytest.approx(RunFolder(kept.folder).read_history()[-1]["seconds"])


def test_a_run_that_diverges_is_kept_as_failed_and_the_study_goes_on(done):
    wild = done.finished[done.runs[2].key]
    assert "The loss is" in wild.record.failed
    assert not (wild.folder / "scores_validation.npz").exists()
    assert ("base", 1, "ended") in done.told.lines[done.told.lines.index(("wild", 0, "failed")) :]


def test_what_is_kept_holds_no_weights_and_no_images(done):
    names = {file.name for each in done.finished.values() for file in each.folder.iterdir()}
    assert names == {"run.json", "recipe.toml", "history.csv", "scores_validation.npz"}


def test_finished_runs_are_not_lacking_but_a_lost_parent_is(done, tmp_path):
    assert lacking(done.runs, done.finished, done.yard.out) == []
    without_child = {key: each for key, each in done.finished.items() if key != done.runs[1].key}
    assert lacking(done.runs, without_child, done.yard.out) == [done.runs[1]]
    # Where the parent's weights are not at hand (its results came from elsewhere), it is trained again first.
    assert lacking(done.runs, without_child, tmp_path) == done.runs[:2]
    assert lacking(done.runs, {}, tmp_path, only=["wild"]) == [done.runs[2]]
    assert lacking(done.runs, {}, tmp_path, only=["five"]) == done.runs[:2]


def test_side_by_side_gives_the_same_and_a_second_time_runs_nothing(done, faces, tmp_path, told):
    yard = Yard({48: faces}, tmp_path, tmp_path / "results", {})
    assert run_all(done.runs[:2] + done.runs[3:], yard, told, jobs=2)
    found = read_finished(yard.results)
    assert set(found) == {run.key for run in done.runs} - {done.runs[2].key}
    for key, each in found.items():
        np.testing.assert_array_equal(each.scores().probabilities, done.finished[key].scores().probabilities)
    assert lacking(done.runs, found, tmp_path) == [done.runs[2]]
    ends = [line for line in told.lines if line[2] == "ended"]
    assert ends.index(("base", 0, "ended")) < ends.index(("five", 0, "ended"))


def test_time_is_estimated_from_finished_runs_of_the_same_network(done):
    record = done.finished[done.runs[0].key].record
    (estimate,) = seconds_left([done.runs[3]], {done.runs[0].key: done.finished[done.runs[0].key]}, done.yard)
    # It is done: nothing of it is left.
    assert estimate == 0
    fresh = Planned("base", done.runs[0].recipe.model_copy(update={"seed": 9, "epochs": 3}), "sha256:x")
    (estimate,) = seconds_left([fresh], {done.runs[0].key: done.finished[done.runs[0].key]}, done.yard)
    assert estimate == pytest.approx(3 * record.seconds / record.epochs, rel=1e-6)
    (measured,) = seconds_left([fresh], {}, done.yard)
    assert 0 < measured < 600


def test_a_child_needs_its_parents_seed(tiny_study_file, faces):
    text = tiny_study_file.read_text().replace(
        'seeds = [0]\n\n[[variants]]\nname = "merged"', 'seeds = [5]\n\n[[variants]]\nname = "merged"'
    )
    with pytest.raises(StudyError, match="'five' begins with 'base' of seed 5"):
        plan(parse_study(text, "small"), {48: faces})


def test_data_that_a_variant_cannot_use_is_refused_before_anything_runs(tiny_study):
    faces = synthetic_faces(200, seed=0)
    without = faces.subset(faces.labels != faces.classes.index("sad"))
    bare = type(faces)(
        without.images,
        np.where(without.labels > 4, without.labels - 1, without.labels),
        tuple(name for name in faces.classes if name != "sad"),
        without.split,
        without.source,
        without.rows,
    )
    with pytest.raises(DataError, match="'sad', which the data does not have"):
        plan(tiny_study, {48: bare})


PROGRAM = """
import sys
from pathlib import Path
from mien.data.synthetic import synthetic_faces
from mien.errors import StudyError
from mien.experiments.study import load_study
from mien.experiments.study_runs import Yard, plan, run_all
import torch
torch.set_num_threads(1)

class Quiet:
    def epochs(self, run, done): pass
    def ended(self, run, finished): pass

if __name__ == "__main__":
    out = Path(sys.argv[2])
    yard = Yard({48: synthetic_faces(400, seed=1)}, out, out / "results", {})
    runs = plan(load_study(sys.argv[1]), yard.faces_of_size, ["epochs=40"])[:1]
    try:
        print(run_all(runs, yard, Quiet(), int(sys.argv[3])), flush=True)
    except StudyError as error:
        print(f"StudyError: {error}", flush=True)
"""


def _wait_for_an_epoch(out, process):
    ends = time.monotonic() + 120
    while not list(out.glob("runs/*/last.safetensors")):
        assert process.poll() is None, "the study ended before it could be stopped"
        assert time.monotonic() < ends, "no epoch in two minutes"
        time.sleep(0.05)


@pytest.mark.parametrize(("signal_number", "jobs"), [(signal.SIGKILL, 1), (signal.SIGINT, 1), (signal.SIGINT, 2)])
def test_a_study_that_was_stopped_goes_on(tiny_study_file, faces, tmp_path, told, signal_number, jobs):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    out = tmp_path / "out"
    command = [sys.executable, str(program), str(tiny_study_file), str(out), str(jobs)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    _wait_for_an_epoch(out, process)
    process.send_signal(signal_number)
    printed, complaint = process.communicate(timeout=120)
    assert read_finished(out / "results") == {}
    if signal_number == signal.SIGINT:
        assert (printed.strip(), complaint) == ("False", "")
    from mien.experiments.study import load_study

    yard = Yard({48: faces}, out, out / "results", {})
    (run,) = plan(load_study(str(tiny_study_file)), yard.faces_of_size, ["epochs=40"])[:1]
    before = len(folder_of(run, out).read_history())
    assert 1 <= before < 40
    assert run_all([run], yard, told)
    assert told.lines[1][2] > before
    whole = tmp_path / "whole"
    assert run_all([run], Yard({48: faces}, whole, whole / "results", {}), told)
    resumed, straight = (read_finished(each / "results")[run.key].scores() for each in (out, whole))
    np.testing.assert_array_equal(resumed.probabilities, straight.probabilities)


def test_a_killed_worker_is_one_line(tiny_study_file, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    out = tmp_path / "out"
    command = [sys.executable, str(program), str(tiny_study_file), str(out), "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _wait_for_an_epoch(out, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [int(each) for each in children if "spawn_main" in Path(f"/proc/{each}/cmdline").read_text()]
    assert workers
    for each in workers:
        os.kill(each, signal.SIGKILL)
    printed, complaint = process.communicate(timeout=120)
    assert complaint == ""
    assert printed.startswith("StudyError: A process of the study was killed")
