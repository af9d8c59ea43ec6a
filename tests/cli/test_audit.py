"""`mien audit` and --clean as a user types them: what is printed, what is left on disk, errors in one line."""

import csv
import json
import re
import shutil
import tomllib
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from mien.api import audit as command
from mien.api.audit import audit
from mien.base.model_file import read_manifest
from mien.base.recipe import dump_recipe
from mien.data.clean import read_clean
from mien.data.parquet import write_parquet
from mien.data.read import load_dataset
from mien.evaluation.predictions import Predictions, write_predictions
from mien.runs import folds
from support import ran, refused


def test_audit_of_folders_writes_a_usable_clean_toml(mien, flawed_folder, tmp_path, tiny_run):
    refused(mien("audit", flawed_folder, "--out", tmp_path / "out"), "image-unreadable", "broken.png", "--skip-bad")
    assert not (tmp_path / "out").exists()
    content = json.loads(ran(mien("audit", flawed_folder, "--skip-bad", "--out", tmp_path / "out", "--json")).out)
    assert content["identical"]["groups"] == 2
    assert content["identical"]["leaks"][0] == {"split": "validation", "source": "train", "samples": 1}
    assert "train/sad/broken.png" in content["skipped"][0][0]
    assert content["not_checked"][0].startswith("Votes")
    stored = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert stored == {name: value for name, value in content.items() if name not in {"page", "list"}}
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;bored" in page
    assert "train/sad/broken.png" in page
    addresses = re.findall(r'\b(?:src|href|xlink:href|srcset)="([^"]*)"', page)
    assert not [each for each in addresses if not each.startswith(("#", "data:"))]
    assert any(each.startswith("data:image/png") for each in addresses)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "audit.html", "audit.json", "clean.toml", "tables",
    }  # fmt: skip
    assert (tmp_path / "out" / "tables" / "copied-samples.csv").is_file()
    with (tmp_path / "out" / "tables" / "list-of-changes.csv").open(newline="", encoding="utf-8") as stream:
        in_table = [int(line["row"]) for line in csv.DictReader(stream)]

    file = tmp_path / "out" / "clean.toml"
    listed = tomllib.loads(file.read_text(encoding="utf-8"))
    assert in_table == [line["row"] for lines in listed.values() if isinstance(lines, list) for line in lines]
    by_kind = {line["kind"]: line for line in listed["drop"]}
    assert by_kind["leak"]["source"].startswith("train/happy/")
    assert by_kind["copy"]["source"] == "train/happy/zcopy.png"
    before = load_dataset(flawed_folder, skip_bad=True)
    info = ran(mien("data", "info", flawed_folder, "--skip-bad", "--clean", file, "--json"))
    content = json.loads(info.out)
    assert content["faces"] == len(before) - len(listed["drop"])
    assert all(words in info.err for words in (f"dropped {len(listed['drop'])} of train", "[data-cleaned]"))
    assert content["fingerprint"] != before.fingerprint
    large = load_dataset(flawed_folder, skip_bad=True, clean=file, size_px=64)
    assert (len(large), large.fingerprint) == (content["faces"], content["fingerprint"])
    renamed = ("--skip-bad", "--map", "<b>bored=neutral", "--clean", file)
    refused(mien("evaluate", tiny_run.path, "--data", flawed_folder, *renamed), "data-differs", "--map")
    cleaned = tmp_path / "cleaned.parquet"
    written = mien("data", "convert", flawed_folder, "--skip-bad", "--clean", file, "--out", cleaned)
    assert (written.code, "sha256:" in written.err) == (0, False)
    assert json.loads(mien("audit", cleaned, "--out", tmp_path / "second", "--json").out)["identical"]["groups"] == 0


def test_predictions_and_a_table_for_a_terminal(mien, face_parquet, tiny_run, tmp_path):
    own = tiny_run.predictions("validation")
    answer = ran(mien("audit", face_parquet, "--predictions", own, "--out", tmp_path / "out"))
    for words in ("Copies", "Image quality", "Doubtful labels"):
        assert words in answer.out
    for code in ("votes-not-used", "labels-partly-reviewed", "labels-weak-model"):
        assert f"[{code}]" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 120
    assert (tmp_path / "out" / "tables" / "doubtful-labels.csv").is_file()


def test_audit_with_a_recipe_checks_all_but_test_samples(mien, face_folder, faces, tiny_recipe, tmp_path, monkeypatch):
    """Its images have another size than the audit's own."""
    monkeypatch.setattr(folds, "FOLDS", 2)
    recipe, form = tmp_path / "tiny.toml", tiny_recipe.input.model_copy(update={"size_px": 40, "crop_px": 36})
    recipe.write_text(dump_recipe(tiny_recipe.model_copy(update={"epochs": 1, "input": form})))
    answer = ran(mien("audit", face_folder, "--recipe", recipe, "--out", tmp_path / "out", "--json"))
    assert json.loads(answer.out)["labels"]["samples"] == int((faces.split != "test").sum())
    assert "fold 2 of 2" in answer.err
    assert read_manifest(tmp_path / "out" / "folds" / "fold-1" / "model.onnx").input.size_px == 40


