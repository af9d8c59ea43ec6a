"""The page's ``model.json``. Oracle: the files beside the model, read again."""

import json
import shutil

import pytest

from mien.artifact import read_manifest
from mien.inference.find_model import SHIPPED, find_model
from mien.manifest import INT8
from mien.run_folder import RunFolder
from mien.serve.page_manifest import page_manifest


def added(model):
    return page_manifest(model, read_manifest(model)).get("majority_accuracy")


@pytest.mark.parametrize("name", SHIPPED)
def test_each_form_of_a_shipped_model_has_its_own_figure(name):
    folder = find_model(name).parent
    (seen, _) = json.loads((folder / "metrics.json").read_text())["votes"]["majority"]
    measured = seen["evaluation"]["headline"]["accuracy"]["value"]
    assert added(find_model(name)) == {"perceived": measured}
    in_8_bits = json.loads((folder / "card.json").read_text())["int8"]["majority_accuracy"]
    assert added(find_model(name + INT8)) == in_8_bits == {"perceived": pytest.approx(measured, abs=0.005)}


def test_metrics_of_another_model_do_not_count(tmp_path):
    """Such as those of the larger form beside an int8 model, or files that are damaged."""
    for file in ("model.onnx", "model.int8.onnx", "metrics.json", "card.json"):
        shutil.copy(find_model("fast").parent / file, tmp_path / file)
    (tmp_path / "model.int8.onnx").write_bytes(find_model("default-int8").read_bytes())
    assert added(tmp_path / "model.int8.onnx") is None
    assert added(tmp_path / "model.onnx") is not None
    for content in ("", "{}", "[]", '{"split": "validation", "headline": {}}', '{"votes": 1}'):
        (tmp_path / "metrics.json").write_text(content)
        (tmp_path / "card.json").write_text(content)
        assert (added(tmp_path / "model.onnx"), added(tmp_path / "model.int8.onnx")) == (None, None)


def test_a_run_has_the_figure_of_its_metrics(voted_run: RunFolder):
    metrics = json.loads((voted_run.path / "metrics.json").read_text())
    expected = metrics["votes"]["majority"][0]["evaluation"]["headline"]["accuracy"]["value"]
    assert added(voted_run.model) == {"perceived": expected}


def test_a_model_with_one_output_has_none(tiny_run: RunFolder):
    assert added(tiny_run.model) is None
