"""Every command as a user types it: exit codes, one-line errors, what is printed and what is left on disk."""

import ast
import csv
import importlib
import inspect
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import get_type_hints

import numpy as np
import pytest
from PIL import Image
from typer.models import OptionInfo

from mien.cli.commands import COMMANDS
from mien.data.parquet import write_parquet
from mien.data.read import load_dataset
from mien.labels import parse_scheme
from mien.recipe_file import dump_recipe
from mien.run_folder import RunFolder
from support import note_codes, noted, refused


@pytest.fixture
def recipe_file(tmp_path, tiny_recipe):
    file = tmp_path / "tiny.toml"
    file.write_text(dump_recipe(tiny_recipe))
    return file


@pytest.mark.parametrize("command", [*COMMANDS, "data info", "data convert", "detectors install", "web build"])
def test_every_command_explains_itself(mien, command):
    answer = mien(*command.split(), "--help")
    assert answer.code == 0
    assert "Usage: mien" in answer.out


@pytest.mark.parametrize("group", ["", "data", "web", "detectors"])
def test_no_command_of_a_list_is_cut_in_80_columns(mien, monkeypatch, group):
    """Typer cuts a docstring that is too long and ends it with three dots; a short help that is too long it wraps."""
    monkeypatch.setenv("COLUMNS", "80")
    listed = mien(*group.split(), "--help").out.partition("Commands:" if group else "\nUse:\n")[2].splitlines()
    listed = [line for line in listed if line and not line.endswith(":")]
    assert listed
    assert not [line for line in listed if line.endswith("...") or not line.endswith(".")]


def test_help_lists_every_command_under_its_heading_and_imports_none(mien):
    """Oracle: the table. A fresh process knows what was imported."""
    listed = mien("--help").out.partition("\nUse:\n")
    lines = ("Use:\n" + listed[2]).splitlines()
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
    assert done.stdout.splitlines()[-1] == "['mien.cli.commands', 'mien.cli.main', 'mien.cli.option_groups']"


