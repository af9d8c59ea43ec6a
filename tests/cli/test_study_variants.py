"""What a variant may begin with and train on. Oracles: rows counted by hand, and digests of the files themselves."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mien.base.errors import RecipeError, StudyError
from mien.base.files import file_sha256
from mien.base.run_folder import RunFolder
from mien.data.clean import Change, Clean, write_clean
from mien.data.read import load_dataset
from mien.evaluation.predictions import read_predictions
from mien.inference.find_model import find_run
from mien.runs.plan import DataForm
from mien.runs.planner import make_plan
from mien.runs.spec import parse_study
from mien.runs.store import read_completed
from support import note_codes, raises, refused


@pytest.fixture
def recipe(tmp_path, tiny_recipe_text):
    file = tmp_path / "tiny.toml"
    file.write_text(tiny_recipe_text.replace("epochs = 2", "epochs = 1"))
    return file


@pytest.fixture
def cleaning(tmp_path, recipe):
    file = tmp_path / "cleaning.toml"
    file.write_text(
        f'name = "cleaning"\ntitle = "Cleaning"\nrecipe = "{recipe}"\nmetrics = ["accuracy"]\n'
        '[[variants]]\nname = "raw"\n[[variants]]\nname = "cleaned"\nclean = ["doubt", "leak"]\n'
        '[[comparisons]]\ntitle = "cleaned or not"\nvariants = ["raw", "cleaned"]\nbaseline = "raw"\n'
    )
    return file


def doubted(faces, split, count):
    """A list that drops faces of a split."""
    return [
        Change(row=int(faces.rows[at]), split=split, label=faces.classes[faces.labels[at]], kind="doubt", reason="r",
               source=str(faces.source[at]))
        for at in np.flatnonzero(faces.split == split)[:count]
    ]  # fmt: skip


@pytest.mark.parametrize("jobs", [1, 2])
def test_only_the_train_split_of_a_variant_is_cleaned(mien, cleaning, face_folder, tmp_path, monkeypatch, jobs):
    monkeypatch.setattr("mien.runs.scheduler.available_cores", lambda: 2)
    faces = load_dataset(face_folder)
    write_clean(tmp_path / "clean.toml", Clean(faces.fingerprint, tuple(doubted(faces, "train", 11))))
    arguments = (
        "study",
        cleaning,
        "--data",
        face_folder,
        "--clean",
        tmp_path / "clean.toml",
        "--out",
        tmp_path / "out",
    )
    assert mien(*arguments, "--jobs", jobs, "-q").code == 0
    runs = {each.record.variant: each for each in read_completed(tmp_path / "out" / "results").values()}
    whole = int((faces.split == "train").sum())
    assert (runs["raw"].record.train_faces, runs["cleaned"].record.train_faces) == (whole, whole - 11)
    raw, cleaned = (runs[name].predictions() for name in ("raw", "cleaned"))
    assert sorted(cleaned.sample_ids) == sorted(faces.rows[faces.split == "validation"])
    assert raw.data_fingerprint == cleaned.data_fingerprint
    assert not np.array_equal(raw.probabilities, cleaned.probabilities)
    (compared,) = json.loads((tmp_path / "out" / "study.json").read_text())["comparisons"]
    assert compared["samples"] == len(raw)
    assert (runs["raw"].record.cleaned, runs["cleaned"].record.cleaned) == ((), ("doubt", "leak"))
    assert runs["cleaned"].record.cleaned_fingerprint not in {"", raw.data_fingerprint}
    # The run folder tells the data that it was trained on.
    (folder,) = (tmp_path / "out" / "runs").glob("cleaning-cleaned-*")
    trained = RunFolder(folder)
    assert trained.read_environment()["data_fingerprint"] != faces.fingerprint_without_test
    assert read_predictions(trained.predictions("validation")).data_fingerprint != raw.data_fingerprint
    # A second time nothing is run; another list is another run of this variant alone.
    assert json.loads(mien(*arguments, "--dry-run", "--json").out)["to_do"] == []
    write_clean(tmp_path / "clean.toml", Clean(faces.fingerprint, tuple(doubted(faces, "train", 12))))
    assert [each["variant"] for each in json.loads(mien(*arguments, "--dry-run", "--json").out)["to_do"]] == ["cleaned"]


def test_a_study_of_cleaning_needs_a_list(mien, cleaning, face_folder, tmp_path):
    said = mien("study", cleaning, "--data", face_folder, "--out", tmp_path / "out")
    refused(said, "options", "--clean")
    assert not (tmp_path / "out").exists()


STARTED = """
name = "s"
title = "S"
recipe = "RECIPE"
metrics = ["accuracy"]
[[variants]]
name = "fresh"
[[variants]]
name = "tuned"
from = "START"
"""


def test_a_variant_starts_from_a_built_in_model(mien, recipe, tmp_path, face_folder):
    file = tmp_path / "s.toml"
    file.write_text(STARTED.replace("RECIPE", str(recipe)).replace("START", "fast"))
    assert mien("study", file, "--data", face_folder, "--out", tmp_path / "out", "-q").code == 0
    runs = {each.record.variant: each for each in read_completed(tmp_path / "out" / "results").values()}
    shipped = find_run("fast")
    assert runs["tuned"].record.started_from == f"sha256:{file_sha256(shipped.best)}"
    assert RunFolder(runs["tuned"].folder).read_recipe().model == shipped.read_recipe().model
    assert runs["fresh"].record.started_from == ""


def test_a_start_from_a_built_in_model_takes_what_is_changed_for_all(recipe, faces):
    """Oracle: the rules for `--set` with `--from`: sizes may change, the network may not."""
    text = STARTED.replace("RECIPE", str(recipe)).replace("START", "fast")
    study = parse_study(text.replace('"tuned"', '"fast"'), "s")
    made = study.recipe_of(study.variant("fast"), 0, ["input.crop_px=40", "epochs=3"])
    assert (made.input.crop_px, made.epochs) == (40, 3)
    assert made.model == find_run("fast").read_recipe().model
    with raises(RecipeError, "recipe-set-fixed", "model.widths"):
        study.recipe_of(study.variant("fast"), 0, ["model.widths=[8, 8]"])


def test_a_frozen_start_from_a_built_in_model_is_not_called_random(mien, recipe, tmp_path, face_folder):
    file = tmp_path / "s.toml"
    text = STARTED.replace("RECIPE", str(recipe)).replace("START", "fast")
    file.write_text(text + "set = { tuning.frozen_epochs = 1 }\n")
    said = mien("study", file, "--data", face_folder, "--out", tmp_path / "out", "--dry-run")
    assert said.code == 0
    assert "weights-random-frozen" not in note_codes(said.err)
    file.write_text(text.replace('from = "fast"', "") + "set = { tuning.frozen_epochs = 1 }\n")
    said = mien("study", file, "--data", face_folder, "--out", tmp_path / "out", "--dry-run")
    assert "weights-random-frozen" in note_codes(said.err)


def test_what_a_variant_starts_from_is_a_variant_or_a_built_in_model(recipe, faces):
    text = STARTED.replace("RECIPE", str(recipe))
    with raises(StudyError, "study-value", "'faster'"):
        parse_study(text.replace("START", "faster"), "s")
    # A variant of that name comes first.
    own = parse_study(text.replace('"fresh"', '"fast"').replace("START", "fast"), "s")
    plan = make_plan(own, {DataForm(48, 1): faces})
    assert [None if run.parent is None else run.parent.variant for run in plan.runs] == [None, "fast"]


def test_a_study_on_another_recipe_has_runs_of_its_own(mien, recipe, tmp_path, face_folder):
    file = tmp_path / "two.toml"
    file.write_text('name = "two"\ntitle = "Two"\nrecipe = "short"\n[[variants]]\nname = "a"\n')
    arguments = ("study", file, "--data", face_folder, "--out", tmp_path / "out", "--recipe")
    said = mien(*arguments, recipe)
    assert said.code == 0
    (run,) = read_completed(tmp_path / "out" / "results").values()
    assert run.folder.name.startswith("two-tiny-a-seed0-")
    assert json.loads((tmp_path / "out" / "study.json").read_text())["study"] == "two-tiny"
    assert RunFolder(run.folder).read_recipe().epochs == 1
    refused(mien(*arguments, "shrot"), "recipe-unknown", "short")
