"""``mien ensemble``. Oracle: ``mien evaluate`` of the file that it writes."""

import json
import shutil

import pytest

import mien as package
from ensemble_support import altered
from support import note_codes, refused


def test_the_command(mien, tmp_path, tiny_run, face_folder):
    second = altered(tiny_run.model, tmp_path / "second.onnx", scale=4)
    out = tmp_path / "both.onnx"
    given = (tiny_run.path, second, "--data", face_folder, "--out", out)
    said = mien("ensemble", *given)
    assert said.code == 0, said.err
    content = json.loads(mien("ensemble", *given, "--json").out)
    by_python = package.ensemble([tiny_run.path, second], face_folder, out)
    assert json.loads(json.dumps(by_python.to_dict())) == content
    assert (content["file"], content["bytes"]) == (str(out), out.stat().st_size)
    for accuracy, model in zip(content["accuracies"], given, strict=False):
        alone = json.loads(mien("evaluate", model, "--data", face_folder, "--json").out)
        assert accuracy == alone["headline"]["accuracy"]["value"]
    evaluated = mien("evaluate", out, "--data", face_folder, "--json")
    assert json.loads(evaluated.out).items() <= content.items()
    assert note_codes(evaluated.err) == []
    face = next((face_folder / "test" / "happy").iterdir())
    assert mien("predict", face, "--crops", "--model", out).code == 0
    assert mien("explain", face, "--model", out, "--crops", "--out", tmp_path / "maps").code == 0


@pytest.mark.parametrize(
    ("models", "out", "code"),
    [
        (("second.onnx",), "both.onnx", "ensemble-too-few"),
        (("second.onnx", "run"), "both.txt", "out-suffix"),
        (("second.onnx", "run"), "second.onnx", "out-is-source"),
        (("second.onnx", "run"), "run/both.onnx", "out-in-run"),
        (("second.onnx", "none.onnx"), "both.onnx", "model-missing"),
    ],
)
def test_mistakes_are_one_line(mien, tmp_path, monkeypatch, tiny_run, face_folder, models, out, code):
    monkeypatch.chdir(tmp_path)
    altered(tiny_run.model, tmp_path / "second.onnx", scale=4)
    shutil.copytree(tiny_run.path, tmp_path / "run")
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    refused(mien("ensemble", *models, "--data", face_folder, "--out", out), code)
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before