@pytest.mark.parametrize(
    ("words", "completed"),
    [("mien ro", ["robustness"]), ("mien train --batch", ["--batch-size"]), ("mien data conv", ["convert"])],
)
def test_a_shell_completes_commands_and_options(words, completed):
    environment = {**os.environ, "_MIEN_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split()) - 1)
    command = [sys.executable, "-m", "mien"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == completed, done.stderr


def test_the_body_of_every_command_is_short():
    """Under 40 lines: a command reads its options, and functions do the work."""
    for name, command in COMMANDS.items():
        module = importlib.import_module(f"mien.cli.{name.replace('-', '_')}")
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                assert lines < 40, (name, node.name, lines, command)


def test_plain_options_are_changes_of_the_recipe(mien, tmp_path, recipe_file, face_folder):
    """Oracle: the stored recipe and environment. A plain option overrides --set."""
    run = tmp_path / "run"
    words = ("--epochs", 1, "--batch-size", 16, "--lr", 0.02, "--seed", 5, "--device", "cpu", "--set", "epochs=9")
    trained = mien("train", recipe_file, "--data", face_folder, "--out", run, *words)
    assert trained.code == 0, trained.err
    recipe = RunFolder(run).read_recipe()
    assert (recipe.epochs, recipe.batch_size, recipe.optim.lr, recipe.seed) == (1, 16, 0.02, 5)
    assert RunFolder(run).read_environment()["device"] == "cpu"


def test_a_device_that_is_not_here_is_refused_before_the_data_is_read(mien, tmp_path, recipe_file, face_folder):
    import torch

    words = ("train", recipe_file, "--data", face_folder, "--out", tmp_path / "run", "--device")
    refused(mien(*words, "gpu"), "usage", "--device")
    if not torch.backends.mps.is_available():
        answer = mien(*words, "mps")
        refused(answer, "device-missing", "'mps'")
        assert len(answer.err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_no_command_shows_help_and_a_wrong_one_is_one_line(mien):
    assert "Usage: mien" in mien().out
    refused(mien("trian"), "usage")
    refused(mien("train", "quick"), "usage", "--data", "--help")
    refused(mien("evaluate", "--modl", "x"), "usage", "--modl")
    assert mien("--version").out.startswith("mien 0.")


def test_an_argument_that_a_shell_left_empty_is_not_the_current_folder(mien, tmp_path, face_folder, monkeypatch):
    monkeypatch.chdir(face_folder / "test" / "happy")
    refused(mien("predict", "--crops", ""), "usage", "--crops")
    refused(mien("predict", "--crops", ".", "--annotate="), "usage", "--annotate")
    refused(mien("", "--version"), "usage")


def test_train_evaluate_export_info_predict(mien, tmp_path, recipe_file, face_folder):
    run = tmp_path / "run"
    trained = mien("train", recipe_file, "--data", face_folder, "--out", run, "--set", "epochs=3")
    assert trained.code == 0, trained.err
    assert "Accuracy" in trained.out
    assert "report.html" in trained.err
    assert "epochs = 3" in (run / "recipe.toml").read_text()

    evaluated = mien("evaluate", run, "--data", face_folder, "--json")
    content = json.loads(evaluated.out)
    assert content["split"] == "validation"
    assert content["headline"]["accuracy"] == json.loads((run / "metrics.json").read_text())["headline"]["accuracy"]

    exported = mien("export", run, "--out", tmp_path / "x.onnx", "--json")
    assert json.loads(exported.out)["agreement"] == 1.0
    assert exported.err == ""
    shown = mien("info", tmp_path / "x.onnx", "--json")
    assert json.loads(shown.out)["scores"]["validation_accuracy"] == content["headline"]["accuracy"]["value"]
    assert "angry, disgust" in mien("info", run).out
    assert "computed without the temperature" in mien("info", run).out
    assert [re.search(r"^precision +(\S+)", mien("info", each).out, re.M)[1] for each in (run, "fast-int8")] == [
        "fp32",
        "int8",
    ]

    read = mien("predict", "--model", tmp_path / "x.onnx", "--crops", face_folder / "test" / "happy", "--csv")
    rows = list(csv.DictReader(io.StringIO(read.out)))
    assert len(rows) == len(list((face_folder / "test" / "happy").iterdir()))
    assert sum(float(rows[0][name]) for name in content["classes"]) == pytest.approx(1, abs=1e-4)
    assert rows[0]["top"] in content["classes"]
    as_json = mien("predict", "--model", run, "--crops", face_folder / "test" / "happy", "--json")
    assert [each["top"] for each in json.loads(as_json.out)] == [row["top"] for row in rows]
    assert "happy" in mien("predict", "--model", run, "--crops", face_folder / "test" / "happy").out

    (run / "model.onnx").unlink()
    bare = mien("export", run)
    assert bare.code == 0
    noted(bare, "metrics-missing", run / "model.onnx")
    again = mien("train", recipe_file, "--data", face_folder, "--out", run, "--set", "epochs=3", "--resume")
    assert again.code == 0, again.err
    measured = json.loads(mien("info", run, "--json").out)
    assert measured == json.loads(shown.out) | {"created": measured["created"]}


def test_a_folder_of_ones_own_may_be_called_as_a_model_that_comes_with_mien(mien, tmp_path, tiny_run, monkeypatch):
    shutil.copytree(tiny_run.path, tmp_path / "fast")
    monkeypatch.chdir(tmp_path)
    exported = mien("export", "./fast", "--out", "x.onnx")
    assert exported.code == 0, exported.err
    assert json.loads(mien("info", "x.onnx", "--json").out)["name"] == "tiny"


def test_an_export_replaces_neither_what_it_is_made_from_nor_what_else_a_run_holds(
    mien, tmp_path, tiny_run, face_folder
):
    run = tmp_path / "run"
    shutil.copytree(tiny_run.path, run)
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    words = ("export", run, "--precision", "int8", "--data", face_folder)
    for out in ("best.safetensors", "recipe.toml", "."):
        refused(mien("export", run, "--out", run / out), "out-suffix", "--out")
        refused(mien(*words, "--out", run / out), "out-suffix", "--out")
    refused(mien(*words, "--out", run / "model.onnx"), "out-is-source")
    refused(mien("export", run / "model.onnx"), "not-a-run", "model.onnx")
    for option in (("--group", "person"), ("--map", "a=b")):
        refused(mien("export", run, *option), "options", option[0])
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before
    assert mien(*words).code == 0
    (run / "model.int8.onnx").replace(run / "model.onnx")
    refused(mien(*words), "precision", run)


def test_a_class_without_a_face_to_learn_is_said(mien, tmp_path, recipe_file, faces):
    kept = faces.subset((faces.split != "train") | (faces.labels != faces.classes.index("disgust")))
    write_parquet(kept, tmp_path / "faces.parquet")
    said = mien("train", recipe_file, "--data", tmp_path / "faces.parquet", "--out", tmp_path / "run")
    assert said.code == 0
    noted(said, "class-not-trained", "disgust")


def test_training_as_json_and_quietly(mien, tmp_path, recipe_file, face_folder):
    answer = mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "r", "--json", "--quiet")
    assert answer.err == ""
    assert json.loads(answer.out)["run"] == str(tmp_path / "r")


@pytest.mark.parametrize(("sampling", "said"), [("none", True), ("oversample", False), ("undersample", True)])
def test_the_faces_that_there_are_to_learn_are_counted_once_they_are_balanced(
    mien, tmp_path, recipe_file, face_folder, sampling, said
):
    """Oracle: the counts of the classes, by hand: one face more than there are, and fewer than when filled up."""
    counts = load_dataset(face_folder).counts("train")
    assert counts.sum() + 1 < 7 * counts.max()
    words = ("--set", f"batch_size={counts.sum() + 1}", "--set", f"balance.sampling={sampling}", "--set", "epochs=1")
    answer = mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "r", *words)
    learnt = counts.sum() if sampling == "none" else 7 * counts.min()
    assert note_codes(answer.err).count("batch-too-large") == said, answer.err
    if said:
        noted(answer, "batch-too-large", learnt)


def test_resume_where_there_is_no_run_says_that_one_begins(mien, tmp_path, recipe_file, face_folder):
    words = ("train", recipe_file, "--data", face_folder, "--out", tmp_path / "r", "--resume", "--set", "epochs=1")
    first = mien(*words, "--set", "batch_size=1000", "--set", "tuning.frozen_epochs=1")
    assert first.code == 0, first.err
    noted(first, "nothing-to-resume", tmp_path / "r")
    noted(first, "batch-too-large", "batch_size = 1000")
    held_out = (load_dataset(face_folder).split == "validation").sum()
    if held_out < 50:
        noted(first, "validation-small", held_out)
    noted(first, "weights-random-frozen", "tuning.frozen_epochs = 1")
    noted(first, "only-head-learns", "tuning.frozen_epochs = 1", "run of 1")
    again = mien(*words, "--set", "batch_size=1000", "--set", "tuning.frozen_epochs=1")
    assert again.code == 0, again.err
    assert "nothing-to-resume" not in note_codes(again.err)
    (tmp_path / "r" / "model.onnx").unlink()
    (tmp_path / "r" / "model.int8.onnx").write_bytes(b"of a model that is gone")
    without = mien(*words, "--set", "batch_size=1000", "--set", "tuning.frozen_epochs=1")
    noted(without, "files-removed", "model.int8.onnx", tmp_path / "r")
    assert (tmp_path / "r" / "model.onnx").is_file()
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "mine.txt").write_text("mine")
    refused(mien(*words, "--out", notes), "folder-exists")


