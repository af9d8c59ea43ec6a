"""Oracle: both files asked by hand."""

import json

import numpy as np
import pytest

from mien.artifact import read_manifest
from mien.errors import DataError
from mien.evaluation import metrics
from mien.experiments.smaller import write_smaller
from mien.inference.classifier import load


@pytest.mark.parametrize("form", ["fp16", "int8"])
def test_a_smaller_form_is_measured_on_the_same_rows(tmp_path, tiny_run, faces, form):
    out = tmp_path / "small.onnx"
    smaller = write_smaller(tiny_run.model, form, faces, out)
    chosen = faces.of_split("validation")
    before, after = (load(file).probabilities(chosen.images, 1.0) for file in (tiny_run.model, out))
    assert smaller.rows == len(chosen)
    assert smaller.accuracy == pytest.approx((after.argmax(1) == chosen.labels).mean())
    assert smaller.former_accuracy == pytest.approx((before.argmax(1) == chosen.labels).mean())
    assert smaller.agreement == pytest.approx((before.argmax(1) == after.argmax(1)).mean())
    assert smaller.largest_difference == pytest.approx(np.abs(before - after).max())
    assert smaller.mean_difference == pytest.approx(np.abs(before - after).mean())
    assert 0 < smaller.largest_difference < 0.1
    assert smaller.bytes == out.stat().st_size
    manifest, former = read_manifest(out), read_manifest(tiny_run.model)
    assert manifest.precision == form
    assert former.precision == "fp32"
    assert manifest.temperature == former.temperature
    assert manifest.scores["validation_log_loss"] == pytest.approx(metrics.log_loss(chosen.labels, after))
    assert manifest.scores.keys() == former.scores.keys()
    assert manifest.recipe_digest == former.recipe_digest


def test_figures_of_other_data_do_not_go_into_the_manifest(tmp_path, tiny_run, faces):
    write_smaller(tiny_run.model, "fp16", faces.subset(np.arange(1, len(faces))), tmp_path / "x.onnx")
    assert read_manifest(tmp_path / "x.onnx").scores == {}


def test_without_a_split_nothing_is_written(tmp_path, tiny_run, faces):
    for split in ("train", "validation"):
        with pytest.raises(DataError, match=f"no '{split}' split"):
            write_smaller(tiny_run.model, "int8", faces.subset(faces.split != split), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_command(mien, tmp_path, tiny_run, face_folder):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(tiny_run.path, run)
    said = mien("export", run, "--int8", "--data", face_folder)
    assert said.code == 0, said.err
    assert said.err == "" or "note" in said.err
    assert "in int8" in said.out
    content = json.loads(mien("export", run, "--half", "--data", face_folder, "--json").out)
    assert content["file"] == str(run / "model.half.onnx")
    for name in ("model.int8.onnx", "model.half.onnx"):
        assert mien("evaluate", "--model", run / name, "--data", face_folder).code == 0
    for words, part in (
        (("--int8",), "--data PATH"),
        (("--int8", "--half", "--data", face_folder), "not both"),
        (("--data", face_folder), "a plain export reads no faces"),
        (("--int8", "--data", tmp_path / "none"), "none"),
    ):
        answer = mien("export", run, *words)
        assert answer.code == 2
        assert part in answer.err
