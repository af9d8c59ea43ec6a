"""Every command as a user types it: exit codes, one-line errors, what is printed and what is left on disk."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import get_type_hints

import numpy as np
import pytest
from PIL import Image
from typer.models import OptionInfo

from mien.cli.main import app
from mien.data.parquet import write_parquet
from mien.data.read import read_faces
from mien.labels import parse_scheme
from mien.recipe_file import dump_recipe
from mien.run_folder import RunFolder

COMMANDS = (
    *("demo", "recipes", "train", "evaluate", "robustness", "explain", "export", "info", "predict", "embed"),
    *("data info", "data convert"),
)


@pytest.fixture
def recipe_file(tmp_path, tiny_recipe):
    file = tmp_path / "tiny.toml"
    file.write_text(dump_recipe(tiny_recipe))
    return file


def one_line(answer, *parts):
    """A mistake: exit code 2, nothing on stdout, one line on stderr that holds these words."""
    assert answer.code == 2, answer
    assert answer.out == ""
    lines = [line for line in answer.err.splitlines() if line.startswith("mien: ")]
    assert len(lines) == 1, answer.err
    assert answer.err.splitlines()[-1] == lines[0]
    assert "Traceback" not in answer.err
    for part in parts:
        assert part in lines[0], lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(mien, command):
    answer = mien(*command.split(), "--help")
    assert answer.code == 0
    assert "Usage: mien" in answer.out


@pytest.mark.parametrize("group", ["", "data", "web", "detectors"])
def test_no_command_of_a_list_is_cut_in_80_columns(mien, monkeypatch, group):
    """Typer cuts a docstring that is too long and ends it with three dots; a short help that is too long it wraps."""
    monkeypatch.setenv("COLUMNS", "80")
    listed = mien(*group.split(), "--help").out.partition("Commands:")[2].splitlines()[1:]
    assert listed
    assert not [line for line in listed if line.endswith("...") or not line.endswith(".")]


def test_no_command_shows_help_and_a_wrong_one_is_one_line(mien):
    assert "Usage: mien" in mien().out
    one_line(mien("trian"), "trian")
    one_line(mien("train", "quick"), "--data", "mien train --help")
    one_line(mien("evaluate", "--modl", "x"), "--modl")
    assert mien("--version").out.startswith("mien 0.")


def test_an_argument_that_a_shell_left_empty_is_not_the_current_folder(mien, tmp_path, face_folder, monkeypatch):
    monkeypatch.chdir(face_folder / "test" / "happy")
    one_line(mien("predict", "--crops", ""), "after --crops is empty", "variable")
    one_line(mien("predict", "--crops", ".", "--annotate="), "--annotate= says nothing")
    one_line(mien("", "--version"), "after mien is empty")


def test_train_evaluate_export_info_predict(mien, tmp_path, recipe_file, face_folder):
    run = tmp_path / "run"
    trained = mien("train", recipe_file, "--data", face_folder, "--out", run, "--set", "epochs=3")
    assert trained.code == 0, trained.err
    assert "Accuracy" in trained.out
    assert "report:" in trained.err
    assert "epochs = 3" in (run / "recipe.toml").read_text()

    evaluated = mien("evaluate", "--model", run, "--data", face_folder, "--json")
    content = json.loads(evaluated.out)
    assert content["split"] == "validation"
    assert content["headline"]["accuracy"] == json.loads((run / "metrics.json").read_text())["headline"]["accuracy"]

    exported = mien("export", run, "--out", tmp_path / "x.onnx", "--json")
    assert json.loads(exported.out)["agreement"] == 1.0
    assert exported.err == ""
    shown = mien("info", tmp_path / "x.onnx", "--json")
    assert json.loads(shown.out)["scores"]["validation_accuracy"] == content["headline"]["accuracy"]["value"]
    assert "angry, disgust" in mien("info", run).out
    assert "of the network without its temperature" in mien("info", run).out
    assert [re.search(r"^weights +(\S+)", mien("info", each).out, re.M)[1] for each in (run, "fast-int8")] == [
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
    assert f"NOTE: {run / 'model.onnx'} holds neither scores nor a temperature, since the run has no" in bare.err
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
    words = ("export", run, "--int8", "--data", face_folder)
    for out in ("best.safetensors", "recipe.toml", "."):
        one_line(mien("export", run, "--out", run / out), "--out must name a .onnx file")
        one_line(mien(*words, "--out", run / out), "--out must name a .onnx file")
    one_line(mien(*words, "--out", run / "model.onnx"), "which the smaller form is made from")
    one_line(mien("export", run / "model.onnx"), "model.onnx is a file; give a run folder")
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before
    assert mien(*words).code == 0
    (run / "model.int8.onnx").replace(run / "model.onnx")
    one_line(mien(*words), f"is int8 already. Write it in fp32 with: mien export {run}")


def test_a_class_without_a_face_to_learn_is_said(mien, tmp_path, recipe_file, faces):
    kept = faces.subset((faces.split != "train") | (faces.labels != faces.classes.index("disgust")))
    write_parquet(kept, tmp_path / "faces.parquet")
    said = mien("train", recipe_file, "--data", tmp_path / "faces.parquet", "--out", tmp_path / "run")
    assert said.code == 0
    assert "NOTE: there is no face to learn of: disgust." in said.err


def test_training_as_json_and_quietly(mien, tmp_path, recipe_file, face_folder):
    answer = mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "r", "--json", "--quiet")
    assert answer.err == ""
    assert json.loads(answer.out)["run"] == str(tmp_path / "r")


@pytest.mark.parametrize(("sampling", "said"), [("none", True), ("oversample", False), ("undersample", True)])
def test_the_faces_that_there_are_to_learn_are_counted_once_they_are_balanced(
    mien, tmp_path, recipe_file, face_folder, sampling, said
):
    """Oracle: the counts of the classes, by hand: one face more than there are, and fewer than when filled up."""
    counts = read_faces(face_folder).counts("train")
    assert counts.sum() + 1 < 7 * counts.max()
    words = ("--set", f"batch_size={counts.sum() + 1}", "--set", f"balance.sampling={sampling}", "--set", "epochs=1")
    answer = mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "r", *words)
    learnt = counts.sum() if sampling == "none" else 7 * counts.min()
    note = f"is more than the {learnt} faces to learn: an epoch is one step."
    assert (note in answer.err) == said, answer.err
    assert ("to learn: an epoch" in answer.err) == said


def test_resume_where_there_is_no_run_says_that_one_begins(mien, tmp_path, recipe_file, face_folder):
    words = ("train", recipe_file, "--data", face_folder, "--out", tmp_path / "r", "--resume", "--set", "epochs=1")
    first = mien(*words, "--set", "batch_size=1000", "--set", "tuning.frozen_epochs=1")
    assert first.code == 0, first.err
    assert f"NOTE: there is no run in {tmp_path / 'r'} to go on with: a new one begins." in first.err
    assert "NOTE: batch_size = 1000 is more than the" in first.err
    held_out = (read_faces(face_folder).split == "validation").sum()
    assert (f"NOTE: validation has {held_out} faces to choose the epoch by" in first.err) == (held_out < 50)
    assert "NOTE: tuning.frozen_epochs = 1 lasts for the whole run of 1: only the head learns." in first.err
    again = mien(*words, "--set", "batch_size=1000", "--set", "tuning.frozen_epochs=1")
    assert again.code == 0, again.err
    assert "no run in" not in again.err
    (tmp_path / "r" / "model.onnx").unlink()
    (tmp_path / "r" / "model.int8.onnx").write_bytes(b"of a model that is gone")
    without = mien(*words, "--set", "batch_size=1000", "--set", "tuning.frozen_epochs=1")
    assert f"NOTE: removed model.int8.onnx from {tmp_path / 'r'}" in without.err
    assert (tmp_path / "r" / "model.onnx").is_file()
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "mine.txt").write_text("mine")
    one_line(mien(*words, "--out", notes), "is no run folder")


def test_what_is_wrong_with_the_arguments_is_said_before_the_data_is(
    mien, tmp_path, recipe_file, tiny_run, face_folder
):
    out, data = tmp_path / "r", ("--data", face_folder)
    headless = tmp_path / "headless"
    shutil.copytree(tiny_run.path, headless)
    (headless / "best.safetensors").unlink()
    for words, parts in (
        (("--set", "model.name=nonsense"), "no model 'nonsense'"),
        (("--set", "model.widths=[4]"), "widths"),
        (("--set", "model.colour=3"), "no setting 'colour'"),
        (("--set", "early_sizes=[[0.5, 4]]"), "early size of 4 px"),
        (("--from", headless), "best.safetensors does not exist"),
        (("--out", tiny_run.path, "--resume", "--set", "seed=9"), "was trained by another recipe"),
    ):
        answer = mien("train", recipe_file, *data, "--out", out, *words)
        one_line(answer, parts)
        assert len(answer.err.splitlines()) == 1, answer.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("train", "quick", "--data", "nowhere"), "nowhere does not exist"),
        (("train", "quick", "--data", ".", "--from", "nowhere"), "nowhere does not exist"),
        (("distill", "quick", "--data", ".", "--teachers", "nowhere"), "nowhere does not exist"),
        (("soup", "default", "fast", "--data", "nowhere", "--out", "r"), "nowhere does not exist"),
        (("soup", "default", "nowhere", "--data", ".", "--out", "r"), "nowhere does not exist"),
        (("prune", "default", "--widths", "8", "--data", "nowhere", "--out", "r"), "nowhere does not exist"),
        (("prune", "nowhere", "--widths", "8", "--data", ".", "--out", "r"), "nowhere does not exist"),
        (("train", "quick", "--data", "faces.csv", "--clean", "nowhere"), "nowhere does not exist"),
        (("train", "quick", "--data", "faces.csv", "--map", "nowhere"), "nowhere"),
        (("train", "quick", "--data", "n" * 300), "cannot be read"),
        (("study", "study-b", "--data", "nowhere"), "nowhere does not exist"),
        (("sweep", "quick", "--data", "nowhere"), "nowhere does not exist"),
        (("sweep", "qwick", "--data", "faces.csv"), "Did you mean 'quick'"),
        (
            ("teach", "default", "--data", "nowhere", "--recipe", "quick", "--epochs", "1", "--out", "x.npz"),
            "nowhere does not exist",
        ),
        (
            ("teach", "nowhere", "--data", ".", "--recipe", "quick", "--epochs", "1", "--out", "x.npz"),
            "no model at nowhere",
        ),
    ],
)
def test_a_wrong_path_is_said_before_torch_is_loaded(tmp_path, words, part):
    """Torch takes seconds to import: here an import of it ends the command in another way."""
    script = "import sys; sys.modules['torch'] = None; from mien.cli.main import main; main()"
    (tmp_path / "faces.csv").write_text("path,label\n")
    done = subprocess.run([sys.executable, "-c", script, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert part in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["faces.csv"]


def test_the_shipped_model_is_called_as_users_call_it(mien, tiny_run):
    lines = dict(line.split(maxsplit=1) for line in mien("info", "default").out.splitlines() if " " in line)
    assert lines["name"].strip() == "default"
    assert lines["recipe"].startswith("pruned, sha256:")
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
    assert (process.returncode, errors) == (130, "mien: stopped\n")


def test_the_test_split_is_written_into_the_ledger(mien, tmp_path, tiny_run, face_folder):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run.path, run.path)
    before = (run.path / "metrics.json").read_bytes()
    for count, model in ((1, run.path), (2, run.model)):
        answer = mien(
            "evaluate", "--model", model, "--data", face_folder, "--split", "test", "--out", tmp_path / f"out{count}"
        )
        assert answer.code == 0, answer.err
        assert f"opened {count} time" in answer.err
        assert run.test_uses() == count
        names = sorted(file.name for file in (tmp_path / f"out{count}").iterdir())
        assert names == ["metrics.json", "report.html", "scores_test.npz"]
    mien("evaluate", "--model", run.path, "--data", face_folder)
    assert run.test_uses() == 2, "validation is not the test split"
    one_line(mien("evaluate", "--model", run.path, "--data", face_folder, "--out", run.path), "run folder")
    again = ("evaluate", "--model", run.path, "--data", face_folder, "--out", tmp_path / "out1")
    one_line(mien(*again), "metrics.json exists already")
    assert run.test_uses() == 2
    assert (run.path / "metrics.json").read_bytes() == before


def test_the_ledger_knows_of_a_test_split_whose_measuring_broke_off(mien, tmp_path, tiny_run, face_folder, monkeypatch):
    from mien.experiments import evaluating

    run = tmp_path / "run"
    shutil.copytree(tiny_run.path, run)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluating, "evaluate_scores", interrupted)
    said = mien("evaluate", "--model", run, "--data", face_folder, "--split", "test")
    assert said.code == 130
    assert RunFolder(run).test_uses() == 1


def test_a_machine_without_the_memory_says_so_in_a_line(mien, tiny_run, face_folder, monkeypatch):
    from mien.experiments import evaluating

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(evaluating, "evaluate_scores", full)
    one_line(mien("evaluate", "--model", tiny_run.path, "--data", face_folder), "memory of this machine")


def test_so_does_torch_where_it_lacks_memory(mien, tmp_path, recipe_file, face_folder, monkeypatch):
    """Oracle: torch's own words for more memory than any machine has."""
    import torch

    from mien.training import loop

    monkeypatch.setattr(loop, "_train_epoch", lambda *_: torch.empty(10**16))
    answer = mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "r")
    one_line(answer, "memory of this machine", "training needs less with a smaller batch_size")
    assert not (tmp_path / "r").exists(), "the same folder may be used with a smaller batch"
    monkeypatch.setattr(loop, "_train_epoch", lambda *_: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):
        mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "s")


