"""The commands as a user types them: help, completion, a run from training to use, what is printed and left on disk."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

from mien.cli import more
from mien.cli.main import COMMANDS
from mien.data.parquet import write_parquet
from mien.data.read import load_dataset
from mien.data.synthetic import synthetic_faces
from support import noted, ran, refused


def test_empty_arguments_are_rejected_and_help_and_version_shown(mien, tmp_path, face_folder, monkeypatch):
    monkeypatch.chdir(face_folder / "test" / "happy")
    refused(mien("predict", "--crops", ""), "usage", "--crops")
    refused(mien("predict", "--crops", ".", "--annotate="), "usage", "--annotate")
    refused(mien("", "--version"), "usage")
    assert "Usage: mien" in mien().out
    assert mien("--version").out.startswith("mien 0.")


def test_torchrun_is_rejected_except_for_training(mien, monkeypatch):
    given = {"TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "RANK": "0"}
    given |= {"LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os._exit", sys.exit)  # as it would end this process
    for command in ("predict", "sweep", "study"):
        refused(mien(command, "x"), "options", "torchrun")


def test_train_evaluate_export_info_predict(mien, tmp_path, recipe_file, face_folder):
    run = tmp_path / "run"
    trained = ran(mien("train", recipe_file, "--data", face_folder, "--out", run, "--set", "epochs=3"))
    assert "Accuracy" in trained.out
    assert "report.html" in trained.err
    assert "epochs = 3" in (run / "recipe.toml").read_text()
    content = json.loads(mien("evaluate", run, "--data", face_folder, "--json").out)
    assert content["split"] == "validation"
    assert content["headline"]["accuracy"] == json.loads((run / "metrics.json").read_text())["headline"]["accuracy"]
    exported = mien("export", run, "--out", tmp_path / "x.onnx", "--json")
    assert (json.loads(exported.out)["agreement"], exported.err) == (1.0, "")
    shown = mien("info", tmp_path / "x.onnx", "--json")
    assert json.loads(shown.out)["scores"]["validation_accuracy"] == content["headline"]["accuracy"]["value"]
    layers, total = json.loads(mien("info", run, "--layers", "--json").out), json.loads(shown.out)["parameters"]
    assert sum(each["parameters"] for each in layers) == total
    assert f"parameters: {total:,}" in mien("info", run, "--layers").out
    assert layers[-1]["output"] == str(len(content["classes"]))
    infos = [mien("info", each).out for each in (run, "fast-int8")]
    for words in ("angry, disgust", "computed without the temperature", "tiny, sha256:", "MIT (of the network and"):
        assert words in infos[0]
    assert [re.search(r"^precision +(\S+)", each, re.M)[1] for each in infos] == ["fp32", "int8"]
    read = mien("predict", "--model", tmp_path / "x.onnx", "--crops", face_folder / "test" / "happy", "--csv")
    rows = list(csv.DictReader(io.StringIO(read.out)))
    assert len(rows) == len(list((face_folder / "test" / "happy").iterdir()))
    assert sum(float(rows[0][name]) for name in content["classes"]) == pytest.approx(1, abs=1e-4)
    assert rows[0]["top"] in content["classes"]
    as_json = mien("predict", "--model", run, "--crops", face_folder / "test" / "happy", "--json")
    assert [each["top"] for each in json.loads(as_json.out)] == [row["top"] for row in rows]
    assert "happy" in mien("predict", "--model", run, "--crops", face_folder / "test" / "happy").out
    (run / "model.onnx").unlink()
    noted(ran(mien("export", run)), "metrics-missing", run / "model.onnx")
    ran(mien("train", recipe_file, "--data", face_folder, "--out", run, "--set", "epochs=3", "--resume"))
    measured = json.loads(mien("info", run, "--json").out)
    assert measured == json.loads(shown.out) | {"created": measured["created"]}


def test_export_replaces_no_other_file_of_a_run(mien, own_run, face_folder):
    run = own_run.path
    before = {file.name: file.read_bytes() for file in run.glob("*.*")}
    words = ("export", run, "--precision", "int8", "--data", face_folder)
    for out in ("best.safetensors", "recipe.toml", "."):
        refused(mien("export", run, "--out", run / out), "out-path", "--out")
        refused(mien(*words, "--out", run / out), "out-path", "--out")
    refused(mien(*words, "--out", run / "model.onnx"), "out-path")
    refused(mien("export", run, "--out", run / "model.onnx"), "file-exists", "--overwrite")
    refused(mien("export", run / "model.onnx"), "run-missing", "model.onnx")
    assert ({file.name: file.read_bytes() for file in run.glob("*.*")}, mien(*words).code) == (before, 0)
    (run / "model.int8.onnx").replace(run / "model.onnx")
    refused(mien(*words), "options", run)


def test_data_info_convert_and_back(mien, tmp_path, face_folder):
    shown = mien("data", "info", face_folder)
    assert "class folders" in shown.out
    assert "█" in shown.out
    content = json.loads(mien("data", "info", face_folder, "--json").out)
    assert content["fingerprint_without_test"] != content["fingerprint"]
    assert "without test" in shown.out
    assert content["counts"]["test"]["happy"] == len(list((face_folder / "test" / "happy").iterdir()))
    learnt = load_dataset(face_folder)
    write_parquet(learnt.subset(learnt.split != "test"), tmp_path / "learnt.parquet")
    shown = mien("data", "info", tmp_path / "learnt.parquet").out
    assert content["fingerprint_without_test"] in shown
    assert "without test" not in shown
    ran(mien("data", "convert", face_folder, "--out", tmp_path / "x.parquet"))
    again = json.loads(mien("data", "info", tmp_path / "x.parquet", "--json").out)
    assert again["fingerprint"] == content["fingerprint"]
    refused(mien("data", "convert", face_folder, "--out", tmp_path / "x.parquet"), "file-exists", "x.parquet")


def test_recipes_are_printed_and_evaluate_needs_no_matplotlib(mien, tmp_path, tiny_run, face_folder, monkeypatch):
    assert "demo" in mien("info", "--recipes").out
    (tmp_path / "own.toml").write_text(mien("info", "--recipe", "demo").out)
    assert json.loads(mien("info", "--recipe", tmp_path / "own.toml", "--json").out)["name"] == "demo"
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert mien("evaluate", tiny_run.path, "--data", face_folder, "--out", tmp_path / "out").code == 0
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"metrics.json", "predictions_validation.npz"}


@pytest.mark.parametrize("command", ["audit", "demo", "study"])
def test_commands_miss_page_packages_before_the_work(mien, tmp_path, face_folder, monkeypatch, command):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    words, out = {"audit": [face_folder], "demo": [], "study": ["study-a", "--data", face_folder]}, tmp_path / "out"
    refused(mien(command, *words[command], "--out", out), "missing-extra", "matplotlib")
    assert not out.exists()


def test_doctor_names_missing_packages_and_extras(mien, monkeypatch):
    """Oracle: matplotlib is taken away, onnx made old; onnxruntime may have come by another package."""

    def version(name):
        if name in {"matplotlib", "onnxruntime"}:
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "onnx" else metadata.version(name)

    monkeypatch.setattr(more, "version", version)
    answer = ran(mien("doctor", "--json"))
    found = {each["name"]: each for each in json.loads(answer.out)}
    assert found["extra report"]["to_add_it"] == "pip install 'mien[report]'"
    assert "matplotlib" in found["extra report"]["found"]
    assert "onnx>=1.17 (found 0.1)" in found["extra train"]["found"]
    # search asks for mien[train,report]: both faults are its own.
    assert {"matplotlib", "onnx>=1.17 (found 0.1)"} <= set(found["extra search"]["found"].split(": ")[1].split(", "))
    assert found["extra serve"] == {"name": "extra serve", "found": "works", "to_add_it": ""}


def test_a_folder_of_drawn_faces_is_the_data_set_that_was_drawn(mien, tmp_path):
    """Oracle: the faces drawn in memory."""
    folder = tmp_path / "new" / "faces"
    ran(mien("data", "synthetic", folder, "--faces", 90, "--seed", 3))
    drawn, read = synthetic_faces(90, 3), load_dataset(folder)
    for split in ("train", "validation", "test"):
        expected, found = drawn.of_split(split), read.of_split(split)
        assert sorted(image.tobytes() for image in found.images) == sorted(image.tobytes() for image in expected.images)
        names = [np.array(each.classes)[each.labels] for each in (expected, found)]
        assert sorted(names[0]) == sorted(names[1])
    refused(mien("data", "synthetic", folder), "file-exists")
    assert [each.name for each in folder.parent.iterdir()] == ["faces"]


@pytest.mark.parametrize("group", ["", "data", "web"])
def test_help_fits_80_columns(mien, monkeypatch, group):
    """Typer cuts a docstring that is too long and ends it with three dots; a short help that is too long it wraps."""
    monkeypatch.setenv("COLUMNS", "80")
    listed = mien(*group.split(), "--help").out.partition("Commands:" if group else "\nUse:\n")[2].splitlines()
    listed = [line for line in listed if line and not line.endswith(":")]
    assert listed
    assert not [line for line in listed if line.endswith("...") or not line.endswith(".")]


def test_help_lists_every_command_under_its_heading_and_imports_none(mien):
    """Oracle: the table. A fresh process knows what was imported."""
    lines = ("Use:\n" + mien("-h").out.partition("\nUse:\n")[2]).splitlines()
    found, heading = {}, ""
    for line in filter(None, lines):
        heading = line.removesuffix(":") if line.endswith(":") else heading
        if line.startswith("  "):
            found[line.split()[0]] = (heading, line.split(maxsplit=1)[1])
    assert found == {name: (command.group, command.help) for name, command in COMMANDS.items()}
    script = (
        "import sys; from mien.cli.main import app; app(['--help'], standalone_mode=False);"
        "print(sorted(name for name in sys.modules if name.startswith('mien.cli.') or name in {'rich', 'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['mien.cli.main', 'mien.cli.options']"


@pytest.mark.parametrize(
    ("words", "completed"), [("mien train --batch", ["--batch-size"]), ("mien data conv", ["convert"])]
)
def test_a_shell_completes_commands_and_options(words, completed):
    environment = {**os.environ, "_MIEN_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split()) - 1)
    done = subprocess.run([sys.executable, "-m", "mien"], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == completed, done.stderr
