"""Workers that share a sweep, are killed, interrupted or taken for dead."""

import csv
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from mien.data.dataset import Dataset
from mien.errors import DataError
from mien.run_folder import RunFolder
from mien.runs import sweep as module
from mien.runs.space import load_space
from mien.runs.storage import TrialStorage
from mien.runs.sweep import sweep
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training

WORKER = """
import sys, time
from contextlib import nullcontext
from pathlib import Path
import torch
from mien.data.synthetic import synthetic_faces
from mien.runs.space import load_space
from mien.runs.sweep import sweep
from mien.training.callback import Callback

space, out, mark, other = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])

class Hangs(Callback):
    def on_epoch_end(self, metrics, is_best):
        mark.touch()
        while not other.exists():
            time.sleep(0.02)

torch.set_num_threads(1)
faces = synthetic_faces(400, seed=1)
shown = Hangs()
sweep(load_space(space), faces, out, callback_for=lambda plan: nullcontext(shown), on_trial_end=print)
"""


def age_heartbeats(out):
    """Let every worker of a running trial have been silent for longer than the limit."""
    with closing(sqlite3.connect(out / "trials.db")) as connection, connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-1 hour')")


def folders(out):
    return sorted((out / "trials").iterdir())


def start_worker(*arguments):
    command = [sys.executable, "-c", WORKER, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_a_worker_that_died_after_its_trial_had_ended_leaves_nothing_stale(tmp_path, faces, space_file, monkeypatch):
    """Oracle: the files of an undisturbed sweep."""
    space, whole, out = load_space(str(space_file())), tmp_path / "whole", tmp_path / "out"
    sweep(space, faces, whole)
    writes = []

    def as_far_as_it_came(*arguments, write=module.write_small_files):
        writes.append(arguments)
        if len(writes) < 3:
            write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_small_files", as_far_as_it_came)
        sweep(space, faces, out)
    assert (out / "best.toml").read_bytes() != (whole / "best.toml").read_bytes()
    sweep(space, faces, out)
    assert (out / "best.toml").read_bytes() == (whole / "best.toml").read_bytes()
    assert (out / "trials.csv").read_text().count("\n") == (whole / "trials.csv").read_text().count("\n")


def test_two_processes_share_one_sweep(tmp_path, space_file):
    space, out = space_file(trials=6), tmp_path / "out"
    ready = [tmp_path / "ready-1", tmp_path / "ready-2"]
    # Each stops after its first epoch until the other is there too.
    workers = [start_worker(space, out, ready[0], ready[1]), start_worker(space, out, ready[1], ready[0])]
    said = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    lines = [line for out, _ in said for line in out.splitlines()]
    assert len(lines) == 6
    assert all(out.strip() and not err for out, err in said), said
    assert [folder.name for folder in folders(out)] == [f"{number:04}" for number in range(6)]
    with (out / "trials.csv").open(newline="") as stream:
        values = {line["optim.lr"] for line in csv.DictReader(stream)}
    assert len(values) == 6


def test_a_killed_worker_loses_nothing_but_its_trial_which_goes_on_elsewhere(tmp_path, faces, space_file):
    file, out = space_file(trials=2, epochs=3), tmp_path / "out"
    worker = start_worker(file, out, tmp_path / "first-epoch", tmp_path / "never")
    wait_for(tmp_path / "first-epoch", worker)
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    assert worker.returncode == -signal.SIGKILL
    first_epoch = RunFolder(out / "trials" / "0000").read_history()
    assert len(first_epoch) == 1

    space = load_space(str(file))
    found = sweep(space, faces, out, stale_seconds=1)
    with closing(TrialStorage(out, space, faces.fingerprint_without_test)) as storage:
        states = [trial.state.name for trial in storage.trials()]
    assert states == ["FAIL", "COMPLETE", "COMPLETE"]
    assert [trial.number for trial in found.trials] == [1, 2]
    # One is trial 0 again: its folder, its values, its first epoch. On a busy machine that is trial 1, else trial 2.
    assert [folder.name for folder in folders(out)] == ["0001", "0002"]
    (again,) = (run for run in map(RunFolder, folders(out)) if run.read_environment()["trial"] == 0)
    assert again.read_history()[0] == first_epoch[0]
    alone = train(plan_training(again.read_recipe(), faces), RunFolder(tmp_path / "alone")).history
    assert [line["validation_loss"] for line in again.read_history()] == [
        pytest.approx(line["validation_loss"], rel=1e-6) for line in alone
    ]


class Interrupts(Callback):
    """Presses Ctrl-C in the second epoch of the second trial."""

    def __init__(self):
        self.runs = 0

    def __call__(self, plan):
        self.runs += 1
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def on_step_end(self, epoch, images, loss):
        if (self.runs, epoch) == (2, 2):
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_ends_in_order_and_the_same_command_goes_on(tmp_path, faces, space_file):
    space, out = load_space(str(space_file())), tmp_path / "out"
    handler = signal.getsignal(signal.SIGINT)
    found = sweep(space, faces, out, callback_for=Interrupts())
    assert signal.getsignal(signal.SIGINT) is handler
    assert found.interrupted
    assert [trial.number for trial in found.trials] == [0]
    assert found.page == out / "report.html"
    found = sweep(space, faces, out)
    assert not found.interrupted
    assert [trial.number for trial in found.trials] == [0, 2, 3]
    assert RunFolder(out / "trials" / "0002").read_environment()["trial"] == 1
    # The interruption changes only the numbers of trials: values are those of a sweep without one.
    whole = sweep(space, faces, tmp_path / "whole")
    assert [trial.accuracy for trial in found.trials[:2]] == [trial.accuracy for trial in whole.trials[:2]]
    assert [trial.values for trial in found.trials[:2]] == [trial.values for trial in whole.trials[:2]]


def test_a_trial_that_was_stopped_after_its_last_epoch_is_not_trained_again(tmp_path, faces, space_file):
    space, out = load_space(str(space_file(trials=1))), tmp_path / "out"

    class StopsAtTheEnd(Interrupts):
        def on_epoch_end(self, metrics, is_best):
            if metrics["epoch"] == 2:
                raise KeyboardInterrupt

    class IsSurprised(Interrupts):
        def on_step_end(self, epoch, images, loss):
            pytest.fail("it trains again")

    with pytest.raises(KeyboardInterrupt):
        sweep(space, faces, out, callback_for=StopsAtTheEnd())
    found = sweep(space, faces, out, callback_for=IsSurprised())
    assert [(trial.number, trial.outcome, trial.epochs) for trial in found.trials] == [(1, "complete", 2)]
    assert found.best.accuracy == max(line["validation_accuracy"] for line in RunFolder(folders(out)[0]).read_history())


def test_a_worker_that_was_taken_for_dead_drops_its_trial_and_works_on(tmp_path, faces, space_file):
    space, out, told = load_space(str(space_file(trials=2, epochs=1))), tmp_path / "out", []

    class Loses(Interrupts):
        def on_step_end(self, epoch, images, loss):
            if self.runs == 1:
                age_heartbeats(out)
                with closing(TrialStorage(out, space, faces.fingerprint_without_test)) as other:
                    assert other.take(0) is None
                self.runs = 2

    found = sweep(space, faces, out, callback_for=Loses(), on_trial_end=told.append)
    assert told[0].startswith("trial 0: another worker")
    assert [trial.number for trial in found.trials] == [1, 2]
    assert [folder.name for folder in folders(out)] == ["0001", "0002"]


def test_a_trial_is_queued_again_when_something_else_stops_the_worker(tmp_path, faces, space_file):
    """Faces of a wrong size stand for a full disk: no trial's fault, and not to be counted."""
    space, out = load_space(str(space_file(trials=1, epochs=1))), tmp_path / "out"
    small = Dataset(faces.images[:, :40, :40], faces.labels, faces.classes, faces.split, faces.source, faces.rows)
    with pytest.raises(DataError):
        sweep(space, small, out)
    with closing(TrialStorage(out, space, small.fingerprint_without_test)) as storage:
        states = [trial.state.name for trial in storage.trials()]
    assert states == ["FAIL", "WAITING"]