def test_anybodys_scores_are_measured(mien, tmp_path, tiny_run):
    answer = mien("evaluate", "--scores", tiny_run.scores("validation"), "--json", "--out", tmp_path / "out")
    assert json.loads(answer.out)["headline"] == json.loads((tiny_run.path / "metrics.json").read_text())["headline"]
    assert (tmp_path / "out" / "report.html").is_file()
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    words = ("evaluate", "--scores", tiny_run.scores("validation"), "--out", tmp_path / "out")
    one_line(mien(*words, "--classes", "binary"), "exists already", "--overwrite")
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    assert mien(*words, "--classes", "binary", "--overwrite").code == 0
    assert (tmp_path / "out" / "metrics.json").read_bytes() != before["metrics.json"]
    one_line(mien(*words[:-2], "--overwrite"), "--overwrite goes with --out")
    one_line(mien("evaluate", "--scores", tiny_run.scores("validation"), "--model", tiny_run.path), "stands alone")
    one_line(mien("evaluate", "--model", tiny_run.path), "--data")
    one_line(mien("evaluate", "--scores", tmp_path / "none.npz"), "none.npz")
    one_line(mien("evaluate", "--scores", tiny_run.scores("validation"), "--map", "a=b"), "stands alone")
    one_line(mien("evaluate", "--scores", tiny_run.scores("validation"), "--split", "train"), "stands alone")


