"""mien train: options of the recipe, notices, mistakes in one line, --resume, --from."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from mien.base.labels import EXPRESSIONS
from mien.base.run_folder import RunFolder
from mien.data.read import load_dataset
from mien.evaluation.predictions import read_predictions
from mien.training import loop
from support import note_codes, noted, ran, refused


def test_plain_options_are_changes_of_the_recipe(mien, tmp_path, recipe_file, face_folder, monkeypatch):
    """Oracle: the stored recipe and environment. A plain option overrides --set. A new repository has no commit."""
    run = tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    words = ("--epochs", 1, "--batch-size", 16, "--lr", 0.02, "--seed", 5, "--device", "cpu", "--set", "epochs=9")
    trained = mien("train", recipe_file, "--data", face_folder, "--out", run, *words, "--json", "--quiet")
    assert (trained.code, trained.err, json.loads(trained.out)["run"]) == (0, "", str(run))
    recipe = RunFolder(run).read_recipe()
    assert (recipe.epochs, recipe.batch_size, recipe.optim.lr, recipe.seed) == (1, 16, 0.02, 5)
    found = RunFolder(run).read_environment()
    assert (found["device"], found.get("commit")) == ("cpu", None)


@pytest.mark.parametrize(("sampling", "said"), [("none", True), ("oversample", False), ("undersample", True)])
def test_train_counts_balanced_training_images(mien, tmp_path, recipe_file, face_folder, sampling, said):
    """Oracle: the counts of the classes, by hand: one face more than there are, and fewer than when filled up."""
    counts = load_dataset(face_folder).counts("train")
    assert counts.sum() + 1 < 7 * counts.max()
    words = ("--set", f"batch_size={counts.sum() + 1}", "--set", f"balance.sampling={sampling}", "--set", "epochs=1")
    answer = mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "r", *words)
    learnt = counts.sum() if sampling == "none" else 7 * counts.min()
    assert note_codes(answer.err).count("batch-too-large") == said, answer.err
    if said:
        noted(answer, "batch-too-large", learnt)


def test_a_training_that_cannot_begin_leaves_its_folder_free(mien, tmp_path, recipe_file, face_folder, own_run):
    words = ("train", recipe_file, "--data", face_folder, "--out", tmp_path / "r", "--epochs", 1)
    refused(mien(*words, "--lr", "1e12"), "loss-not-finite", "optim.lr=1e+12")
    assert not (tmp_path / "r").exists()
    assert mien(*words).code == 0
    own_run.best.unlink()
    words = ("train", recipe_file, "--data", face_folder, "--out", tmp_path / "new", "--from", own_run.path)
    refused(mien(*words), "weights-unreadable", "best.safetensors")
    assert not (tmp_path / "new").exists()


def test_resume_without_a_run_notes_a_new_run(mien, tmp_path, recipe_file, face_folder):
    words = ("train", recipe_file, "--data", face_folder, "--out", tmp_path / "r", "--resume", "--set", "epochs=1")
    words += ("--set", "batch_size=1000", "--set", "tuning.frozen_epochs=1")
    first = ran(mien(*words))
    noted(first, "nothing-to-resume", tmp_path / "r")
    noted(first, "batch-too-large", "batch_size = 1000")
    noted(first, "validation-small", (load_dataset(face_folder).split == "validation").sum())
    noted(first, "weights-random-frozen", "tuning.frozen_epochs = 1")
    noted(first, "only-head-learns", "tuning.frozen_epochs = 1", "run of 1")
    assert not {"nothing-to-resume", "weights-random-frozen"} & set(note_codes(ran(mien(*words)).err))
    (tmp_path / "r" / "model.onnx").unlink()
    (tmp_path / "r" / "model.int8.onnx").write_bytes(b"of a model that is gone")
    noted(mien(*words), "files-removed", "model.int8.onnx", tmp_path / "r")
    assert (tmp_path / "r" / "model.onnx").is_file()
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "mine.txt").write_text("mine")
    refused(mien(*words, "--out", notes), "file-exists")


def test_train_without_memory_ends_in_one_line(mien, tmp_path, recipe_file, face_folder, monkeypatch):
    """Oracle: torch's own words for more memory than any machine has."""
    import torch

    monkeypatch.setattr(loop, "_train_epoch", lambda *_: torch.empty(10**16))
    refused(mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "r"), "memory")
    assert not (tmp_path / "r").exists(), "the same folder may be used with a smaller batch"
    monkeypatch.setattr(loop, "_train_epoch", lambda *_: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):
        mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "s")


def test_map_and_fine_tuning_on_ones_own_classes(mien, tmp_path, recipe_file, face_folder, tiny_run):
    mine = tmp_path / "mine"
    for number, (name, source) in enumerate({"smile": "happy", "gloom": "sad"}.items()):
        shutil.copytree(face_folder / "train" / source, mine / f"{number}_{name}")
    answer = ran(
        mien(
            *("train", recipe_file, "--data", mine, "--out", tmp_path / "tuned", "--from", tiny_run.path, "--json"),
            *("--map", "0_smile=happy,1_gloom=gloom", "--set", "model.dropout=0.3"),
        )
    )
    noted(answer, "classes-unmatched", "gloom", "fear, sad, surprise, neutral", "--map 'gloom=NAME'")
    assert json.loads(answer.out)["classes"] == ["happy", "gloom"]
    written = (tmp_path / "tuned" / "recipe.toml").read_text()
    assert "widths = [4, 8]" in written, "the network is the one tuned from"
    assert "dropout = 0.3" in written
    again = ("train", recipe_file, "--data", mine, "--out", tmp_path / "again", "--from", tiny_run.path)
    refused(mien(*again, "--set", "model.widths=[99]"), "recipe-value", "model.widths")
    refused(mien(*again, "--set", "input.mean=0.4"), "recipe-value", "input.mean")


