"""`mien distill` as a user types it, and `mien.distill`."""

import os
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from mien.base.model_file import attach_manifest, read_manifest
from mien.base.run_folder import RunFolder, find_model
from mien.evaluation.predictions import read_predictions
from mien.inference.onnx_classifier import mean_over_views
from mien.inference.predictor import load
from mien.pipeline.split_predictions import predict_soft_labels
from support import ran, refused


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "soft-labels"


def test_a_student_learns_in_one_command(mien, tmp_path, cache, own_run, recipe_file, face_folder):
    words = ("distill", recipe_file, "--data", face_folder, "--teachers", own_run.path, "--out", tmp_path / "student")
    ran(mien(*words))
    student = RunFolder(tmp_path / "student")
    assert read_manifest(student.model).taught_by == (f"sha256:{sha256(own_run.model.read_bytes()).hexdigest()}",)
    assert student.read_environment()["teachers"] == str(own_run.model)
    (file,) = cache.iterdir()
    with np.load(file) as kept:
        assert kept["probabilities"].dtype == np.float32, "float16 has nothing below 6e-8, and T = 3 makes much of it"
    assert mien(*words, "--resume", "--json").code == 0
    refused(mien(*words), "file-exists")
    refused(mien("train", recipe_file, "--data", face_folder, "--out", student.path, "--resume"), "run-other")


def test_soft_labels_are_means_over_views_without_a_temperature(cache, own_run, faces):
    """Oracle: the model by hand. What is in the cache is not computed again, unless it is damaged."""
    hot = load(own_run.path).manifest.model_copy(update={"temperature": 3.0})
    own_run.model.write_bytes(attach_manifest(own_run.model.read_bytes(), hot))

    def soft_labels(model=own_run.model, data=faces, views=2):
        (teacher,) = predict_soft_labels([model], data, lambda form: data, views)
        return teacher.predictions

    chosen, file = faces.of_split("train"), soft_labels()
    expected = mean_over_views(partial(load(own_run.path).probabilities, temperature=1.0), chosen.images, 2)
    predictions = read_predictions(file)
    assert predictions.sample_ids.tolist() == chosen.rows.tolist()
    assert predictions.probabilities == pytest.approx(expected, abs=1e-3)
    os.utime(file, (1, 1))
    assert soft_labels().stat().st_mtime == 1, "from the cache"
    file.write_bytes(file.read_bytes()[:-9])
    assert len(read_predictions(soft_labels())) == len(chosen)
    fewer = faces.subset(np.arange(3, len(faces)))
    others = {soft_labels(data=fewer), soft_labels(views=1), soft_labels(find_model("fast-int8"))}
    assert ({file, *others}, len(others)) == ({*cache.iterdir()}, 3)


def test_distill_repeats_no_finished_teacher(mien, tmp_path, cache, own_run, recipe_file, face_folder, monkeypatch):
    """Oracle: which models predict."""
    from mien.pipeline import split_predictions

    asked, whole = [], split_predictions.predict_split

    def predict(predictor, *given, **named):
        asked.append(predictor.path)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return whole(predictor, *given, **named)

    monkeypatch.setattr(split_predictions, "predict_split", predict)
    words = ("distill", recipe_file, "--data", face_folder, "--out", tmp_path / "student", "--tta", 1)
    words += ("--teachers", own_run.path, "--teachers", "fast")
    assert mien(*words).code != 0
    assert not (tmp_path / "student").exists()
    assert (mien(*words).code, [Path(each).parent.name for each in asked]) == (0, ["run", "fast", "fast", "student"])


def test_predictions_files_and_models_teach_together(mien, tmp_path, own_run, recipe_file, face_folder):
    """What `mien evaluate --split train` writes is a teacher, too."""
    assert mien("evaluate", own_run.path, "--data", face_folder, "--split", "train", "--out", tmp_path / "p").code == 0
    file = tmp_path / "p" / "predictions_train.npz"
    words = ("distill", recipe_file, "--data", face_folder, "--teachers", file, "--teachers", "fast-int8", "--tta", 1)
    assert mien(*words, "--out", tmp_path / "student").code == 0
    taught_by = read_manifest(RunFolder(tmp_path / "student").model).taught_by
    assert taught_by[0] == f"sha256:{sha256(file.read_bytes()).hexdigest()}"
    again = mien(*(*words[:5], "fast-int8", "--teachers", file, *words[-2:]), "--out", tmp_path / "student", "--resume")
    assert (again.code, "files-removed" in again.err) == (0, False)
    assert read_manifest(RunFolder(tmp_path / "student").model).taught_by == taught_by


def test_distill_rejects_bad_teachers_and_reads_data_at_their_size(mien, tmp_path, recipe_file, face_folder, own_run):
    run = tmp_path / "student"
    words = ("distill", recipe_file, "--data", face_folder, "--out", run)
    (tmp_path / "bad.npz").write_bytes(b"x")
    refused(mien(*words, "--teachers", tmp_path / "bad.npz"), "predictions", "bad.npz", "docs/predictions.md")
    assert not run.exists()
    size = ("--set", "input.size_px=40", "--set", "input.crop_px=36", "--epochs", 1)
    words = ("distill", recipe_file, "--data", face_folder, "--teachers", own_run.path, "--out", tmp_path / "student")
    ran(mien(*words, *size, "--tta", 1))
