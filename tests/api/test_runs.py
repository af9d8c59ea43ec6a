"""``mien.study`` and ``mien.sweep``."""

import numpy as np
import pytest

import mien as package
from mien.base.errors import StudyError
from support import raises


@pytest.fixture
def study_file(tmp_path, tiny_recipe_text):
    (tmp_path / "tiny.toml").write_text(tiny_recipe_text)
    file = tmp_path / "two.toml"
    file.write_text(
        'name = "two"\ntitle = "Two"\nrecipe = "tiny.toml"\nmetrics = ["accuracy", "recall.positive"]\n'
        '[[variants]]\nname = "a"\n[[variants]]\nname = "b"\nset = { optim.lr = 0.001 }\n'
        '[[variants]]\nname = "c"\nafter = "b"\nclasses = "binary"\n'
    )
    return file


def test_study_trains_once_and_reads_finished_runs(study_file, face_folder, tmp_path, capfd):
    out, settings = tmp_path / "out", {"epochs": np.int64(1), "class_weights": {"sad": 2.0}}
    table = package.study(study_file, face_folder, out=out, settings=settings)
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines if "epoch kept 1 of 1" in line] == ["a, seed 0", "b, seed 0"]
    assert [row.metrics["accuracy"].runs for row in table.rows] == [1, 1, 1]
    assert table.page == out / "report.html"
    assert not table.was_stopped
    # Only finished runs count, and none is trained.
    again = package.study(study_file, face_folder, out=out, settings=settings, finished=True, verbose=0)
    assert capfd.readouterr().err == ""
    assert again.to_dict() == table.to_dict()
    # A metric may be of a class that only a variant which is left out has.
    package.study(study_file, face_folder, out=out, settings=settings, only=["a"], finished=True, verbose=0)
    study_file.write_text(study_file.read_text().replace("positive", "positiv"))
    with raises(StudyError, "study-value", "positiv"):
        package.study(study_file, face_folder, out=out, settings=settings, only=["a"], finished=True)
