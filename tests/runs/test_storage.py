"""Oracle: the rules of storage.py, by hand, with two workers in one process."""

import sqlite3
import sys
import threading
import time
from contextlib import closing

import optuna
import pytest

from mien.errors import MissingExtraError, RunError
from mien.runs import storage as module
from mien.runs.space import parse_space
from mien.runs.storage import TrialLostError, TrialStorage
from support import raises


@pytest.fixture
def space():
    return parse_space('recipe = "short"\ntrials = 5\n[parameters]\noptim.lr = { log = [0.01, 1.0] }\n', "mine")


@pytest.fixture
def opened(tmp_path, space):
    """Open the storage of one folder, as another worker does."""
    workers = []

    def worker(folder=tmp_path, space=space, data="data", **options):
        workers.append(TrialStorage(folder, space, data, **options))
        return workers[-1]

    yield worker
    for each in workers:
        each.close()


def age_heartbeats(folder, seconds):
    """Let the last heartbeat of every trial be so long ago, in the database itself."""
    with closing(sqlite3.connect(folder / "trials.db")) as connection, connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', ?)", (f"-{seconds} seconds",))


def states(storage):
    return [trial.state.name for trial in storage.trials()]


def finish(storage, trial, accuracy=0.5):
    storage.finish(trial, accuracy, outcome="complete", epochs=1, seconds=1.0)


def test_the_number_of_trials_holds_over_workers_that_ask_at_once(tmp_path, space, opened):
    taken = []

    def work():
        storage = opened()
        while (trial := storage.take(7)) is not None:
            taken.append((trial.number, trial.params["optim.lr"]))
            finish(storage, trial)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(number for number, _ in taken) == list(range(7))
    # Workers that shared a seed would draw the same values.
    assert len({value for _, value in taken}) == 7


def test_the_values_follow_from_the_seed_and_the_number(tmp_path, opened):
    def values(folder, restart):
        folder.mkdir()
        storage, drawn = opened(folder), []
        for _ in range(4):
            if restart:
                storage = opened(folder)
            trial = storage.take(9)
            drawn.append(trial.params)
            finish(storage, trial)
        return drawn

    assert values(tmp_path / "one", False) == values(tmp_path / "two", True)


def test_a_silent_trial_is_queued_again_with_its_values(tmp_path, opened):
    dead, other = opened(), opened()
    lost = dead.take(1)
    assert other.take(1) is None
    assert other.running() == [0]
    age_heartbeats(tmp_path, 55)
    assert other.take(1) is None
    age_heartbeats(tmp_path, 65)
    again = other.take(1)
    assert again.params == lost.params
    assert [other.continues(trial) for trial in other.trials()] == [[], [0]]
    assert states(other) == ["FAIL", "RUNNING"]
    with pytest.raises(TrialLostError):
        dead.report(lost, 0.5, 1)
    with pytest.raises(TrialLostError):
        finish(dead, lost)
    dead.give_back(lost)
    assert states(other) == ["FAIL", "RUNNING"]
    finish(other, again)
    assert [trial.number for trial in other.done()] == [1]
    assert dead.take(1) is None


def test_a_trial_with_heartbeats_is_left_alone(tmp_path, opened, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 1)
    worker, other = opened(), opened()
    trial = worker.take(1)
    with worker.alive(trial):
        until = time.monotonic() + 30
        for _ in range(2):
            age_heartbeats(tmp_path, 1000)
            while heartbeat_age(tmp_path) > 60:
                assert time.monotonic() < until, "no heartbeat"
                time.sleep(0.05)
        assert other.take(1) is None
    finish(worker, trial)
    assert states(other) == ["COMPLETE"]


def heartbeat_age(folder):
    with closing(sqlite3.connect(folder / "trials.db")) as connection:
        query = "SELECT strftime('%s', 'now') - strftime('%s', heartbeat) FROM trial_heartbeats"
        return connection.execute(query).fetchone()[0]


def test_a_trial_whose_worker_died_while_it_was_started_is_run(tmp_path, opened, monkeypatch):
    """Before its first heartbeat no heartbeat can become stale."""

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(optuna.storages.RDBStorage, "record_heartbeat", die)
        with pytest.raises(KeyboardInterrupt):
            opened().take(1)
    storage = opened()
    assert states(storage) == ["RUNNING"]
    values = storage.trials()[0].params
    assert storage.take(1).params == values
    assert states(storage) == ["FAIL", "RUNNING"]


