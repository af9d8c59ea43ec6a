"""--clean as users type it: what a list changes, in training, evaluation, reports and a second audit."""

import json
import shutil
import tomllib
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from mien.base.model_file import read_manifest
from mien.data.clean import Change, Clean, write_clean
from mien.data.parquet import write_parquet
from mien.data.read import load_dataset
from mien.evaluation.predictions import write_predictions
from support import make_predictions, refused


@pytest.fixture
def leaky(faces, tmp_path):
    """The first face of validation is the first of train; in ``leaky.parquet``."""
    train, validation = (np.flatnonzero(faces.split == split)[0] for split in ("train", "validation"))
    images = np.asarray(faces.images).copy()
    images[validation] = images[train]
    made = replace(faces, images=images)
    write_parquet(made, tmp_path / "leaky.parquet")
    return made


def test_a_clean_list_and_a_model_that_saw_what_it_drops(mien, leaky, faces, tiny_run, tmp_path):
    """The model learnt from the data as it was: its leaked row is counted, though the list takes the train copy out."""
    assert mien("audit", tmp_path / "leaky.parquet", "--out", tmp_path / "out", "-q").code == 0
    arguments = ("evaluate", tiny_run.path, "--data", tmp_path / "leaky.parquet", "--json")
    plain = json.loads(mien(*arguments).out)["subsets"]
    cleaned = json.loads(mien(*arguments, "--clean", tmp_path / "out" / "clean.toml").out)["subsets"]
    rows = int((faces.split == "validation").sum())
    assert [part["count"] for part in plain[:2]] == [part["count"] for part in cleaned[:2]] == [rows, rows - 1]
    shown = mien("evaluate", tiny_run.path, "--data", tmp_path / "leaky.parquet", "--out", tmp_path / "ev")
    assert "without leaked samples" in shown.out
    assert "without leaked samples" in (tmp_path / "ev" / "report.html").read_text(encoding="utf-8")
    assert [part["count"] for part in json.loads((tmp_path / "ev" / "metrics.json").read_text())["subsets"]][
        1
    ] == rows - 1
    short = ("--no-explain",)
    report = mien("report", tmp_path / "ev", "--data", tmp_path / "leaky.parquet", *short, "--out", tmp_path / "rep")
    assert report.code == 0, report.err
    assert (tmp_path / "rep" / "tables" / "without-copies.csv").is_file()


def test_a_faulty_line_is_told_with_the_name_of_its_list(mien, faces, tmp_path):
    data, mine = tmp_path / "faces.parquet", tmp_path / "mine.toml"
    write_parquet(faces, data)
    at = np.flatnonzero((faces.split == "train") & (faces.labels == faces.classes.index("fear")))[0]
    line = {"row": int(faces.rows[at]), "split": "train", "kind": "doubt", "reason": "", "source": ""}
    for label, to, code, said in (
        ("sad", "happy", "clean-row-differs", "fear"),
        ("fear", "hapy", "class-missing", "'happy'"),
    ):
        write_clean(mine, Clean(faces.fingerprint, (Change(label=label, to=to, **line),)))
        refused(mien("data", "info", data, "--clean", mine), code, mine, said)


def test_a_model_trained_on_cleaned_data_is_measured_without_its_temperature_on_the_data_as_it_was(
    mien, leaky, recipe_file, tmp_path
):
    """What it was fitted on is there. Oracle: the data's fingerprint."""
    data, clean, run = tmp_path / "leaky.parquet", tmp_path / "out" / "clean.toml", tmp_path / "run"
    assert mien("audit", data, "--out", tmp_path / "out", "-q").code == 0
    trained = mien("train", recipe_file, "--data", data, "--clean", clean, "--out", run, "--set", "epochs=1")
    assert trained.code == 0, trained.err
    learnt = leaky.fingerprint_without_test
    assert read_manifest(run / "model.onnx").cleaned_from == (learnt,)
    assert learnt in mien("info", run).out.replace("\n", "").replace(" ", "")
    measured = mien("evaluate", run, "--data", data)
    assert "without the model's temperature, which was fitted on these samples" in " ".join(measured.out.split())