def test_what_is_wrong_with_the_arguments_is_said_before_the_data_is(
    mien, tmp_path, recipe_file, tiny_run, face_folder
):
    out, data = tmp_path / "r", ("--data", face_folder)
    headless = tmp_path / "headless"
    shutil.copytree(tiny_run.path, headless)
    (headless / "best.safetensors").unlink()
    for words, code, value in (
        (("--set", "model.name=nonsense"), "model-unknown", "'nonsense'"),
        (("--set", "model.widths=[4]"), "model-setting", "widths"),
        (("--set", "model.colour=3"), "model-setting-unknown", "'colour'"),
        (("--set", "progressive_resizing=[[0.5, 4]]"), "recipe-value", "4 px"),
        (("--from", headless), "checkpoint-missing", "best.safetensors"),
        (("--out", tiny_run.path, "--resume", "--set", "seed=9"), "run-other-recipe", tiny_run.path),
    ):
        answer = mien("train", recipe_file, *data, "--out", out, *words)
        refused(answer, code, value)
        assert len(answer.err.splitlines()) == 1, answer.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("train", "quick", "--data", "nowhere"), "nowhere"),
        (("train", "quick", "--data", ".", "--from", "nowhere"), "nowhere"),
        (("distill", "quick", "--data", ".", "--teachers", "nowhere"), "nowhere"),
        (("soup", "default", "fast", "--data", "nowhere", "--out", "r"), "nowhere"),
        (("soup", "default", "nowhere", "--data", ".", "--out", "r"), "nowhere"),
        (("prune", "default", "--widths", "8", "--data", "nowhere", "--out", "r"), "nowhere"),
        (("prune", "nowhere", "--widths", "8", "--data", ".", "--out", "r"), "nowhere"),
        (("train", "quick", "--data", "faces.csv", "--clean", "nowhere"), "nowhere"),
        (("train", "quick", "--data", "faces.csv", "--map", "nowhere"), "nowhere"),
        (("train", "quick", "--data", "n" * 300), "nnnnn"),
        (("study", "study-b", "--data", "nowhere"), "nowhere"),
        (("sweep", "quick", "--data", "nowhere"), "nowhere"),
        (("sweep", "qwick", "--data", "faces.csv"), "'quick'"),
        (
            ("soft-labels", "default", "--data", "nowhere", "--recipe", "quick", "--epochs", "1", "--out", "x.npz"),
            "nowhere",
        ),
        (
            ("soft-labels", "nowhere", "--data", ".", "--recipe", "quick", "--epochs", "1", "--out", "x.npz"),
            "nowhere",
        ),
    ],
)
def test_a_wrong_path_is_said_before_torch_is_loaded(tmp_path, words, value):
    """Torch takes seconds to import: here an import of it ends the command in another way."""
    script = "import sys; sys.modules['torch'] = None; from mien.cli.main import main; main()"
    (tmp_path / "faces.csv").write_text("path,label\n")
    done = subprocess.run([sys.executable, "-c", script, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert value in line
    assert line.startswith("mien: ")
    assert [file.name for file in tmp_path.iterdir()] == ["faces.csv"]


def test_the_shipped_model_is_called_as_users_call_it(mien, tiny_run):
    lines = dict(line.split(maxsplit=1) for line in mien("info", "default").out.splitlines() if " " in line)
    assert lines["name"].strip() == "default"
    assert lines["recipe"].startswith("pruned-votes, sha256:")
    assert "tiny, sha256:" in mien("info", tiny_run.path).out


def test_ctrl_c_is_said(tmp_path):
    """A real one, while the command reads a pipe that says nothing."""
    pipe = tmp_path / "face.png"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "mien", "predict", "--crops", str(pipe)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    writer = None
    while writer is None and process.poll() is None:
        try:
            writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            # Nobody reads it yet.
            time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    os.close(writer)
    assert (process.returncode, errors) == (130, "mien: Stopped. [stopped]\n")


def test_the_test_split_is_written_into_the_ledger(mien, tmp_path, tiny_run, face_folder):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run.path, run.path)
    before = (run.path / "metrics.json").read_bytes()
    for count, model in ((1, run.path), (2, run.model)):
        answer = mien("evaluate", model, "--data", face_folder, "--split", "test", "--out", tmp_path / f"out{count}")
        assert answer.code == 0, answer.err
        assert f"used {count} time" in answer.err
        assert run.test_uses() == count
        names = sorted(file.name for file in (tmp_path / f"out{count}").iterdir())
        assert names == ["metrics.json", "predictions_test.npz", "report.html"]
    mien("evaluate", run.path, "--data", face_folder)
    assert run.test_uses() == 2, "validation is not the test split"
    refused(mien("evaluate", run.path, "--data", face_folder, "--out", run.path), "out-is-run")
    again = ("evaluate", run.path, "--data", face_folder, "--out", tmp_path / "out1")
    refused(mien(*again), "file-exists", "metrics.json")
    assert run.test_uses() == 2
    assert (run.path / "metrics.json").read_bytes() == before


def test_the_ledger_knows_of_a_test_split_whose_measuring_broke_off(mien, tmp_path, tiny_run, face_folder, monkeypatch):
    from mien.pipeline import evaluate as evaluating

    run = tmp_path / "run"
    shutil.copytree(tiny_run.path, run)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluating, "evaluate_predictions", interrupted)
    said = mien("evaluate", run, "--data", face_folder, "--split", "test")
    assert said.code == 130
    assert RunFolder(run).test_uses() == 1


