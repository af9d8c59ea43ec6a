"""Oracles: what the library's own functions give, and the lines that the issue of bad input asks for."""

from __future__ import annotations

import json
import re

import pytest

from support import refused


@pytest.fixture(scope="module")
def study_file(tmp_path_factory, tiny_recipe_text):
    folder = tmp_path_factory.mktemp("study")
    recipe = folder / "tiny.toml"
    recipe.write_text(tiny_recipe_text.replace("epochs = 2", "epochs = 1"))
    file = folder / "two.toml"
    file.write_text(
        f'name = "two"\ntitle = "Two rates"\nquestion = "Which?"\nrecipe = "{recipe}"\n'
        '[[variants]]\nname = "fast"\n[[variants]]\nname = "slow"\nset = { "optim.lr" = 0.001 }\n'
        '[[comparisons]]\ntitle = "slow against fast"\nvariants = ["fast", "slow"]\nbaseline = "fast"\n'
    )
    return file


def test_study_list_names_the_built_in_studies(mien):
    said = mien("study", "list")
    assert said.code == 0
    for name in ("study-a", "study-b", "imbalance", "architectures", "augmentation", "transfer"):
        assert name in said.out
    assert {each["name"] for each in json.loads(mien("study", "list", "--json").out)} >= {"study-a", "study-b"}


def test_a_study_does_not_repeat_finished_runs(mien, study_file, face_folder, tmp_path):
    arguments = ("study", study_file, "--data", face_folder, "--out", tmp_path / "out")
    dry = mien(*arguments, "--dry-run")
    assert (dry.code, (tmp_path / "out").exists()) == (0, False)
    assert re.search(r"\b2 of 2 runs\b", dry.out)
    first = mien(*arguments, "--only", "fast")
    assert first.code == 0
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
    elsewhere = mien("study", study_file, "--data", face_folder, *out)
    assert elsewhere.code == 0
    assert "seed 0:" not in elsewhere.err


@pytest.mark.parametrize(
    ("arguments", "code", "value"),
    [
        (["study-b"], "options", "mien study study-b --data PATH"),
        (["study-b", "--data", "nowhere.csv"], "data-missing", "nowhere.csv"),
        (["FILE", "--data", "FACES", "--out", "FILE"], "out-is-file", ".toml"),
        (["FILE", "--data", "FACES", "--results", "FILE"], "out-is-file", "--results"),
        (["FILE", "--data", "FACES", "--out", "RUN"], "out-is-run", "--out"),
        (["FILE", "--data", "FACES", "--out", "FACES"], "out-in-data", "--out"),
        (["FILE", "--data", "FACES", "--finished"], "nothing-finished", "results"),
        (["FILE", "--data", "FACES", "--finished", "--dry-run"], "options", "--finished"),
    ],
)
def test_study_rejects_bad_input_and_writes_nothing(
    mien, study_file, face_folder, tmp_path, monkeypatch, tiny_run, arguments, code, value
):
    monkeypatch.chdir(tmp_path)
    said = mien(
        "study",
        *({"FILE": study_file, "FACES": face_folder, "RUN": tiny_run.path}.get(each, each) for each in arguments),
    )
    refused(said, code, value)
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
