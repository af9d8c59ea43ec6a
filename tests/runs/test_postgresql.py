"""A sweep on a real PostgreSQL server: workers that are killed, and a server that goes away."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, text

from mien.base.errors import RunError
from mien.base.run_folder import RunFolder
from mien.data.synthetic import synthetic_faces
from mien.runs.space import load_space
from mien.runs.sweep import search
from mien.training.callback import Callback
from support import raises

TRIALS = 8
SPACE = f'recipe = "{{recipe}}"\ntrials = {TRIALS}\n[parameters]\noptim.lr = {{{{ log = [0.01, 0.1] }}}}\n'


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
def test_a_server_that_goes_away_in_mid_trial_is_one_line_and_the_sweep_goes_on(server, tmp_path, tiny_recipe_text):
    """Oracle: the trial's run folder, which has one epoch at the fault and all of them at the end."""
    recipe, space, out = tmp_path / "tiny.toml", tmp_path / "mine.toml", tmp_path / "sweep"
    recipe.write_text(tiny_recipe_text)
    space.write_text(SPACE.format(recipe=recipe).replace(f"trials = {TRIALS}", "trials = 1"))
    loaded, faces = load_space(str(space)), synthetic_faces(400, seed=1)

    class Stops(Callback):
        def on_epoch_end(self, metrics, is_best):
            server.stop()

    with raises(RunError, "sweep-database"):
        search(loaded, faces, out, database=server.url, callback=Stops())
    assert len(RunFolder(out / "trials" / "0000").read_history()) == 1
    server.start()
    # As if the worker had been silent for longer than the limit.
    with create_engine(server.url, poolclass=NullPool).begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour'"))
    (trial,) = search(loaded, faces, out, database=server.url).trials
    assert (trial.number, trial.outcome, trial.epochs) == (0, "complete", 2)