def test_the_ledger_names_the_list_that_a_test_metric_was_made_under(mien, tiny_run, face_parquet, tmp_path):
    run, clean = tmp_path / "run", tmp_path / "out" / "clean.toml"
    shutil.copytree(tiny_run.path, run)
    assert mien("audit", face_parquet, "--out", tmp_path / "out", "-q").code == 0
    test = ("evaluate", run, "--data", face_parquet, "--split", "test")
    assert mien(*test).code == mien(*test, "--clean", clean).code == 0
    plain, under = (json.loads(line) for line in (run / "test_ledger.jsonl").read_text().splitlines()[-2:])
    assert not [name for name in plain if name.startswith("clean")]
    assert under["clean"] == str(clean)
    assert under["clean_sha256"] == sha256(clean.read_bytes()).hexdigest()


def test_a_list_made_of_cleaned_data_is_for_the_data_on_disk(mien, flawed_folder, tmp_path):
    """The result is that of both lists in turn, except for a sample whose line somebody deleted in between."""
    assert mien("audit", flawed_folder, "--skip-bad", "--out", tmp_path / "first").code == 0
    first = tmp_path / "first" / "clean.toml"
    lines = first.read_text().splitlines(keepends=True)
    kept_out = next(line for line in lines if "zcopy.png" in line)
    first.write_text("".join(line for line in lines if line != kept_out))
    again = mien("audit", flawed_folder, "--skip-bad", "--clean", first, "--out", tmp_path / "second", "--json")
    assert again.code == 0, again.err
    content = json.loads(again.out)
    second = tomllib.loads((tmp_path / "second" / "clean.toml").read_text())
    before = tomllib.loads("".join(lines))
    assert second["data_fingerprint"] == before["data_fingerprint"]
    assert {line["row"] for line in second["drop"]} == {line["row"] for line in before["drop"]}
    assert sum(sum(of.values()) for of in content["changes"].values()) == len(second["drop"] + second["relabel"])
    used = mien("data", "info", flawed_folder, "--skip-bad", "--clean", tmp_path / "second" / "clean.toml", "--json")
    assert json.loads(used.out)["faces"] == content["faces"] - 1, "the line is back"


def test_a_reviewed_label_stands_against_a_model_that_doubts_it(mien, faces, face_parquet, tmp_path):
    """A list turns three train labels; a model that is right about all others says what they were, and is not heard."""
    judged = faces.subset(faces.split != "test")
    sad, happy = (faces.classes.index(name) for name in ("sad", "happy"))
    turned = np.flatnonzero((judged.split == "train") & (judged.labels == happy))[:3]
    right = make_predictions(judged.labels, faces.classes, judged.rows, "out-of-fold", skill=6)
    labels = judged.labels.copy()
    labels[turned] = sad
    write_predictions(tmp_path / "s.npz", replace(right, labels=labels))
    lines = [
        f'{{row = {row}, split = "train", label = "happy", to = "sad", kind = "conflict", reason = "r", source = "s"}}'
        for row in judged.rows[turned]
    ]
    first = tmp_path / "first.toml"
    head = f'version = 1\ndata_fingerprint = "{load_dataset(face_parquet).fingerprint}"\n'
    first.write_text(f"{head}relabel = [{', '.join(lines)}]\n")
    given = ("--predictions", tmp_path / "s.npz", "--clean", first, "--out", tmp_path / "out", "--json")
    answer = mien("audit", face_parquet, *given)
    assert answer.code == 0, answer.err
    second = tomllib.loads((tmp_path / "out" / "clean.toml").read_text())["relabel"]
    of_row = {line["row"]: (line["label"], line["to"], line["kind"]) for line in second}
    assert [of_row[row] for row in judged.rows[turned].tolist()] == [("happy", "sad", "conflict")] * 3
    assert json.loads(answer.out)["labels"]["evidence"] == int((faces.split == "train").sum())
