"""Samples that a model was trained on are known again, however the data is cut. Oracle: sets of the images' bytes."""

import json
import shutil

import numpy as np
import pytest

import mien as package
from mien.data.dataset import Dataset
from mien.data.parquet import write_parquet
from mien.errors import RunError
from mien.inference.predictor import load
from mien.run_folder import RunFolder
from support import note_codes, raises, warned


@pytest.fixture
def otherwise(faces):
    """The faces under another cut: the places of all splits moved on by a third."""
    return Dataset.from_arrays(
        faces.images,
        np.array(faces.classes)[faces.labels],
        classes=faces.classes,
        split=np.roll(faces.split, len(faces) // 3),
        size_px=faces.images.shape[1],
    )


def seen(trained, measured, split):
    known = {image.tobytes() for image in trained.of_split("train").images}
    own = {image.tobytes() for image in measured.of_split("train").images}
    shown = [image.tobytes() for image in measured.of_split(split).images]
    return sum(image in known and image not in own for image in shown), sum(image in known for image in shown)


def test_the_data_that_a_model_was_trained_on_gives_no_warning(tiny_run, faces):
    assert "trained_on" not in package.evaluate(tiny_run.path, faces).to_dict()


def test_other_splits_of_the_same_data_are_counted_and_left_out(tiny_run, faces, otherwise):
    cut_otherwise, all_seen = seen(faces, otherwise, "validation")
    assert 0 < cut_otherwise < len(otherwise.of_split("validation"))
    with warned("trained-on", cut_otherwise):
        result = package.evaluate(tiny_run.path, otherwise)
    assert result.to_dict()["trained_on"] == cut_otherwise
    counts = {each.value: each.count for each in result.measured.subsets}
    assert counts["without leaked samples"] <= counts["all samples"] - all_seen


def test_the_command_notes_it_and_reads_of_it_in_json(mien, tiny_run, faces, otherwise, tmp_path):
    write_parquet(otherwise, tmp_path / "other.parquet")
    answer = mien("evaluate", tiny_run.path, "--data", tmp_path / "other.parquet", "--json")
    assert answer.code == 0, answer.err
    assert "trained-on" in note_codes(answer.err)
    assert json.loads(answer.out)["trained_on"] == seen(faces, otherwise, "validation")[0]


def test_a_run_of_before_has_no_digests_and_a_damaged_file_is_one_line(tiny_run, otherwise, tmp_path):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run.path, run.path)
    run.trained_on.write_bytes(run.trained_on.read_bytes()[:-3])
    with raises(RunError, "trained-on-damaged", run.trained_on):
        package.evaluate(run.path, otherwise)
    run.trained_on.unlink()
    assert "trained_on" not in package.evaluate(load(run.path), otherwise).to_dict()
