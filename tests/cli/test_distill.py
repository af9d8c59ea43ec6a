"""`mien teach` and `mien distill` as a user types them."""

import json
import shutil

import numpy as np
import pytest

from mien.artifact import read_manifest
from mien.data.parquet import write_parquet
from mien.evaluation.scores import read_scores
from mien.inference.classifier import load
from mien.inference.views import probabilities_over_views
from mien.recipe_file import dump_recipe
from mien.run_folder import RunFolder


@pytest.fixture
def teacher(tmp_path, tiny_run):
    run = RunFolder(tmp_path / "teacher")
    shutil.copytree(tiny_run.path, run.path)
    return run


@pytest.fixture
def recipe_file(tmp_path, tiny_recipe):
    file = tmp_path / "tiny.toml"
    file.write_text(dump_recipe(tiny_recipe))
    return file


def refused(answer, *parts):
    assert answer.code == 2, answer
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert len([line for line in answer.err.splitlines() if line.startswith("mien: ")]) == 1
    for part in parts:
        assert part in answer.err, answer.err


def test_a_student_is_taught_in_two_commands(mien, tmp_path, teacher, recipe_file, face_folder):
    asked = mien("teach", teacher.path, "--data", face_folder, "--json")
    (line,) = json.loads(asked.out)
    assert line["file"] == str(teacher.scores("train"))
    scores = read_scores(teacher.scores("train"))
    assert scores.split == "train"
    assert line["faces"] == len(scores)
    assert line["bytes"] < 20 * len(scores) + 2000, "two bytes a probability, compressed"

    words = ("distill", recipe_file, "--data", face_folder, "--teachers", teacher.path, "--out", tmp_path / "student")
    taught = mien(*words)
    assert taught.code == 0, taught.err
    student = RunFolder(tmp_path / "student")
    assert len(read_manifest(student.model).taught_by) == 1
    assert student.read_environment()["teachers"] == str(teacher.scores("train"))
    assert mien(*words, "--resume", "--json").code == 0
    refused(mien(*words), "exists already")
    refused(mien("train", recipe_file, "--data", face_folder, "--out", student.path, "--resume"), "other teachers")


def test_answers_are_not_replaced_by_those_to_another_question(mien, tmp_path, teacher, face_folder, faces):
    """Of other views, or of other data; the same question again gives the same file."""
    words = ("teach", teacher.path, "--data", face_folder, "--views", "2")
    assert mien(*words).code == 0
    before = teacher.scores("train").read_bytes()
    refused(mien(*words[:-1], "1"), "of other data or other views. Remove it")
    fewer = tmp_path / "fewer.parquet"
    write_parquet(faces.subset(np.arange(3, len(faces))), fewer)
    refused(mien("teach", teacher.path, "--data", fewer, "--views", "2"), "of other data or other views")
    assert mien(*words).code == 0
    assert teacher.scores("train").read_bytes() == before


def test_the_answers_are_the_means_over_views_and_models_without_a_temperature(mien, tmp_path, teacher, face_folder):
    """Oracle: each model asked by hand."""
    from mien.artifact import replace_manifest
    from mien.data.read import read_faces

    other = RunFolder(tmp_path / "other")
    shutil.copytree(teacher.path, other.path)
    # Another model: the same weights read pixels otherwise.
    manifest = load(other.path).manifest
    spec = manifest.input.model_copy(update={"mean": 0.1})
    replace_manifest(other.model, manifest.model_copy(update={"input": spec, "temperature": 3.0}))
    out = tmp_path / "mean.npz"
    answer = mien("teach", teacher.path, other.path, "--data", face_folder, "--views", 2, "--out", out)
    assert answer.code == 0, answer.err
    assert "2 view(s)" in answer.out
    assert f"--teachers {out}" in answer.err
    chosen = read_faces(face_folder).of_split("train")
    expected = [probabilities_over_views(load(run.path), chosen.images, 2, 1.0) for run in (teacher, other)]
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    scores = read_scores(out)
    assert scores.rows.tolist() == chosen.rows.tolist()
    assert scores.probabilities == pytest.approx(np.mean(expected, axis=0), abs=1e-3)
    assert not teacher.scores("train").exists()
    before = out.read_bytes()
    refused(mien("teach", teacher.path, "--data", face_folder, "--views", 1, "--out", out), f"{out} exists already")
    assert out.read_bytes() == before


