"""What a variant may begin with. Oracles: digests of the files themselves."""

from __future__ import annotations

import json
import shutil

import pytest

from mien.base.errors import RecipeError, StudyError
from mien.base.files import file_sha256
from mien.base.run_folder import RunFolder
from mien.inference.find_model import find_run
from mien.runs.plan import read_completed
from mien.runs.scheduler import make_plan
from mien.runs.spec import parse_study
from support import raises, refused


@pytest.fixture
def recipe(tmp_path, tiny_recipe_text):
    file = tmp_path / "tiny.toml"
    file.write_text(tiny_recipe_text.replace("epochs = 2", "epochs = 1"))
    return file


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


def test_a_variant_from_a_built_in_model_takes_changes_for_all(recipe, faces):
    """Oracle: the rules for `--set` with `--from`: the training may change, the network may not."""
    text = STARTED.replace("RECIPE", str(recipe)).replace("START", "fast")
    study = parse_study(text.replace('"tuned"', '"fast"'), "s")
    made = study.recipe_of(study.variant("fast"), 0, ["epochs=3"])
    assert made.epochs == 3
    assert made.model == find_run("fast").read_recipe().model
    with raises(RecipeError, "recipe-set-fixed", "model.widths"):
        study.recipe_of(study.variant("fast"), 0, ["model.widths=[8, 8]"])


def test_a_variant_rejects_an_unknown_start(recipe, faces):
    text = STARTED.replace("RECIPE", str(recipe))
    with raises(StudyError, "study-value", "'faster'"):
        parse_study(text.replace("START", "faster"), "s")
    # A variant of that name comes first.
    plan = make_plan(parse_study(text.replace('"fresh"', '"fast"').replace("START", "fast"), "s"), {(48, 1): faces})
    assert [None if run.parent is None else run.parent.variant for run in plan] == [None, "fast"]


def test_a_study_with_another_recipe_has_its_own_runs(mien, recipe, tmp_path, face_folder):
    file = tmp_path / "two.toml"
    file.write_text('name = "two"\ntitle = "Two"\nrecipe = "short"\n[[variants]]\nname = "a"\n')
    arguments = ("study", file, "--data", face_folder, "--out", tmp_path / "out", "--recipe")
    assert mien(*arguments, shutil.copy(recipe, tmp_path / "für zwei.toml")).code == 0
    (run,) = read_completed(tmp_path / "out" / "results").values()
    assert run.folder.name.startswith("two-f-r zwei-a-seed0-")
    assert json.loads((tmp_path / "out" / "study.json").read_text())["study"] == "two-f-r zwei"
    assert RunFolder(run.folder).read_recipe().epochs == 1
    refused(mien(*arguments, "shrot"), "recipe-unknown", "short")
