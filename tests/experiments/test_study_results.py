"""Oracles: what was written, and files with one fault each."""

from __future__ import annotations

import json
import shutil

import pytest

from mien.errors import StudyError
from mien.experiments.study_results import read_finished, scores_of


def test_finished_runs_are_found_by_their_key(done, tmp_path):
    assert read_finished(tmp_path / "nothing") == {}
    assert set(done.finished) == {run.key for run in done.runs}
    run = done.runs[0]
    record = done.finished[run.key].record
    assert (record.variant, record.seed, record.recipe_digest) == ("base", 0, run.recipe.digest)
    assert record.data_fingerprint == run.data_fingerprint


def test_damaged_records_and_foreign_scores_are_named(done, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(done.yard.results, results)
    finished = read_finished(results)[done.runs[0].key]
    file = finished.folder / "run.json"
    whole = file.read_text()
    file.write_text(whole[:40])
    with pytest.raises(StudyError, match=r"run\.json is damaged"):
        read_finished(results)
    file.write_text(json.dumps({**json.loads(whole), "seconds": None}))
    with pytest.raises(StudyError, match=r"run\.json is damaged"):
        read_finished(results)
    file.write_text(json.dumps({**json.loads(whole), "data_fingerprint": "sha256:other"}))
    with pytest.raises(StudyError, match="are of other data"):
        scores_of([read_finished(results)[done.runs[0].key]])
    (finished.folder / "scores_validation.npz").write_bytes(b"no")
    with pytest.raises(StudyError, match="Remove the folder"):
        scores_of([finished])