def test_the_advice_for_a_recipe_without_a_network_names_the_run_to_begin_from(mien, tmp_path, teacher, face_folder):
    out = tmp_path / "answers.npz"
    words = ("teach", teacher.path, "--data", face_folder, "--recipe", "pruned", "--epochs", "1", "--out", out)
    asked = mien(*words, "--set", "batch_size=16", "--set", "input.mean=0.5", "--set", "input.std=0.25")
    assert asked.code == 0, asked.err
    assert "--from RUN" in asked.err


def test_a_live_teacher_is_a_run(mien, tmp_path, teacher, recipe_file, face_folder):
    words = ("distill", recipe_file, "--data", face_folder, "--out", tmp_path / "s", "--set", "distill.live=true")
    taught = mien(*words, "--teachers", teacher.path)
    assert taught.code == 0, taught.err
    refused(mien(*words, "--teachers", "x.npz", "--resume"), "x.npz is a file of answers")
    refused(mien(*words, "--teachers", "default-int8"), "holds 8-bit weights, which can only be run; give default")


def test_a_student_is_taught_of_whole_epochs(mien, tmp_path, teacher, recipe_file, face_folder):
    file = tmp_path / "epochs.npz"
    words = ("teach", teacher.path, "--data", face_folder, "--recipe", recipe_file, "--out", file)
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
    refused(mien(*words, "--epochs", 2, "--set", "augment.shift=0.2"), "is not what these teachers say")
    words = ("distill", recipe_file, "--data", face_folder, "--out", tmp_path / "other", "--teachers")
    refused(mien(*words, file, "--set", "augment.shift=0.2"), "augment.shift = 0.1")
    assert not (tmp_path / "other").exists()
    refused(mien("teach", teacher.path, "--data", face_folder, "--out", file), f"{file} exists already")
    odd = mien(
        *("teach", teacher.path, "--data", face_folder, "--recipe", recipe_file, "--epochs", 1),
        *("--out", tmp_path / "odd.npz", "--set", "augment.shift=0.2"),
    )
    assert odd.err.strip().endswith(f"--teachers {tmp_path / 'odd.npz'} --set augment.shift=0.2")
    words = ("teach", teacher.path, "--data", face_folder, "--recipe", recipe_file, "--epochs", 1, "--out", "x.npz")
    refused(mien(*words, "--set", "augment.off_last=0.1"), "--set augment.off_last=0")
    refused(mien(*words, "--set", "input.crop_px=40"), "sees 44 px of 48", "the recipe 40 px")


def test_mistakes_are_one_line_and_leave_nothing(mien, tmp_path, teacher, recipe_file, face_folder, tiny_run):
    run = tmp_path / "student"
    words = ("distill", recipe_file, "--data", face_folder, "--out", run)
    refused(mien(*words), "--teachers")
    refused(mien(*words, "--teachers", teacher.path), "no soft labels yet", "mien teach")
    # In the package's own folder nothing is kept: the advice must be one that leads somewhere.
    refused(mien(*words, "--teachers", "default"), "no soft labels yet", "--out FILE.npz; then --teachers FILE.npz")
    refused(mien(*words, "--teachers", tmp_path / "none"), "does not exist")
    unread = ("distill", recipe_file, "--data", tmp_path / "unread", "--out", run)
    missing = tmp_path / "none.npz"
    refused(
        mien(*unread, "--teachers", missing),
        f"There is no file {missing}. Make it with: mien teach RUN --data PATH --out {missing} (--recipe:",
    )
    (tmp_path / "bad.npz").write_bytes(b"x")
    refused(mien(*words, "--teachers", tmp_path / "bad.npz"), "bad.npz", "docs/scores.md")
    validation = teacher.path / "scores_validation.npz"
    refused(mien(*words, "--teachers", validation), "is of other data")
    refused(mien(*words, "--teachers", validation, "--set", "distill.share=0"), "distill.share")
    assert not run.exists()
    refused(mien("teach", teacher.path, "--data", face_folder, "--views", 3), "1, 2 or 10 views")
    refused(mien("teach", "default", "--data", face_folder), "default", "--out")
    refused(mien("teach", tiny_run.path, "--data", face_folder, "--out", tmp_path / "x.csv"), ".npz")
    refused(mien("teach", tmp_path / "none", "--data", face_folder, "--out", tmp_path / "x.npz"), "no model at")
    words = ("teach", tiny_run.path, "--data", face_folder)
    refused(mien(*words, "--recipe", recipe_file, "--epochs", 2), "--out")
    refused(mien(*words, "--recipe", recipe_file, "--views", 2), "leave out --views")
    refused(mien(*words, "--set", "seed=1"), "--recipe")
    refused(mien(*words, "--recipe", "none", "--epochs", 2, "--out", tmp_path / "x.npz"), "no recipe 'none'")