def test_odd_file_names_are_shown_as_they_are(mien, tmp_path, tiny_run, faces):
    for name in ("face[left].png", "a[/b].png", "two\nlines.png"):
        file = tmp_path / name.replace("/", "_")
        Image.fromarray(np.asarray(faces.images[0])).save(file)
    answer = mien("predict", "--model", tiny_run.path, "--crops", tmp_path)
    assert answer.code == 0
    assert "face[left].png" in answer.out
    (tmp_path / "two\nlines.png").write_bytes(b"x")
    one_line(mien("predict", "--model", tiny_run.path, "--crops", tmp_path / "two\nlines.png"), "two lines.png")


def test_csv_is_printed_whole_or_not_at_all(mien, tmp_path, tiny_run, face_folder):
    bad = tmp_path / "z.png"
    bad.write_bytes(b"x")
    answer = mien("predict", "--model", tiny_run.path, "--crops", face_folder / "test", bad, "--csv")
    one_line(answer, "z.png is not an image", "(--skip-bad leaves such pictures out)")


def test_by_a_column(mien, tmp_path, tiny_run, face_folder):
    table = tmp_path / "faces.csv"
    files = sorted((face_folder / "validation").rglob("*.png"))
    lines = [f"{file},{file.parent.name},validation,{'odd' if int(file.stem) % 2 else 'even'}" for file in files]
    table.write_text("path,label,split,parity\n" + "\n".join(lines) + "\n")
    answer = mien("evaluate", "--model", tiny_run.path, "--data", table, "--by", "parity", "--json")
    content = json.loads(answer.out)
    assert {part["value"]: part["count"] for part in content["by"]["parts"]} == {
        "odd": sum(int(file.stem) % 2 for file in files),
        "even": sum(1 - int(file.stem) % 2 for file in files),
    }
    assert "parity" in mien("evaluate", "--model", tiny_run.path, "--data", table, "--by", "parity").out
    one_line(mien("evaluate", "--model", tiny_run.path, "--data", table, "--by", "party"), "Did you mean 'parity'")
    split = mien("evaluate", "--model", tiny_run.path, "--data", face_folder, "--by", "split")
    one_line(split, "is of one split, here 'validation'")
    unnamed = mien("evaluate", "--model", tiny_run.path, "--data", face_folder, "--by", "source")
    one_line(unnamed, "no column 'source'. It has none beside pictures and labels")