def test_built_in_model_predicts_and_is_fine_tuned(mien, tmp_path, recipe_file, face_folder):
    assert json.loads(mien("predict", "--crops", face_folder / "test" / "happy", "--json").out)[0]["top"] in EXPRESSIONS
    words = ("train", recipe_file, "--data", face_folder, "--out", tmp_path / "tuned", "--from", "fast")
    answer = ran(mien(*words, "--set", "epochs=1", "--json"))
    assert "classes-unmatched" not in note_codes(answer.err)
    assert "widths = [16, 48, 96, 144]" in (tmp_path / "tuned" / "recipe.toml").read_text()
    assert "ledger" in mien("evaluate", "fast", "--data", face_folder, "--split", "test").err


def test_train_notes_a_backbone_that_starts_at_random(mien, tmp_path, face_folder, timm, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    command = ("train", "tune", "--data", face_folder, "--out", tmp_path / "r", "--set", "batch_size=32")
    command += ("--set", "epochs=1", "--set", "model.name=timm", "--set", "model.backbone=test_resnet")
    refused(mien(*command), "weights-unreadable", "test_resnet", "model.weights", "model.pretrained=false")
    refused(mien(*command, "--set", f"model.weights={tmp_path / 'x.safetensors'}"), "weights-unreadable")
    assert not (tmp_path / "r").exists()
    answer = ran(mien(*command, "--set", "model.pretrained=false"))
    noted(answer, "weights-random-frozen", "tuning.frozen_epochs = 2")
    noted(answer, "only-head-learns", "tuning.frozen_epochs = 2", "run of 1")
    assert re.search(r"initial weights\W.*random", (tmp_path / "r" / "report.html").read_text())


def test_train_with_time_chooses_the_number_of_epochs(mien, tmp_path, recipe_file, face_folder, monkeypatch):
    """Oracle: an epoch of 2 s, of which 10 s hold 4 with what export needs. A resumed run keeps its number."""
    from mien.training import probe

    found = probe.TrainingEstimate(2, 3, 100, 4.0, None, "cpu")
    monkeypatch.setattr(probe, "estimate_training", lambda *_: found)
    words = ("train", recipe_file, "--data", face_folder, "--out", tmp_path / "run", "--time")
    ran(mien(*words, "10s"))
    assert (RunFolder(tmp_path / "run").read_recipe().epochs, len(RunFolder(tmp_path / "run").read_history())) == (4, 4)
    monkeypatch.setattr(probe, "estimate_training", None)
    noted(ran(mien(*words, "1h", "--resume")), "run-resumed", "4 of 4")
    assert RunFolder(tmp_path / "run").read_recipe().epochs == 4


@pytest.mark.parametrize(("time", "named"), [("1s", "2 s"), ("1h30", "'1h30'"), ("0", "'0'")])
def test_train_rejects_a_time_shorter_than_an_epoch(mien, tmp_path, recipe_file, face_folder, monkeypatch, time, named):
    from mien.training import probe

    monkeypatch.setattr(probe, "estimate_training", lambda *_: probe.TrainingEstimate(1, 3, 100, 2.0, None, "cpu"))
    answer = mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "run", "--time", time)
    refused(answer, "options", "--time", named)
    assert not (tmp_path / "run").exists()


def test_train_folds_writes_predictions_of_every_face(mien, face_folder, tmp_path, monkeypatch, tiny_recipe_text):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tiny_recipe_text, encoding="utf-8")

    def train(*options):
        return mien("train", str(recipe), "--data", str(face_folder), "--epochs", "1", "--out", "out", *options)

    monkeypatch.chdir(tmp_path)
    answer = ran(train("--folds", "2", "--json"))
    said, predictions = json.loads(answer.out), read_predictions("out/predictions_out-of-fold.npz")
    right = predictions.probabilities.argmax(axis=1) == predictions.labels
    assert said["headline"]["accuracy"]["value"] == pytest.approx(right.mean())
    parts = said["by"]["parts"]
    assert [each["value"] for each in parts] == ["all folds", "fold 1", "fold 2"]
    assert sum(each["count"] for each in parts[1:]) == len(predictions)
    folds = [each["accuracy"]["value"] for each in parts[1:]]
    refused(train("--folds", "2"), "file-exists", "out")
    from_fold = train("--folds", "2", "--resume", "--from", "out/fold-1")
    refused(from_fold, "run-other", "fold-1", "--from")
    noted(from_fold, "trained-on", f"of these {len(predictions)} images")
    with monkeypatch.context() as other:
        other.setattr("mien.runs.folds.target_fingerprints", lambda recipe, data: {"votes_fingerprint": "others"})
        refused(train("--folds", "2", "--resume"), "run-other", "fold-1")
    again = ran(train("--folds", "2", "--resume"))
    assert "fold 1 of 2" not in again.err, "finished folds are kept"
    # The rows of the table and the mean under it: twice where all are the same.
    shown = [said["headline"]["accuracy"]["value"], *folds, np.mean(folds)]
    assert "without --folds" in again.err
    for words in (("evaluate", "out", "--data", face_folder), ("predict", "x.jpg", "--model", "out"), ("info", "out")):
        refused(mien(*words), "model-missing", "2 folds", "out/fold-1")
    refused(train("--from", "out"), "model-missing", "2 folds", "out/fold-1")
    for value in shown:
        assert again.out.count(f"{value:.1%}") >= [f"{each:.1%}" for each in shown].count(f"{value:.1%}")
