"""Oracles: what was written, and files with one fault each."""

from __future__ import annotations

import json
import shutil

from mien.base.errors import StudyError
from mien.runs.plan import read_completed
from support import raises


def test_completed_runs_are_read_by_key(done, tmp_path):
    assert read_completed(tmp_path / "nothing") == {}
    assert set(done.finished) == {run.key for run in done.runs}
    run = done.runs[0]
    record = done.finished[run.key].record
    assert (record.variant, record.seed) == ("base", 0)
    assert record.data_fingerprint == run.data_fingerprint


def test_damaged_results_are_named(done, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(done.context.results, results)
    finished = read_completed(results)[done.runs[0].key]
    file = finished.folder / "run.json"
    whole = file.read_text()
    file.write_text(whole[:40])
    with raises(StudyError, "study-damaged"):
        read_completed(results)
    file.write_text(json.dumps({**json.loads(whole), "seconds": None}))
    with raises(StudyError, "study-damaged"):
        read_completed(results)
    (finished.folder / "predictions_validation.npz").write_bytes(b"no")
    with raises(StudyError, "study-damaged"):
        finished.predictions()