def test_data_info_convert_and_back(mien, tmp_path, face_folder):
    shown = mien("data", "info", face_folder)
    assert "class folders" in shown.out
    assert "█" in shown.out
    content = json.loads(mien("data", "info", face_folder, "--json").out)
    assert content["fingerprint_without_test"] != content["fingerprint"]
    assert "without test" in shown.out
    assert content["counts"]["test"]["happy"] == len(list((face_folder / "test" / "happy").iterdir()))
    learnt = read_faces(face_folder)
    write_parquet(learnt.subset(learnt.split != "test"), tmp_path / "learnt.parquet")
    shown = mien("data", "info", tmp_path / "learnt.parquet").out
    assert content["fingerprint_without_test"] in shown
    assert "without test" not in shown
    converted = mien("data", "convert", face_folder, "--out", tmp_path / "x.parquet")
    assert converted.code == 0, converted.err
    again = json.loads(mien("data", "info", tmp_path / "x.parquet", "--json").out)
    assert again["fingerprint"] == content["fingerprint"]
    one_line(mien("data", "convert", face_folder, "--out", tmp_path / "x.parquet"), "x.parquet")


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
    one_line(mien(*again, "--set", "model.widths=[99]"), "model.widths", "keeps the network")
    one_line(mien(*again, "--set", "input.crop_px=40"), "input.crop_px", "keeps the network")


