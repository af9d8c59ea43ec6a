"""mien study and mien sweep. Oracles: the library's own functions, digests of the files."""

import json
import re
import shutil

import pytest

from mien.base.errors import RecipeError, StudyError
from mien.base.files import file_sha256
from mien.base.recipe import dump_recipe
from mien.base.run_folder import RunFolder, find_run
from mien.runs.plan import read_completed
from mien.runs.scheduler import make_plan
from mien.runs.spec import parse_study
from support import raises, ran, refused


def test_a_study_does_not_repeat_finished_runs(mien, face_folder, tmp_path, tiny_recipe_text):
    recipe, study_file = tmp_path / "tiny.toml", tmp_path / "two.toml"
    recipe.write_text(tiny_recipe_text.replace("epochs = 2", "epochs = 1"))
    study_file.write_text(
        f'name = "two"\ntitle = "Two rates"\nquestion = "Which?"\nrecipe = "{recipe}"\n'
        '[[variants]]\nname = "fast"\n[[variants]]\nname = "slow"\nset = { "optim.lr" = 0.001 }\n'
        '[[comparisons]]\ntitle = "slow against fast"\nvariants = ["fast", "slow"]\nbaseline = "fast"\n'
    )
    arguments = ("study", study_file, "--data", face_folder, "--out", tmp_path / "out")
    dry = mien(*arguments, "--dry-run")
    assert (dry.code, (tmp_path / "out").exists()) == (0, False)
    assert re.search(r"\b2 of 2 runs\b", dry.out)
    first = ran(mien(*arguments, "--only", "fast"))
    assert re.search(r"fast, seed 0: .*\b1 of 1\b", first.err)
    assert "slow" not in first.out
    told = mien(*arguments, "--finished", "--json")
    assert "seed 0:" not in told.err
    assert [each["missing"] for each in json.loads(told.out)["variants"]] == [0, 1]
    second = mien(*arguments)
    assert "slow, seed 0" in second.err
    assert "fast, seed 0" not in second.err
    third = mien(*arguments, "--json")
    assert "seed 0:" not in third.err
    content = json.loads(third.out)
    assert content["comparisons"][0]["variants"][0]["differences"]["accuracy"]["seeds"] == 1
    assert content == json.loads((tmp_path / "out" / "study.json").read_text())
    assert (tmp_path / "out" / "report.html").is_file()
    out = ("--out", tmp_path / "other", "--results", tmp_path / "out" / "results")
    assert "seed 0:" not in ran(mien("study", study_file, "--data", face_folder, *out)).err


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
    assert (made.epochs, made.model) == (3, find_run("fast").read_recipe().model)
    with raises(RecipeError, "recipe-value", "model.widths"):
        study.recipe_of(study.variant("fast"), 0, ["model.widths=[8, 8]"])
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
    said = ran(mien("study", "list"))
    for name in ("study-a", "study-b", "imbalance", "architectures", "augmentation", "transfer"):
        assert name in said.out
    assert {each["name"] for each in json.loads(mien("study", "list", "--json").out)} >= {"study-a", "study-b"}


def test_a_sweep_from_the_command_line(mien, face_folder, tmp_path, tiny_recipe):
    (tmp_path / "tiny.toml").write_text(dump_recipe(tiny_recipe))
    file = tmp_path / "mine.toml"
    text = 'recipe = "tiny.toml"\ntrials = 2\nepochs = 1\n[parameters]\noptim.lr = { log = [0.01, 1.0] }\n'
    file.write_text(f"{text}optim.nesterov = {{ choice = [false, true] }}\n")
    space, out = file, tmp_path / "out"
    answer = ran(mien("sweep", space, "--data", face_folder, "--out", out))
    nesterov = next(line.split()[-1] for line in answer.out.splitlines() if "optim.nesterov" in line)
    assert nesterov in {"false", "true"}, answer.out  # as a recipe writes it
    assert sum(line.startswith("trial ") for line in answer.err.splitlines()) == 2
    assert f"mien train {out / 'best.toml'} --data PATH --set seed=1" in answer.err
    # The same command again finds all done; more trials go on.
    answer = mien("sweep", space, "--data", face_folder, "--out", out, "--trials", 3, "--json", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    found = json.loads(answer.out)
    assert (found["finished"], found["total"], found["best"]["values"].keys()) == (3, 3, {"optim.lr", "optim.nesterov"})
