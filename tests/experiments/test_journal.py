"""Oracle: the rules of journal.py, by hand, with two workers in one process."""

import json
import threading
import time
from types import SimpleNamespace

import pytest
from optuna.trial import TrialState

from mien.errors import RunError
from mien.experiments import journal as room
from mien.experiments.journal import Journal, TrialLostError
from mien.experiments.space import parse_space


@pytest.fixture
def space():
    return parse_space('recipe = "short"\ntrials = 5\n[parameters]\noptim.lr = { log = [0.01, 1.0] }\n', "mine")


@pytest.fixture
def clock(monkeypatch):
    """The clock of whoever looks for signs of life; a list of one number of seconds."""
    now = [0.0]
    monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def states(journal):
    return [trial.state.name for trial in journal.trials()]


def finish(journal, trial, accuracy=0.5):
    journal.finish(trial, accuracy, end="complete", epochs=1, seconds=1.0)


def test_the_number_of_trials_holds_over_workers_that_ask_at_once(tmp_path, space):
    taken = []

    def work():
        journal = Journal(tmp_path / "journal.log", space, "data")
        while (trial := journal.take(7)) is not None:
            taken.append((trial.number, trial.params["optim.lr"]))
            finish(journal, trial)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(number for number, _ in taken) == list(range(7))
    # Workers that shared a seed would draw the same values.
    assert len({value for _, value in taken}) == 7


def test_the_values_follow_from_the_seed_and_the_number(tmp_path, space):
    def values(path, restart):
        journal = Journal(path, space, "data")
        drawn = []
        for _ in range(4):
            if restart:
                journal = Journal(path, space, "data")
            trial = journal.take(9)
            drawn.append(trial.params)
            finish(journal, trial)
        return drawn

    assert values(tmp_path / "one.log", False) == values(tmp_path / "two.log", True)


def test_a_silent_trial_is_queued_again_with_its_values(tmp_path, space, clock):
    path = tmp_path / "journal.log"
    dead, other = Journal(path, space, "data"), Journal(path, space, "data")
    lost = dead.take(1)
    assert other.take(1) is None
    assert other.running() == [0]
    clock[0] += 59
    assert other.take(1) is None
    clock[0] += 2
    again = other.take(1)
    assert again.params == lost.params
    assert again.user_attrs["goes_on"] == 0
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


def test_a_trial_with_signs_of_life_is_left_alone(tmp_path, space, clock, monkeypatch):
    monkeypatch.setattr(room, "BEAT_SECONDS", 0.01)
    path = tmp_path / "journal.log"
    worker, other = Journal(path, space, "data"), Journal(path, space, "data")
    trial = worker.take(1)
    with worker.alive(trial):
        for _ in range(3):
            seen = other.trials()[0].user_attrs["beat"]
            assert other.take(1) is None
            until = time.monotonic() + 30
            while other.trials()[0].user_attrs["beat"] <= seen + 1:
                assert time.monotonic() < until, "no sign of life"
                time.sleep(0.01)
            clock[0] += 1000
    assert other.take(1) is None
    finish(worker, trial)
    assert states(other) == ["COMPLETE"]


def test_what_is_given_back_is_the_next_to_be_taken(tmp_path, space):
    journal = Journal(tmp_path / "journal.log", space, "data")
    first = journal.take(5)
    finish(journal, journal.take(5))
    journal.give_back(first)
    assert states(journal) == ["FAIL", "COMPLETE", "WAITING"]
    assert journal.take(5).params == first.params
    assert states(journal) == ["FAIL", "COMPLETE", "RUNNING"]


def entry(**values):
    return json.dumps(values) + "\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("hello\n", "is not the journal of a sweep"),
        ("hello", "is not the journal of a sweep"),
        (entry(op_code=0, study_name="mine", directions=[2]), "is not the journal of a sweep"),
        ("[1]\n", "is not the journal of a sweep"),
        (entry(op_code=0, study_name="mien sweep", directions=[2], worker_id="a") + "{}\n", "is damaged at line 2"),
        (entry(op_code=0, study_name="mien sweep", directions=[2], worker_id="a") + "{\n{}\n", "is damaged at line 2"),
    ],
)
def test_a_foreign_or_damaged_file_is_refused_and_kept(tmp_path, space, content, words):
    path = tmp_path / "journal.log"
    path.write_text(content)
    with pytest.raises(RunError, match=words):
        Journal(path, space, "data")
    assert path.read_text() == content


def test_the_journal_of_another_space_or_of_other_data_is_refused_and_kept(tmp_path, space):
    path = tmp_path / "journal.log"
    journal = Journal(path, space, "data")
    finish(journal, journal.take(1))
    before = path.read_bytes()
    other = parse_space('recipe = "short"\ntrials = 5\n[parameters]\noptim.lr = { log = [0.01, 2.0] }\n', "mine")
    with pytest.raises(RunError, match="of another space"):
        Journal(path, other, "data")
    with pytest.raises(RunError, match="of other data"):
        Journal(path, space, "faces")
    assert path.read_bytes() == before


def test_a_line_that_a_full_disk_cut_short_is_the_only_one_that_is_lost(tmp_path, space):
    path = tmp_path / "journal.log"
    journal = Journal(path, space, "data")
    finish(journal, journal.take(5))
    living = Journal(path, space, "data")
    with path.open("a") as stream:
        stream.write('{"op_code": 4, "worker')
    finish(living, living.take(5))
    assert [trial.state for trial in Journal(path, space, "data").trials()] == [TrialState.COMPLETE] * 2


def test_a_study_that_was_killed_while_it_was_made_is_made_now(tmp_path, space):
    path = tmp_path / "journal.log"
    Journal(path, space, "data")
    first = path.read_text().splitlines(keepends=True)[0]
    path.write_text(first)
    assert Journal(path, space, "data").take(1).number == 0


def test_importance_is_of_the_key_that_matters(tmp_path):
    space = parse_space(
        'recipe = "short"\ntrials = 5\n[parameters]\n'
        "optim.momentum = { uniform = [0.0, 0.9] }\nlabel_smoothing = { uniform = [0.0, 0.9] }\n",
        "mine",
    )
    journal = Journal(tmp_path / "journal.log", space, "data")
    while len(journal.done()) < 7:
        trial = journal.take(30)
        finish(journal, trial, trial.params["optim.momentum"])
    assert journal.importance() == {}
    while (trial := journal.take(30)) is not None:
        finish(journal, trial, trial.params["optim.momentum"])
    found = journal.importance()
    assert list(found) == ["optim.momentum", "label_smoothing"]
    assert sum(found.values()) <= 1
    assert found["optim.momentum"] > 0.9
