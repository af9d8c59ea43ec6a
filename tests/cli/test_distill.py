"""`mien soft-labels` and `mien distill` as a user types them."""

import json
import shutil
from functools import partial

import numpy as np
import pytest

from mien.artifact import read_manifest
from mien.data.parquet import write_parquet
from mien.evaluation.predictions import read_predictions
from mien.inference.predictor import load
from mien.inference.tta import mean_over_views
from mien.run_folder import RunFolder
from support import refused


@pytest.fixture
def teacher(tmp_path, tiny_run):
    run = RunFolder(tmp_path / "teacher")
    shutil.copytree(tiny_run.path, run.path)
    return run


def test_a_student_is_taught_in_two_commands(mien, tmp_path, teacher, recipe_file, face_folder):
    asked = mien("soft-labels", teacher.path, "--data", face_folder, "--json")
    (line,) = json.loads(asked.out)
    assert line["file"] == str(teacher.predictions("train"))
    scores = read_predictions(teacher.predictions("train"))
    assert scores.split == "train"
    assert line["faces"] == len(scores)
    assert line["bytes"] < 20 * len(scores) + 2000, "two bytes a probability, compressed"

    words = ("distill", recipe_file, "--data", face_folder, "--teachers", teacher.path, "--out", tmp_path / "student")
    taught = mien(*words)
    assert taught.code == 0, taught.err
    student = RunFolder(tmp_path / "student")
    assert len(read_manifest(student.model).taught_by) == 1
    assert student.read_environment()["teachers"] == str(teacher.predictions("train"))
    assert mien(*words, "--resume", "--json").code == 0
    refused(mien(*words), "run-exists")
    refused(mien("train", recipe_file, "--data", face_folder, "--out", student.path, "--resume"), "run-other-teachers")


def test_answers_are_not_replaced_by_those_to_another_question(mien, tmp_path, teacher, face_folder, faces):
    """Of other views, or of other data; the same question again gives the same file."""
    words = ("soft-labels", teacher.path, "--data", face_folder, "--tta", "2")
    assert mien(*words).code == 0
    before = teacher.predictions("train").read_bytes()
    refused(mien(*words[:-1], "1"), "soft-labels-other-data")
    fewer = tmp_path / "fewer.parquet"
    write_parquet(faces.subset(np.arange(3, len(faces))), fewer)
    refused(mien("soft-labels", teacher.path, "--data", fewer, "--tta", "2"), "soft-labels-other-data")
    assert mien(*words).code == 0
    assert teacher.predictions("train").read_bytes() == before


def test_the_answers_are_the_means_over_views_and_models_without_a_temperature(mien, tmp_path, teacher, face_folder):
    """Oracle: each model asked by hand."""
    from mien.artifact import replace_manifest
    from mien.data.read import load_dataset

    other = RunFolder(tmp_path / "other")
    shutil.copytree(teacher.path, other.path)
    # Another model: the same weights read pixels otherwise.
    manifest = load(other.path).manifest
    spec = manifest.input.model_copy(update={"mean": 0.1})
    replace_manifest(other.model, manifest.model_copy(update={"input": spec, "temperature": 3.0}))
    out = tmp_path / "mean.npz"
    answer = mien("soft-labels", teacher.path, other.path, "--data", face_folder, "--tta", 2, "--out", out)
    assert answer.code == 0, answer.err
    assert "2 view(s)" in answer.out
    assert f"--teachers {out}" in answer.err
    chosen = load_dataset(face_folder).of_split("train")
    expected = [
        mean_over_views(partial(load(run.path).probabilities, temperature=1.0), chosen.images, 2)
        for run in (teacher, other)
    ]
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    scores = read_predictions(out)
    assert scores.sample_ids.tolist() == chosen.rows.tolist()
    assert scores.probabilities == pytest.approx(np.mean(expected, axis=0), abs=1e-3)
    assert not teacher.predictions("train").exists()
    before = out.read_bytes()
    refused(mien("soft-labels", teacher.path, "--data", face_folder, "--tta", 1, "--out", out), "file-exists", out)
    assert out.read_bytes() == before


def test_the_advice_for_a_recipe_without_a_network_names_the_run_to_begin_from(mien, tmp_path, teacher, face_folder):
    out = tmp_path / "answers.npz"
    words = ("soft-labels", teacher.path, "--data", face_folder, "--recipe", "pruned", "--epochs", "1", "--out", out)
    asked = mien(*words, "--set", "batch_size=16", "--set", "input.mean=0.5", "--set", "input.std=0.25")
    assert asked.code == 0, asked.err
    assert "--from RUN" in asked.err


def test_a_live_teacher_is_a_run(mien, tmp_path, teacher, recipe_file, face_folder):
    words = ("distill", recipe_file, "--data", face_folder, "--out", tmp_path / "s", "--set", "distill.live=true")
    taught = mien(*words, "--teachers", teacher.path)
    assert taught.code == 0, taught.err
    refused(mien(*words, "--teachers", "x.npz", "--resume"), "soft-labels-live", "x.npz")
    refused(mien(*words, "--teachers", "default-int8"), "model-int8", "8")


