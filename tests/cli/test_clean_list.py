"""--clean as users type it: what a list changes, in training, evaluation, reports and a second audit."""

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from mien.api.audit import audit
from mien.base.model_file import read_manifest
from mien.data.parquet import write_parquet
from mien.data.read import load_dataset


@pytest.fixture(scope="module")
def leaky(faces, tmp_path_factory):
    """Data whose first face of validation is the first of train, and the list of what an audit would change."""
    train, validation = (np.flatnonzero(faces.split == split)[0] for split in ("train", "validation"))
    images = np.asarray(faces.images).copy()
    images[validation] = images[train]
    folder = tmp_path_factory.mktemp("leaky")
    write_parquet(replace(faces, images=images), folder / "leaky.parquet")
    audit(folder / "leaky.parquet").write(folder)
    return folder / "leaky.parquet", folder / "clean.toml"


def test_clean_names_a_model_trained_on_dropped_samples(mien, leaky, faces, tiny_run, tmp_path):
    """The model learnt from the data as it was: its leaked row is counted, though the list takes the train copy out."""
    data, clean = leaky
    arguments = ("evaluate", tiny_run.path, "--data", data)
    shown = mien(*arguments, "--out", tmp_path / "ev")
    assert "without leaked samples" in shown.out
    assert "without leaked samples" in (tmp_path / "ev" / "report.html").read_text(encoding="utf-8")
    plain = json.loads((tmp_path / "ev" / "metrics.json").read_text())["subsets"]
    cleaned = json.loads(mien(*arguments, "--clean", clean, "--json").out)["subsets"]
    rows = int((faces.split == "validation").sum())
    assert [part["count"] for part in plain[:2]] == [part["count"] for part in cleaned[:2]] == [rows, rows - 1]
    report = mien("report", tmp_path / "ev", "--data", data, "--no-explain", "--out", tmp_path / "rep")
    assert report.code == 0, report.err
    assert (tmp_path / "rep" / "tables" / "without-copies.csv").is_file()


def test_evaluate_ignores_the_temperature_on_uncleaned_data(mien, leaky, recipe_file, tmp_path):
    """What it was fitted on is there. Oracle: the data's fingerprint."""
    data, clean, run = *leaky, tmp_path / "run"
    trained = mien("train", recipe_file, "--data", data, "--clean", clean, "--out", run, "--set", "epochs=1")
    assert trained.code == 0, trained.err
    learnt = load_dataset(data).fingerprint_without_test
    assert read_manifest(run / "model.onnx").cleaned_from == (learnt,)
    assert learnt in mien("info", run).out.replace("\n", "").replace(" ", "")
    measured = mien("evaluate", run, "--data", data)
    assert "without the model's temperature, because it was fitted on these samples" in " ".join(measured.out.split())


def test_ledger_names_the_clean_list(mien, own_run, leaky):
    data, clean = leaky
    test = ("evaluate", own_run.path, "--data", data, "--split", "test")
    assert mien(*test).code == mien(*test, "--clean", clean).code == 0
    plain, under = (json.loads(line) for line in (own_run.path / "test_ledger.jsonl").read_text().splitlines()[-2:])
    assert not [name for name in plain if name.startswith("clean")]
    assert under["clean"] == str(clean)
    assert under["clean_sha256"] == sha256(clean.read_bytes()).hexdigest()