def test_a_machine_without_the_memory_says_so_in_a_line(mien, tiny_run, face_folder, monkeypatch):
    from mien.pipeline import evaluate as evaluating

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(evaluating, "evaluate_predictions", full)
    refused(mien("evaluate", tiny_run.path, "--data", face_folder), "memory")


def test_so_does_torch_where_it_lacks_memory(mien, tmp_path, recipe_file, face_folder, monkeypatch):
    """Oracle: torch's own words for more memory than any machine has."""
    import torch

    from mien.training import loop

    monkeypatch.setattr(loop, "_train_epoch", lambda *_: torch.empty(10**16))
    answer = mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "r")
    refused(answer, "memory")
    assert not (tmp_path / "r").exists(), "the same folder may be used with a smaller batch"
    monkeypatch.setattr(loop, "_train_epoch", lambda *_: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):
        mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "s")


def test_anybodys_scores_are_measured(mien, tmp_path, tiny_run):
    answer = mien("evaluate", "--predictions", tiny_run.predictions("validation"), "--json", "--out", tmp_path / "out")
    assert json.loads(answer.out)["headline"] == json.loads((tiny_run.path / "metrics.json").read_text())["headline"]
    assert (tmp_path / "out" / "report.html").is_file()
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    words = ("evaluate", "--predictions", tiny_run.predictions("validation"), "--out", tmp_path / "out")
    refused(mien(*words, "--classes", "binary"), "file-exists", "--overwrite")
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    assert mien(*words, "--classes", "binary", "--overwrite").code == 0
    assert (tmp_path / "out" / "metrics.json").read_bytes() != before["metrics.json"]
    refused(mien(*words[:-2], "--overwrite"), "options", "--overwrite", "--out")
    refused(mien("evaluate", "--predictions", tiny_run.predictions("validation"), tiny_run.path), "options")
    refused(mien("evaluate", tiny_run.path), "options", "--data")
    refused(mien("evaluate", "--predictions", tmp_path / "none.npz"), "predictions-missing", "none.npz")
    refused(mien("evaluate", "--predictions", tiny_run.predictions("validation"), "--map", "a=b"), "options")
    refused(mien("evaluate", "--predictions", tiny_run.predictions("validation"), "--split", "train"), "options")