def test_a_student_is_taught_of_whole_epochs(mien, tmp_path, teacher, recipe_file, face_folder):
    file = tmp_path / "epochs.npz"
    words = ("soft-labels", teacher.path, "--data", face_folder, "--recipe", recipe_file, "--out", file)
    asked = mien(*words, "--epochs", 1)
    assert asked.code == 0, asked.err
    assert f"--teachers {file}" in asked.err
    (more,) = json.loads(mien(*words, "--epochs", 2, "--json").out)
    assert (more["epochs"], more["new"]) == (2, 1)
    with np.load(file) as archive:
        assert archive["probabilities"].shape == (2, more["faces"], 7)

    run = tmp_path / "student"
    taught = mien("distill", recipe_file, "--data", face_folder, "--teachers", file, "--out", run)
    assert taught.code == 0, taught.err
    refused(mien(*words, "--epochs", 2, "--set", "augment.translate=0.2"), "epoch-targets-other")
    words = ("distill", recipe_file, "--data", face_folder, "--out", tmp_path / "other", "--teachers")
    refused(mien(*words, file, "--set", "augment.translate=0.2"), "targets-other-recipe", "0.2")
    assert not (tmp_path / "other").exists()
    refused(mien("soft-labels", teacher.path, "--data", face_folder, "--out", file), "file-exists", file)
    odd = mien(
        *("soft-labels", teacher.path, "--data", face_folder, "--recipe", recipe_file, "--epochs", 1),
        *("--out", tmp_path / "odd.npz", "--set", "augment.translate=0.2"),
    )
    assert odd.err.strip().endswith(f"--teachers {tmp_path / 'odd.npz'} --set augment.translate=0.2")
    words = (
        "soft-labels",
        teacher.path,
        "--data",
        face_folder,
        "--recipe",
        recipe_file,
        "--epochs",
        1,
        "--out",
        "x.npz",
    )
    refused(mien(*words, "--set", "augment.mixup_off_epochs=0.1"), "epochs-not-mixed", "mixup_off_epochs=0")
    refused(mien(*words, "--set", "input.crop_px=40"), "teacher-input", "44", "48", "40")


def test_mistakes_are_one_line_and_leave_nothing(mien, tmp_path, teacher, recipe_file, face_folder, tiny_run):
    run = tmp_path / "student"
    words = ("distill", recipe_file, "--data", face_folder, "--out", run)
    refused(mien(*words), "usage", "--teachers")
    refused(mien(*words, "--teachers", teacher.path), "soft-labels-missing")
    # In the package's own folder nothing is kept: the advice must be one that leads somewhere.
    refused(mien(*words, "--teachers", "default"), "soft-labels-missing", "--out FILE", "--teachers FILE")
    refused(mien(*words, "--teachers", tmp_path / "none"), "run-missing")
    unread = ("distill", recipe_file, "--data", tmp_path / "unread", "--out", run)
    missing = tmp_path / "none.npz"
    refused(mien(*unread, "--teachers", missing), "soft-labels-missing", missing, "mien soft-labels RUN", missing)
    (tmp_path / "bad.npz").write_bytes(b"x")
    refused(
        mien(*words, "--teachers", tmp_path / "bad.npz"), "predictions-unreadable", "bad.npz", "docs/predictions.md"
    )
    validation = teacher.path / "predictions_validation.npz"
    refused(mien(*words, "--teachers", validation), "teacher-other-data")
    older = mien(*words, "--teachers", validation, "--set", "distill.share=0")
    refused(older, "recipe-value", "distill.share", "distill.alpha = 0")
    assert not run.exists()
    refused(mien("soft-labels", teacher.path, "--data", face_folder, "--tta", 3), "tta-views", "1, 2 or 10")
    refused(mien("soft-labels", "default", "--data", face_folder), "soft-labels-no-run", "--out")
    refused(
        mien("soft-labels", tiny_run.path, "--data", face_folder, "--out", tmp_path / "x.csv"),
        "soft-labels-out",
        ".npz",
    )
    refused(mien("soft-labels", tmp_path / "none", "--data", face_folder, "--out", tmp_path / "x.npz"), "model-missing")
    words = ("soft-labels", tiny_run.path, "--data", face_folder)
    refused(mien(*words, "--recipe", recipe_file, "--epochs", 2), "options", "--out")
    refused(mien(*words, "--recipe", recipe_file, "--tta", 2), "options", "--tta")
    refused(mien(*words, "--set", "seed=1"), "options", "--recipe")
    refused(mien(*words, "--recipe", "none", "--epochs", 2, "--out", tmp_path / "x.npz"), "recipe-unknown", "'none'")