def test_audit_rejects_bad_recipes_before_work(mien, face_parquet, faces, tiny_run, tiny_recipe, tmp_path, monkeypatch):
    def not_yet(*arguments):
        raise AssertionError("copies are looked for already")

    find_copies = command.find_copies
    monkeypatch.setattr(command, "find_copies", not_yet)
    out = tmp_path / "out"
    merging, other = tmp_path / "merging.toml", tmp_path / "other.toml"
    merging.write_text(dump_recipe(tiny_recipe.model_copy(update={"classes": "binary"})))
    refused(mien("audit", face_parquet, "--recipe", merging, "--out", out), "not-auditable")
    write_parquet(faces.of_split("validation"), tmp_path / "validation.parquet")
    refused(mien("audit", tmp_path / "validation.parquet", "--recipe", "quick", "--out", out), "not-auditable")
    others = Predictions(np.arange(4), np.array([0, 1, 0, 1]), np.full((4, 2), 0.5), ("a", "b"), "mine", "")
    write_predictions(tmp_path / "others.npz", others)
    refused(mien("audit", face_parquet, "--predictions", tmp_path / "others.npz", "--out", out), "classes-differ")
    assert not out.exists()
    # Folds of another recipe are found when the folds are trained, which is after the search for copies.
    monkeypatch.setattr(command, "find_copies", find_copies)
    other.write_text(dump_recipe(tiny_recipe.model_copy(update={"seed": 8})))
    shutil.copytree(tiny_run.path, out / "folds" / "fold-2")
    refused(mien("audit", face_parquet, "--recipe", other, "--out", out), "run-other", "2")


def test_audit_replaces_clean_toml_only_with_overwrite(mien, face_parquet, tmp_path):
    (tmp_path / "clean.toml").write_text("mine")
    refused(mien("audit", face_parquet, "--out", tmp_path), "file-exists", "clean.toml", "--overwrite")
    assert (tmp_path / "clean.toml").read_text() == "mine"
    assert [file.name for file in tmp_path.iterdir()] == ["clean.toml"]
    assert not re.search(r"--clean +FILE", mien("audit", "--help").out), "an audit is of all data"
    assert mien("audit", face_parquet, "--out", tmp_path, "--overwrite").code == 0
    assert read_clean(tmp_path / "clean.toml").changes is not None


def test_commands_write_nothing_into_the_data(mien, faces, tiny_run, tmp_path, monkeypatch):
    """Data of class folders: a report written among them would be read as one more class."""
    own = tmp_path / "own"
    for number, name in enumerate(("happy", "sad") * 6):
        (own / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(faces.images[number])).save(own / name / f"{number}.png")
    before = load_dataset(own).fingerprint
    (tmp_path / "link").symlink_to(own)
    monkeypatch.chdir(own)
    predictions = ("--predictions", tiny_run.predictions("validation"))
    for arguments in (
        ("audit", "."),
        ("audit", own),
        ("audit", own, "--out", own),
        ("audit", own, "--out", tmp_path / "link" / "deep" / "audit"),
        ("report", *predictions, "--data", own, "--out", "report"),
        ("compare", *predictions, *predictions, "--data", own, "--out", "compared"),
        ("evaluate", "default", "--data", own, "--out", own / "measured"),
        ("train", "quick", "--data", own),
        ("study", "transfer", "--data", own),
        ("study", "transfer", "--data", own, "--out", own / "study"),
    ):
        refused(mien(*arguments), "out-path", "--out")
    assert sorted(file.name for file in own.iterdir()) == ["happy", "sad"]
    assert (load_dataset(own).fingerprint, mien("audit", ".", "--out", tmp_path / "beside").code) == (before, 0)
    beside = tmp_path / "own and more"
    assert mien("audit", own, "--out", beside).code == 0, "a name that begins alike is another folder"


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
    assert "without leaked samples" in mien(*arguments, "--out", tmp_path / "ev").out
    assert "without leaked samples" in (tmp_path / "ev" / "report.html").read_text(encoding="utf-8")
    plain = json.loads((tmp_path / "ev" / "metrics.json").read_text())["subsets"]
    cleaned = json.loads(mien(*arguments, "--clean", clean, "--json").out)["subsets"]
    rows = int((faces.split == "validation").sum())
    assert [part["count"] for part in plain[:2]] == [part["count"] for part in cleaned[:2]] == [rows, rows - 1]
    ran(mien("report", tmp_path / "ev", "--data", data, "--no-explain", "--out", tmp_path / "rep"))
    assert (tmp_path / "rep" / "tables" / "without-copies.csv").is_file()


def test_evaluate_ignores_the_temperature_on_uncleaned_data(mien, leaky, recipe_file, tmp_path):
    """The head names its data. Oracle: the data's fingerprint."""
    data, clean, run = *leaky, tmp_path / "run"
    ran(mien("train", recipe_file, "--data", data, "--clean", clean, "--out", run, "--set", "epochs=1"))
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
    assert (under["clean"], under["clean_sha256"]) == (str(clean), sha256(clean.read_bytes()).hexdigest())