def test_a_mean_of_runs_that_began_apart_is_doubted(mien, tmp_path, recipe_file, faces, tiny_run):
    data = tmp_path / "faces.parquet"
    write_parquet(faces, data)
    for name, how in (("stranger", ("--set", "seed=5")), ("child", ("--from", tiny_run.path))):
        made = mien("train", recipe_file, "--data", data, "--out", tmp_path / name, "--set", "epochs=1", *how)
        assert made.code == 0, made.err
    doubt = "NOTE: these runs did not begin with the same weights"
    own = mien("soup", tiny_run.path, tmp_path / "child", "--data", data, "--out", tmp_path / "own")
    assert (own.code, doubt in own.err) == (0, False)
    apart = mien("soup", tiny_run.path, tmp_path / "stranger", "--data", data, "--out", tmp_path / "apart")
    assert (apart.code, doubt in apart.err) == (0, True)


@pytest.mark.parametrize(
    "words",
    [("train", "quick", "--from", "fast-int8"), ("soup", "fast-int8"), ("prune", "fast-int8", "--widths", "8,8,8,8")],
    ids=lambda words: words[0],
)
def test_an_int8_form_is_no_start_for_training(mien, tmp_path, face_folder, words):
    answer = mien(*words, "--data", face_folder, "--out", tmp_path / "out")
    one_line(answer, "fast-int8 holds 8-bit weights", "give fast.")
    assert not (tmp_path / "out").exists()