def test_odd_file_names_are_shown_as_they_are(mien, tmp_path, tiny_run, faces):
    for name in ("face[left].png", "a[/b].png", "two\nlines.png"):
        file = tmp_path / name.replace("/", "_")
        Image.fromarray(np.asarray(faces.images[0])).save(file)
    answer = mien("predict", "--model", tiny_run.path, "--crops", tmp_path)
    assert answer.code == 0
    assert "face[left].png" in answer.out
    (tmp_path / "two\nlines.png").write_bytes(b"x")
    refused(
        mien("predict", "--model", tiny_run.path, "--crops", tmp_path / "two\nlines.png"),
        "image-format",
        "two lines.png",
    )


def test_csv_is_printed_whole_or_not_at_all(mien, tmp_path, tiny_run, face_folder):
    bad = tmp_path / "z.png"
    bad.write_bytes(b"x")
    answer = mien("predict", "--model", tiny_run.path, "--crops", face_folder / "test", bad, "--csv")
    refused(answer, "image-format", "z.png", "--skip-bad")


def test_by_a_column(mien, tmp_path, tiny_run, face_folder):
    table = tmp_path / "faces.csv"
    files = sorted((face_folder / "validation").rglob("*.png"))
    lines = [f"{file},{file.parent.name},validation,{'odd' if int(file.stem) % 2 else 'even'}" for file in files]
    table.write_text("path,label,split,parity\n" + "\n".join(lines) + "\n")
    answer = mien("evaluate", tiny_run.path, "--data", table, "--by", "parity", "--json")
    content = json.loads(answer.out)
    assert {part["value"]: part["count"] for part in content["by"]["parts"]} == {
        "odd": sum(int(file.stem) % 2 for file in files),
        "even": sum(1 - int(file.stem) % 2 for file in files),
    }
    assert "parity" in mien("evaluate", tiny_run.path, "--data", table, "--by", "parity").out
    refused(mien("evaluate", tiny_run.path, "--data", table, "--by", "party"), "column-missing", "'parity'")
    split = mien("evaluate", tiny_run.path, "--data", face_folder, "--by", "split")
    refused(split, "by-split", "'validation'")
    unnamed = mien("evaluate", tiny_run.path, "--data", face_folder, "--by", "source")
    refused(unnamed, "column-missing", "'source'")


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
    converted = mien("data", "convert", face_folder, "--out", tmp_path / "x.parquet")
    assert converted.code == 0, converted.err
    again = json.loads(mien("data", "info", tmp_path / "x.parquet", "--json").out)
    assert again["fingerprint"] == content["fingerprint"]
    refused(mien("data", "convert", face_folder, "--out", tmp_path / "x.parquet"), "file-exists", "x.parquet")


