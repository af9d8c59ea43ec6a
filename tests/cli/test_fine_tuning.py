"""mien train --from: models that begin from others."""

import json
import re
import shutil

from mien.base.labels import EXPRESSIONS
from support import noted, refused


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


def test_an_int8_form_is_no_start_for_training(mien, tmp_path, face_folder):
    answer = mien("train", "quick", "--from", "fast-int8", "--data", face_folder, "--out", tmp_path / "out")
    refused(answer, "model-int8", "8")
    assert not (tmp_path / "out").exists()


def test_the_model_that_comes_with_mien_reads_and_is_tuned_from(mien, tmp_path, recipe_file, face_folder):
    read = mien("predict", "--crops", face_folder / "test" / "happy", "--json")
    assert json.loads(read.out)[0]["top"] in EXPRESSIONS
    answer = mien(
        *("train", recipe_file, "--data", face_folder, "--out", tmp_path / "tuned", "--from", "default"),
        *("--set", "epochs=1", "--json"),
    )
    assert answer.code == 0, answer.err
    assert "widths = [32, 96, 192, 256]" in (tmp_path / "tuned" / "recipe.toml").read_text()
    tested = mien("evaluate", "default", "--data", face_folder, "--split", "test")
    assert "ledger" in tested.err


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