def test_the_model_that_comes_with_mien_reads_and_is_tuned_from(mien, tmp_path, recipe_file, face_folder):
    read = mien("predict", "--crops", face_folder / "test" / "happy", "--json")
    assert json.loads(read.out)[0]["top"] in mien_classes()
    answer = mien(
        *("train", recipe_file, "--data", face_folder, "--out", tmp_path / "tuned", "--from", "default"),
        *("--set", "epochs=1", "--json"),
    )
    assert answer.code == 0, answer.err
    assert "widths = [48, 96, 192, 224]" in (tmp_path / "tuned" / "recipe.toml").read_text()
    tested = mien("evaluate", "--model", "default", "--data", face_folder, "--split", "test")
    assert "no ledger was kept" in tested.err


def test_seven_classes_then_five_then_two(mien, tmp_path, face_folder, tiny_run):
    short = ("--data", face_folder, "--set", "epochs=1", "--set", "batch_size=32", "--set", "tuning.frozen_epochs=0")
    start = tiny_run.path
    for scheme, classes in (("five", 5), ("binary", 2)):
        out = tmp_path / scheme
        answer = mien("train", "tune", *short, "--from", start, "--set", f"classes={scheme}", "--out", out, "--json")
        assert answer.code == 0, answer.err
        # Both schemes leave out two of the seven classes, or one: those faces choose nothing.
        counts = read_faces(face_folder).with_scheme(parse_scheme(scheme)).counts("validation")
        note = f"NOTE: validation has {counts.sum()} faces to choose the epoch by"
        assert answer.err.count("NOTE") == answer.err.count(note) == 1
        assert len(json.loads(answer.out)["classes"]) == classes
        start = out
    tested = mien("evaluate", "--model", start, "--data", face_folder, "--json")
    assert json.loads(tested.out)["classes"] == ["negative", "positive"]