def test_map_and_fine_tuning_on_ones_own_classes(mien, tmp_path, recipe_file, face_folder, tiny_run):
    mine = tmp_path / "mine"
    for number, (name, source) in enumerate({"smile": "happy", "gloom": "sad"}.items()):
        shutil.copytree(face_folder / "train" / source, mine / f"{number}_{name}")
    answer = mien(
        *("train", recipe_file, "--data", mine, "--out", tmp_path / "tuned", "--from", tiny_run.path, "--json"),
        *("--map", "0_smile=happy,1_gloom=gloom", "--set", "model.dropout=0.3"),
    )
    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    assert content["classes"] == ["happy", "gloom"]
    written = (tmp_path / "tuned" / "recipe.toml").read_text()
    assert "widths = [4, 8]" in written, "the network is the one tuned from"
    assert "dropout = 0.3" in written
    again = ("train", recipe_file, "--data", mine, "--out", tmp_path / "again", "--from", tiny_run.path)
    refused(mien(*again, "--set", "model.widths=[99]"), "recipe-set-fixed", "model.widths")
    refused(mien(*again, "--set", "input.mean=0.4"), "recipe-set-fixed", "input.mean")


def test_a_mean_of_runs_that_began_apart_is_doubted(mien, tmp_path, recipe_file, faces, tiny_run):
    data = tmp_path / "faces.parquet"
    write_parquet(faces, data)
    for name, how in (("stranger", ("--set", "seed=5")), ("child", ("--from", tiny_run.path))):
        made = mien("train", recipe_file, "--data", data, "--out", tmp_path / name, "--set", "epochs=1", *how)
        assert made.code == 0, made.err
    doubt = "start-unknown"
    own = mien("soup", tiny_run.path, tmp_path / "child", "--data", data, "--out", tmp_path / "own")
    assert (own.code, doubt in note_codes(own.err)) == (0, False)
    apart = mien("soup", tiny_run.path, tmp_path / "stranger", "--data", data, "--out", tmp_path / "apart")
    assert (apart.code, doubt in note_codes(apart.err)) == (0, True)


@pytest.mark.parametrize(
    "words",
    [("train", "quick", "--from", "fast-int8"), ("soup", "fast-int8"), ("prune", "fast-int8", "--widths", "8,8,8,8")],
    ids=lambda words: words[0],
)
def test_an_int8_form_is_no_start_for_training(mien, tmp_path, face_folder, words):
    answer = mien(*words, "--data", face_folder, "--out", tmp_path / "out")
    refused(answer, "model-int8", "8")
    assert not (tmp_path / "out").exists()


def test_the_model_that_comes_with_mien_reads_and_is_tuned_from(mien, tmp_path, recipe_file, face_folder):
    read = mien("predict", "--crops", face_folder / "test" / "happy", "--json")
    assert json.loads(read.out)[0]["top"] in mien_classes()
    answer = mien(
        *("train", recipe_file, "--data", face_folder, "--out", tmp_path / "tuned", "--from", "default"),
        *("--set", "epochs=1", "--json"),
    )
    assert answer.code == 0, answer.err
    assert "widths = [32, 96, 192, 256]" in (tmp_path / "tuned" / "recipe.toml").read_text()
    tested = mien("evaluate", "default", "--data", face_folder, "--split", "test")
    assert "ledger" in tested.err