def test_interruptions_change_no_later_trials_values(tmp_path, opened, monkeypatch):
    """Oracle: the values of a sweep that nobody interrupted; a worker dies before, within and after its first draw."""
    ranges = "optim.lr = { log = [0.01, 1.0] }\nlabel_smoothing = { uniform = [0.0, 0.3] }\n"
    text = f'recipe = "short"\ntrials = 9\n[parameters]\n{ranges}'
    space = parse_space(text, "two")
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()

    def values(storage, count):
        taken = [storage.take(9) for _ in range(count)]
        for each in taken:
            finish(storage, each)
        return [each.params for each in taken]

    wanted = values(opened(tmp_path / "whole", space), 4)
    calls = []

    def die(trial, key, *rest, whole=optuna.Trial._suggest):
        calls.append(key)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(trial, key, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Trial, "_suggest", die)
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path / "broken", space).take(9)
    storage = opened(tmp_path / "broken", space)
    assert [len(each.params) for each in storage.trials()] == [1]
    first = storage.take(9)
    assert first.params == wanted[0]
    storage.give_back(first)
    assert values(storage, 4) == wanted


def test_what_is_given_back_is_the_next_to_be_taken(opened):
    storage = opened()
    first = storage.take(5)
    finish(storage, storage.take(5))
    storage.give_back(first)
    assert states(storage) == ["FAIL", "COMPLETE", "WAITING"]
    assert storage.take(5).params == first.params
    assert states(storage) == ["FAIL", "COMPLETE", "RUNNING"]


def test_a_foreign_or_damaged_file_is_refused_and_kept(tmp_path, opened):
    path = tmp_path / "trials.db"
    for content in (b"hello\n", b"", b"SQLite format 3\0 and no more"):
        path.write_bytes(content)
        with raises(RunError, "sweep-database"):
            opened()
        assert path.read_bytes() == content
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE mine (word TEXT)")
    content = path.read_bytes()
    with raises(RunError, "sweep-database"):
        opened()
    assert path.read_bytes() == content


def test_the_database_of_another_space_or_of_other_data_is_refused_and_kept(tmp_path, opened):
    storage = opened()
    finish(storage, storage.take(1))
    storage.close()
    before = (tmp_path / "trials.db").read_bytes()
    other = parse_space('recipe = "short"\ntrials = 5\n[parameters]\noptim.lr = { log = [0.01, 2.0] }\n', "mine")
    with raises(RunError, "sweep-other-space"):
        opened(space=other)
    with raises(RunError, "sweep-other-data"):
        opened(data="faces")
    assert (tmp_path / "trials.db").read_bytes() == before


def test_a_creation_that_was_killed_leaves_no_database(tmp_path, opened, monkeypatch):
    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrialStorage, "_describe", die)
        with pytest.raises(KeyboardInterrupt):
            opened()
    assert not (tmp_path / "trials.db").exists()
    assert opened().take(1).number == 0


def test_no_message_holds_a_password(tmp_path, opened):
    with raises(RunError, "sweep-database", "postgresql://ann:***@127.0.0.1:1/x") as caught:
        opened(tmp_path, url="postgresql://ann:s3cret@127.0.0.1:1/x")
    assert "s3cret" not in str(caught.value)


def test_a_missing_driver_of_postgresql_names_the_extra(tmp_path, opened, monkeypatch):
    for package in ("psycopg", "psycopg2", "MySQLdb"):
        monkeypatch.setitem(sys.modules, package, None)
    with raises(MissingExtraError, "missing-extra", "ann:***@", "psycopg", "pip install 'mien[postgresql]'") as caught:
        opened(tmp_path, url="postgresql://ann:s3cret@127.0.0.1:1/x")
    assert "s3cret" not in str(caught.value)
    # Drivers that the extra does not bring.
    for kind in ("postgresql+psycopg2", "mysql"):
        with raises(RunError, "sweep-database"):
            opened(tmp_path, url=f"{kind}://127.0.0.1:1/x")


def test_another_database_holds_several_sweeps_by_the_names_of_their_folders(tmp_path, opened):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        storage = opened(tmp_path / name, data=name, url=url)
        finish(storage, storage.take(2))
        assert len(opened(tmp_path / name, data=name, url=url).done()) == 1
        assert not (tmp_path / name / "trials.db").exists()
    with raises(RunError, "sweep-other-data"):
        opened(tmp_path / "one", data="two", url=url)
    with raises(RunError, "sweep-database"):
        opened(tmp_path / "one", url="postgresql+nothing://host/db")
    with raises(RunError, "sweep-database"):
        opened(tmp_path / "one", url=f"sqlite:///{tmp_path}/nowhere/x.db")


def test_importance_is_of_the_key_that_matters(opened):
    space = parse_space(
        'recipe = "short"\ntrials = 5\n[parameters]\n'
        "optim.momentum = { uniform = [0.0, 0.9] }\nlabel_smoothing = { uniform = [0.0, 0.9] }\n",
        "mine",
    )
    storage = opened(space=space)
    while len(storage.done()) < 7:
        trial = storage.take(30)
        finish(storage, trial, trial.params["optim.momentum"])
    assert storage.importance() == {}
    while (trial := storage.take(30)) is not None:
        finish(storage, trial, trial.params["optim.momentum"])
    found = storage.importance()
    assert list(found) == ["optim.momentum", "label_smoothing"]
    assert sum(found.values()) <= 1
    assert found["optim.momentum"] > 0.9
