"""Oracles: what finished runs took, and the counts of cores, runs and jobs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mien.runs import duration as study_time
from mien.runs.duration import seconds_left, side_by_side
from mien.runs.store import PlannedRun


def test_time_is_estimated_from_finished_runs_of_the_same_network(done, monkeypatch):
    record = done.finished[done.runs[0].key].record
    measure = {done.runs[0].key: done.finished[done.runs[0].key]}
    # It is done: nothing of it is left.
    assert seconds_left([done.runs[4]], measure, done.context.out) == [0]
    run = done.runs[0]
    recipe = run.recipe.model_copy(update={"seed": 9, "epochs": 3})
    fresh = PlannedRun("base", recipe, "sha256:x", run.classes, run.train_faces)
    assert seconds_left([fresh], measure, done.context.out) == [pytest.approx(3 * record.seconds / record.epochs)]
    monkeypatch.setattr("mien.runs.duration.training_throughput", lambda recipe, classes, seconds: 50.0)
    assert seconds_left([fresh], {}, done.context.out) == [pytest.approx(3 * run.train_faces / 50)]
    # What a GPU took says nothing about a CPU.
    elsewhere = record.model_copy(update={"machine": {**record.machine, "device": "cuda:0"}})
    # Nor what more threads took about one.
    busier = record.model_copy(update={"threads": 9})
    for another in (elsewhere, busier):
        other = {run.key: replace(measure[run.key], record=another)}
        assert seconds_left([fresh], other, done.context.out) == [pytest.approx(3 * run.train_faces / 50)]


@pytest.mark.parametrize(("jobs", "runs", "at_once"), [(1, 9, 1), (2, 9, 2), (8, 9, 4), (4, 3, 3), (2, 0, 1)])
def test_no_more_go_at_once_than_there_are_runs_and_cores(monkeypatch, jobs, runs, at_once):
    monkeypatch.setattr(study_time, "available_cores", lambda: 4)
    assert side_by_side(jobs, runs) == at_once