def test_seven_classes_then_five_then_two(mien, tmp_path, face_folder, tiny_run):
    short = ("--data", face_folder, "--set", "epochs=1", "--set", "batch_size=32", "--set", "tuning.frozen_epochs=0")
    start = tiny_run.path
    for scheme, classes in (("five", 5), ("binary", 2)):
        out = tmp_path / scheme
        answer = mien("train", "tune", *short, "--from", start, "--set", f"classes={scheme}", "--out", out, "--json")
        assert answer.code == 0, answer.err
        # Both schemes leave out two of the seven classes, or one: those faces choose nothing.
        counts = load_dataset(face_folder).with_scheme(parse_scheme(scheme)).counts("validation")
        assert note_codes(answer.err) == ["validation-small"]
        noted(answer, "validation-small", counts.sum())
        assert len(json.loads(answer.out)["classes"]) == classes
        start = out
    tested = mien("evaluate", start, "--data", face_folder, "--json")
    assert json.loads(tested.out)["classes"] == ["negative", "positive"]


def test_a_timm_backbone_and_a_random_start_is_said_loudly(mien, tmp_path, face_folder, timm, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    command = ("train", "tune", "--data", face_folder, "--out", tmp_path / "r", "--set", "batch_size=32")
    command += ("--set", "epochs=1", "--set", "model.name=timm", "--set", "model.backbone=test_resnet")
    refused(mien(*command), "weights-not-here", "model.weights", "model.pretrained=false")
    refused(mien(*command, "--set", f"model.weights={tmp_path / 'x.safetensors'}"), "weights-missing")
    assert not (tmp_path / "r").exists()
    answer = mien(*command, "--set", "model.pretrained=false")
    assert answer.code == 0, answer.err
    noted(answer, "weights-random", "model.pretrained")
    noted(answer, "weights-random-frozen", "tuning.frozen_epochs = 2")
    noted(answer, "only-head-learns", "tuning.frozen_epochs = 2", "run of 1")
    assert re.search(r"initial weights\W.*random", (tmp_path / "r" / "report.html").read_text())


def mien_classes():
    from mien.labels import EXPRESSIONS

    return EXPRESSIONS


def test_recipes_are_listed_and_printed(mien, tmp_path):
    assert "demo" in mien("recipes").out
    (tmp_path / "own.toml").write_text(mien("recipes", "demo").out)
    assert json.loads(mien("recipes", str(tmp_path / "own.toml"), "--json").out)["name"] == "demo"


def test_mistakes_of_training_are_one_line_and_leave_nothing(mien, tmp_path, recipe_file, face_folder, tiny_run):
    run = tmp_path / "run"

    def attempt(*extra, recipe=recipe_file, data=face_folder):
        return mien("train", recipe, "--data", data, "--out", run, *extra)

    refused(attempt(recipe="quik"), "recipe-unknown", "'quik'")
    refused(attempt("--set", "optim.lr=0"), "recipe-value", "optim.lr", "0")
    refused(attempt("--set", "optim.rate=1"), "recipe-unknown-key", "'optim.rate'")
    refused(attempt("--set", "model.name=resnet"), "model-unknown")
    refused(attempt("--set", "model.widht=3"), "model-setting-unknown")
    refused(attempt("--set", "classes=seven2"), "recipe-value")
    refused(attempt(data=tmp_path / "none"), "data-missing")
    refused(attempt("--from", tmp_path / "none"), "model-missing")
    refused(attempt("--map", "x"), "map-syntax", "--map")
    refused(attempt("--set", "name=../elsewhere"), "recipe-value")
    refused(attempt("--set", 'epochs="3"'), "recipe-value")
    assert not run.exists()
    before = {file: file.read_bytes() for file in tiny_run.path.iterdir()}
    refused(mien("train", recipe_file, "--data", face_folder, "--out", tiny_run.path), "run-exists")
    assert before == {file: file.read_bytes() for file in tiny_run.path.iterdir()}


def test_a_nan_loss_is_one_line(mien, tmp_path, recipe_file, face_folder):
    answer = mien(
        "train", recipe_file, "--data", face_folder, "--out", tmp_path / "r", "--set", "optim.lr=1e12", "--quiet"
    )
    refused(answer, "loss-not-finite", "optim.lr=1e+12")


def test_bad_images_and_data_are_one_line(mien, tmp_path, tiny_run, faces):
    for name in ("happy", "sad"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for index in range(4):
            Image.fromarray(np.asarray(faces.images[index + 4 * (name == "sad")])).save(
                tmp_path / "d" / name / f"{index}.png"
            )
    bad = tmp_path / "d" / "sad" / "9.jpg"
    bad.write_bytes(b"\xff\xd8\xff\xe0 no more")
    refused(mien("data", "info", tmp_path / "d"), "image-unreadable", "9.jpg")
    skipped = mien("data", "info", tmp_path / "d", "--skip-bad")
    assert skipped.code == 0
    assert "9.jpg" in skipped.err
    refused(mien("predict", "--model", tiny_run.path, "--crops", bad), "image-damaged", "9.jpg")
    answer = mien("predict", "--model", tiny_run.path, "--crops", tmp_path / "d", "--skip-bad", "--csv")
    assert answer.code == 0
    assert "skipped" in answer.err
    assert len(answer.out.splitlines()) == 9
    shutil.rmtree(tmp_path / "d" / "sad")
    refused(mien("data", "info", tmp_path / "d"), "class-count")
    refused(mien("predict", "--model", tmp_path, "--crops", tmp_path / "d"), "model-missing")
    refused(mien("info", bad), "model-missing", "9.jpg")
    refused(mien("export", tmp_path / "d"), "not-a-run")
    refused(mien("export", "fast"), "run-shipped")


def test_ctrl_c_leaves_a_finished_run_and_resume_goes_on(mien, tmp_path, recipe_file, face_folder):
    """A real process, a real SIGINT; then another one to this process, which resumes."""
    run = RunFolder(tmp_path / "run")
    command = [
        sys.executable,
        "-m",
        "mien",
        "train",
        str(recipe_file),
        "--data",
        str(face_folder),
        "--out",
        str(run.path),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([*command, "--set", "epochs=500"], stderr=subprocess.PIPE, text=True, env=environment)
    while child.poll() is None and not (run.path / "history.csv").is_file():
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    assert ": interrupted." in err
    assert f"--out {run.path} --set epochs=500 --resume" in err
    assert run.model.is_file()
    epochs = len(run.read_history())
    assert 1 <= epochs < 500
    ended = threading.Event()

    def press_ctrl_c():
        while not ended.wait(0.05):
            if len(run.read_history()) >= epochs + 2:
                os.kill(os.getpid(), signal.SIGINT)
                return

    presses = threading.Thread(target=press_ctrl_c)
    presses.start()
    resumed = mien(*command[3:], "--set", "epochs=500", "--resume")
    ended.set()
    presses.join()
    assert resumed.code == 0, resumed.err
    assert epochs + 2 <= len(run.read_history()) < 500


def test_a_closed_pipe_is_no_error(face_folder, tiny_run):
    done = subprocess.run(
        f"{sys.executable} -m mien predict --model {tiny_run.path} --crops {face_folder} --csv | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("source,answer,top,confidence")
    assert done.stderr == ""


def test_an_option_whose_placeholder_is_its_own_name_is_spelt_out():
    # Some versions of typer take such a placeholder for the option's name, and --out becomes --OUT.
    unspelt = []
    functions = []
    for name, command in COMMANDS.items():
        module = importlib.import_module(f"mien.cli.{name.replace('-', '_')}")
        own = [each.callback for each in module.app.registered_commands] if command.has_commands else []
        functions += own or [getattr(module, name.replace("-", "_"))]
    assert len(functions) > len(COMMANDS)
    for command in functions:
        for parameter, hint in get_type_hints(command, include_extras=True).items():
            for option in getattr(hint, "__metadata__", ()):
                if not isinstance(option, OptionInfo) or option.metavar != parameter.upper():
                    continue
                # In an Annotated, typer keeps the first spelling in the place of the default.
                if not option.param_decls and option.default is ...:
                    unspelt.append(f"{command.__name__} --{parameter}")
    assert unspelt == []


@pytest.mark.parametrize("command", ["audit", "demo", "study", "sweep"])
def test_what_a_page_needs_is_missed_before_the_work(mien, tmp_path, face_folder, monkeypatch, command):
    """Plotly came with a later version than matplotlib, so it may be missing alone."""
    monkeypatch.setitem(sys.modules, "plotly", None)
    words = {"audit": [face_folder], "demo": [], "study": ["study-a", "--data", face_folder]}
    words["sweep"] = ["quick", "--data", face_folder]
    out = tmp_path / "out"
    refused(mien(command, *words[command], "--out", out), "missing-extra", "plotly")
    assert not out.exists()
