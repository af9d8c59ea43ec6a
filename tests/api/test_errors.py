"""Mistakes in calls of ``import mien``: each raises its class and code, and nothing is written."""

from dataclasses import replace

import numpy as np
import pytest

import mien
from mien.evaluation.predictions import Predictions
from mien.runs.space import load_space
from support import raises


def of_split(faces, split):
    part = faces.subset(faces.split == split)
    return Predictions(part.rows, part.labels, np.eye(len(faces.classes))[part.labels], faces.classes, split, "")


LARGE = ["input.size_px=96"]
# Each call gets the run folder of a trained model, faces, and a folder to write.
CASES = {
    "train-arrays": (lambda run, faces, out: mien.train("quick", faces.images, out=out), "data-unknown"),
    "train-device": (lambda run, faces, out: mien.train("quick", faces, out=out, device="tpu"), "device-unknown"),
    "train-callback": (lambda run, faces, out: mien.train("quick", faces, callback=mien.Callback), "options"),
    "train-time": (lambda run, faces, out: mien.train("quick", faces, time="9h", epochs=3), "options"),
    "distill-none": (lambda run, faces, out: mien.distill("quick", faces, [], out=out), "teacher"),
    "sweep-value": (lambda run, faces, out: mien.sweep(load_space("quick"), faces, settings={"seed": 1}), "options"),
    "export-form": (lambda run, faces, out: mien.export(run, precision="int4"), "options"),
    "audit-arrays": (lambda run, faces, out: mien.audit(faces.images), "data-unknown"),
    "audit-cleaned": (lambda run, faces, out: mien.audit(replace(faces, cleaned_from=("sha256:0",))), "options"),
    "audit-train": (lambda run, faces, out: mien.audit(faces, of_split(faces, "train")), "not-auditable"),
    "audit-test": (lambda run, faces, out: mien.audit(faces, of_split(faces, "test")), "not-auditable"),
    "compare-model": (lambda run, faces, out: mien.compare(mien.load(run), run), "data-missing"),
    "robustness-test": (lambda run, faces, out: mien.robustness(run, faces, "test"), "options"),
    "robustness-all": (lambda run, faces, out: mien.robustness(run, faces.of_split("train"), "all"), "options"),
    "show-none": (lambda run, faces, out: mien.show(faces, faces_per_class=0), "no-face"),
    "show-size": (lambda run, faces, out: mien.show(faces, mien.load_recipe("quick", LARGE)), "image-size"),
    "crop-size": (lambda run, faces, out: mien.crop(out, out, size_px=0), "image-size"),
    "embeddings-split": (lambda run, faces, out: mien.plot_embeddings(run, faces, split="test"), "options"),
    "embeddings-method": (lambda run, faces, out: mien.plot_embeddings(run, faces, method="x"), "options"),
    "embeddings-colour": (lambda run, faces, out: mien.plot_embeddings(run, faces, color_by="x"), "options"),
    "table-of-text": (lambda run, faces, out: mien.to_pandas("happy"), "options"),
}


@pytest.mark.parametrize(("call", "code"), CASES.values(), ids=CASES)
def test_a_function_rejects_a_mistake_and_writes_nothing(tiny_run, faces, tmp_path, monkeypatch, call, code):
    monkeypatch.chdir(tmp_path)
    with raises(mien.MienError, code):
        call(tiny_run.path, faces, tmp_path / "out")
    assert not list(tmp_path.iterdir())
    assert tiny_run.test_uses() == 0
