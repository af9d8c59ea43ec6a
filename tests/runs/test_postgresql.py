"""A sweep on a real PostgreSQL server: workers that are killed, and a server that goes away."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import pytest

from mien.runs import storage as module
from mien.runs.space import parse_space
from mien.runs.storage import TrialStorage

TRIALS = 8
SPACE = f'recipe = "{{recipe}}"\ntrials = {TRIALS}\n[parameters]\noptim.lr = {{{{ log = [0.01, 0.1] }}}}\n'
WORKER = """
import sys
from pathlib import Path
from mien.data.synthetic import synthetic_faces
from mien.runs import storage
from mien.runs.sweep import sweep
from mien.runs.space import load_space
import torch

torch.set_num_threads(1)
storage.HEARTBEAT_SECONDS = 1
space, out, url = sys.argv[1:]
sweep(load_space(space), synthetic_faces(400, seed=1), Path(out), database=url, stale_seconds=10)
"""


class Server:
    """PostgreSQL in a folder of its own, on a Unix socket."""

    def __init__(self, folder):
        self.folder = folder
        self.url = f"postgresql+psycopg://postgres@/postgres?host={folder}"

    def run(self, program, *arguments):
        # PostgreSQL refuses to run as root.
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        command = [program, "-D", str(self.folder / "data"), *arguments]
        subprocess.run(
            command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user
        )

    def start(self):
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        self.run("pg_ctl", "start", "-w", "-t", "120", "-l", str(self.folder / "log"), "-o", options)

    def stop(self):
        self.run("pg_ctl", "stop", "-m", "immediate", "-w")


@pytest.fixture
def server():
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    if not all(map(shutil.which, ("postgres", "pg_ctl", "initdb"))):
        pytest.skip("PostgreSQL's programs are not on the path")
    folder = Path(tempfile.mkdtemp(prefix="mien-pg-"))
    try:
        if os.getuid() == 0:
            try:
                pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("PostgreSQL refuses root, and there is no user postgres")
            shutil.chown(folder, "postgres", "postgres")
        found = Server(folder)
        found.run("initdb", "-U", "postgres", "--auth=trust", "--no-sync")
        found.start()
        yield found
        found.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_worker_waits_for_a_server_that_goes_away_in_mid_trial(server, tmp_path, monkeypatch):
    """Oracle: the trial's own values, read back from the restarted server."""
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.2)
    said = []
    space = parse_space(SPACE.format(recipe="short"), "mine")

    def notify(text):
        said.append(text)
        if len(said) == 1:
            server.start()

    storage = TrialStorage(tmp_path, space, "data", server.url, notify=notify)
    trial = storage.take(TRIALS)
    with storage.alive(trial):
        assert not storage.report(trial, 0.25, 1)
        server.stop()
        time.sleep(3)
        assert not storage.report(trial, 0.5, 2)
    storage.finish(trial, 0.5, outcome="complete", epochs=2, seconds=1.0)
    (kept,) = storage.trials()
    storage.close()
    assert kept.intermediate_values == {1: 0.25, 2: 0.5}
    assert (kept.value, kept.state.name) == (0.5, "COMPLETE")
    assert len(said) == 2


@pytest.mark.slow
def test_killed_workers_lose_no_trial_and_count_none_twice(server, tmp_path, tiny_recipe_text):
    """Oracle: the number of trials, and one finished run folder for each."""
    recipe, space, out = tmp_path / "tiny.toml", tmp_path / "mine.toml", tmp_path / "sweep"
    recipe.write_text(tiny_recipe_text)
    space.write_text(SPACE.format(recipe=recipe))
    command = [sys.executable, "-c", WORKER, str(space), str(out), server.url]

    def start():
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    workers, kills = [start() for _ in range(4)], 0
    try:
        ends = time.monotonic() + 900
        while any(each.poll() is None for each in workers) and time.monotonic() < ends:
            time.sleep(5)
            if kills < 6 and (out / "trials").exists() and workers[kills % 4].poll() is None:
                workers[kills % 4].send_signal(signal.SIGKILL)
                workers[kills % 4].communicate()
                workers[kills % 4] = start()
                kills += 1
        assert [each.poll() for each in workers] == [0] * 4, [each.stderr.read() for each in workers if each.poll()]
    finally:
        for each in workers:
            each.kill()
            each.communicate()
    assert kills
    storage = optuna.storages.RDBStorage(server.url)
    trials = optuna.load_study(study_name="sweep", storage=storage).trials
    storage.remove_session()
    storage.engine.dispose()
    done = [trial for trial in trials if trial.state.name in {"COMPLETE", "PRUNED"}]
    assert len(done) == TRIALS
    assert not [trial for trial in trials if trial.state.name == "RUNNING"]
    histories = sorted((out / "trials").glob("*/history.csv"))
    assert [int(each.parent.name) for each in histories] == sorted(trial.number for trial in done)
    assert len((out / "trials.csv").read_text().splitlines()) == TRIALS + 1
