"""Workers that share a sweep, are killed, interrupted or taken for dead."""

import csv
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from children import CHILDREN, work
from mien.base.run_folder import RunFolder
from mien.runs.space import load_space
from mien.runs.sweep import search
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training


def age_heartbeats(out):
    """Let every worker of a running trial have been silent for longer than the limit."""
    with closing(sqlite3.connect(out / "trials.db")) as connection, connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-1 hour')")


def folders(out):
    return sorted((out / "trials").iterdir())


def stored(out):
    return optuna.load_study(study_name="sweep", storage=f"sqlite:///{out / 'trials.db'}").trials


def start_worker(*arguments):
    worker = CHILDREN.Process(target=work, args=arguments)
    worker.start()
    return worker


def test_two_processes_share_one_sweep(tmp_path, space_file):
    space, out = space_file(trials=6), tmp_path / "out"
    ready = [tmp_path / "ready-1", tmp_path / "ready-2"]
    # Each stops after its first epoch until the other is there too.
    workers = [start_worker(space, out, *marks, marks[0]) for marks in (ready, ready[::-1])]
    for worker in workers:
        worker.join()
    said = [[Path(f"{mark}{suffix}").read_text() for suffix in (".out", ".err")] for mark in ready]
    assert [worker.exitcode for worker in workers] == [0, 0], said
    lines = [line for printed, _ in said for line in printed.splitlines()]
    # Two that begin a trial at the same moment do not know of each other.
    assert len(lines) in {6, 7}
    assert all(printed.strip() and not complaint for printed, complaint in said), said
    assert [folder.name for folder in folders(out)] == [f"{number:04}" for number in range(len(lines))]
    with (out / "trials.csv").open(newline="") as stream:
        values = {line["optim.lr"] for line in csv.DictReader(stream)}
    # Workers that shared a seed would draw the same values.
    assert len(values) == len(lines)


def test_a_killed_worker_loses_nothing_but_its_trial_which_goes_on_elsewhere(tmp_path, faces, space_file):
    file, out = space_file(trials=2, epochs=3), tmp_path / "out"
    begun = tmp_path / "first-epoch"
    worker = start_worker(file, out, begun, tmp_path / "never", begun)
    while not begun.exists():
        assert worker.is_alive(), Path(f"{begun}.err").read_text()
        time.sleep(0.02)
    worker.kill()
    worker.join()
    first_epoch = RunFolder(out / "trials" / "0000").read_history()
    assert len(first_epoch) == 1
    age_heartbeats(out)

    found = search(load_space(str(file)), faces, out)
    assert sorted(trial.state.name for trial in stored(out)) == ["COMPLETE", "COMPLETE", "FAIL"]
    assert sorted(trial.number for trial in found.trials) == [0, 2]
    # Trial 0 goes on in its folder, with its values, after its first epoch.
    again = RunFolder(out / "trials" / "0000")
    assert again.read_history()[0] == first_epoch[0]
    alone = train(plan_training(again.read_recipe(), faces), RunFolder(tmp_path / "alone")).history
    assert [line["validation_loss"] for line in again.read_history()] == [
        pytest.approx(line["validation_loss"], rel=1e-6) for line in alone
    ]


class Interrupts(Callback):
    """Presses Ctrl-C in the second epoch of the second trial."""

    def __init__(self):
        self.runs = 0

    def on_train_begin(self, training):
        self.runs += 1

    def on_step_end(self, epoch, images, loss):
        if (self.runs, epoch) == (2, 2):
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_ends_in_order_and_the_same_command_goes_on(tmp_path, faces, space_file):
    """Oracle: a sweep without an interruption."""
    space, out = load_space(str(space_file())), tmp_path / "out"
    handler = signal.getsignal(signal.SIGINT)
    found = search(space, faces, out, callback=Interrupts())
    assert signal.getsignal(signal.SIGINT) is handler
    assert found.was_stopped
    assert [trial.number for trial in found.trials] == [0]
    found = search(space, faces, out)
    assert not found.was_stopped
    assert [folder.name for folder in folders(out)] == ["0000", "0001", "0003"]
    whole = search(space, faces, tmp_path / "whole")
    assert [trial.accuracy for trial in found.trials] == [trial.accuracy for trial in whole.trials]
    assert [trial.values for trial in found.trials] == [trial.values for trial in whole.trials]