def test_a_timm_backbone_and_a_random_start_is_said_loudly(mien, tmp_path, face_folder, timm, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    command = ("train", "tune", "--data", face_folder, "--out", tmp_path / "r", "--set", "batch_size=32")
    command += ("--set", "epochs=1", "--set", "model.name=timm", "--set", "model.backbone=test_resnet")
    one_line(mien(*command), "not on this machine", "model.weights", "model.pretrained=false")
    one_line(mien(*command, "--set", f"model.weights={tmp_path / 'x.safetensors'}"), "does not exist")
    assert not (tmp_path / "r").exists()
    answer = mien(*command, "--set", "model.pretrained=false")
    assert answer.code == 0, answer.err
    assert "NOTE: model.pretrained is false: the backbone begins with RANDOM weights" in answer.err
    assert "NOTE: tuning.frozen_epochs = 2 keeps RANDOM weights frozen" in answer.err
    assert re.search(r"weights at the start\W.*random", (tmp_path / "r" / "report.html").read_text())


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

    one_line(attempt(recipe="quik"), "no recipe 'quik'")
    one_line(attempt("--set", "optim.lr=0"), "optim.lr", "greater than 0")
    one_line(attempt("--set", "optim.rate=1"), "unknown key 'optim.rate'. Known: optim.betas,")
    one_line(attempt("--set", "model.name=resnet"), "Did you mean 'resnet")
    one_line(attempt("--set", "model.widht=3"), "widht")
    one_line(attempt("--set", "classes=seven2"), "seven")
    one_line(attempt(data=tmp_path / "none"), "none")
    one_line(attempt("--from", tmp_path / "none"), "none")
    one_line(attempt("--map", "x"), "--map")
    one_line(attempt("--set", "name=../elsewhere"), "name")
    one_line(attempt("--set", 'epochs="3"'), "epochs")
    assert not run.exists()
    before = {file: file.read_bytes() for file in tiny_run.path.iterdir()}
    one_line(mien("train", recipe_file, "--data", face_folder, "--out", tiny_run.path), "exists already")
    assert before == {file: file.read_bytes() for file in tiny_run.path.iterdir()}


def test_a_nan_loss_is_one_line(mien, tmp_path, recipe_file, face_folder):
    answer = mien(
        "train", recipe_file, "--data", face_folder, "--out", tmp_path / "r", "--set", "optim.lr=1e12", "--quiet"
    )
    one_line(answer, "at step", "optim.lr=1e+12")


def test_bad_images_and_data_are_one_line(mien, tmp_path, tiny_run, faces):
    for name in ("happy", "sad"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for index in range(4):
            Image.fromarray(np.asarray(faces.images[index + 4 * (name == "sad")])).save(
                tmp_path / "d" / name / f"{index}.png"
            )
    bad = tmp_path / "d" / "sad" / "9.jpg"
    bad.write_bytes(b"\xff\xd8\xff\xe0 no more")
    one_line(mien("data", "info", tmp_path / "d"), "9.jpg")
    skipped = mien("data", "info", tmp_path / "d", "--skip-bad")
    assert skipped.code == 0
    assert "9.jpg" in skipped.err
    one_line(mien("predict", "--model", tiny_run.path, "--crops", bad), "9.jpg")
    answer = mien("predict", "--model", tiny_run.path, "--crops", tmp_path / "d", "--skip-bad", "--csv")
    assert answer.code == 0
    assert "left out" in answer.err
    assert len(answer.out.splitlines()) == 9
    shutil.rmtree(tmp_path / "d" / "sad")
    one_line(mien("data", "info", tmp_path / "d"), "class")
    one_line(mien("predict", "--model", tmp_path, "--crops", tmp_path / "d"), "no model")
    one_line(mien("info", bad), "9.jpg")
    one_line(mien("export", tmp_path / "d"), "not a run folder")
    one_line(mien("export", "fast"), "fast comes with mien, exported already")


def test_ctrl_c_leaves_a_finished_run_and_resume_goes_on(tmp_path, recipe_file, face_folder):
    """A real process, a real SIGINT."""
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
    assert "interrupted after" in err
    assert f"--out {run.path} --set epochs=500 --resume" in err
    assert run.model.is_file()
    epochs = len(run.read_history())
    assert 1 <= epochs < 500
    resumed = subprocess.Popen(
        [*command, "--set", "epochs=500", "--resume"], stderr=subprocess.PIPE, text=True, env=environment
    )
    while resumed.poll() is None and len(run.read_history()) < epochs + 2:
        time.sleep(0.05)
    resumed.send_signal(signal.SIGINT)
    _, err = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, err
    assert len(run.read_history()) >= epochs + 2


def test_a_closed_pipe_is_no_error(face_folder, tiny_run):
    done = subprocess.run(
        f"{sys.executable} -m mien predict --model {tiny_run.path} --crops {face_folder} --csv | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("source,top,confidence")
    assert done.stderr == ""


def test_an_option_whose_placeholder_is_its_own_name_is_spelt_out():
    # Some versions of typer take such a placeholder for the option's name, and --out becomes --OUT.
    unspelt = []
    groups = [app, *(group.typer_instance for group in app.registered_groups)]
    for command in [each.callback for group in groups for each in group.registered_commands]:
        for parameter, hint in get_type_hints(command, include_extras=True).items():
            for option in getattr(hint, "__metadata__", ()):
                if not isinstance(option, OptionInfo) or option.metavar != parameter.upper():
                    continue
                # In an Annotated, typer keeps the first spelling in the place of the default.
                if not option.param_decls and option.default is ...:
                    unspelt.append(f"{command.__name__} --{parameter}")
    assert unspelt == []
