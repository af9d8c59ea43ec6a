"""Oracles: the functions behind the commands, given the people of the data's column as groups."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mien.data.parquet import write_parquet
from mien.evaluation.curves import roc_curves
from mien.evaluation.predictions import write_predictions
from mien.reporting.comparison import compare_predictions
from support import make_predictions, refused


@pytest.fixture(scope="module")
def people(faces):
    """Every four faces are of one person."""
    columns = {"person": np.array([f"p{at // 4}" for at in range(len(faces))])}
    return replace(faces, columns=columns, group_column="person")


@pytest.fixture
def table(people, tmp_path):
    """The people's faces in a file that does not say what their groups are."""
    write_parquet(replace(people, group_column=""), tmp_path / "people.parquet")
    return tmp_path / "people.parquet"


@pytest.fixture
def pair(people, tmp_path):
    """Two classifiers of the validation faces, and their files; the files know nothing of people."""
    chosen, made = people.of_split("validation"), []
    for seed, (name, skill) in enumerate((("weak", 1.0), ("strong", 2.0))):
        of_data = (chosen.labels, people.classes, chosen.rows, "validation", people.fingerprint)
        predictions = make_predictions(*of_data, seed=seed, skill=skill)
        write_predictions(tmp_path / name / "predictions_validation.npz", predictions)
        made.append(replace(predictions, groups=chosen.groups))
    return made


def test_compare_draws_the_groups_of_the_data(mien, pair, table, tmp_path):
    folders = tmp_path / "weak", tmp_path / "strong"
    answer = mien("compare", *folders, "--data", table, "--group", "person", "--json")
    assert answer.code == 0, answer.err
    (content,) = json.loads(answer.out)
    expected = compare_predictions(*pair, names=tuple(map(str, folders))).to_dict()
    assert {name: content[name] for name in expected} == expected
    assert content["mcnemar"]["method"].endswith("over groups")
    ungrouped = compare_predictions(*(replace(each, groups=None) for each in pair)).to_dict()
    assert content["accuracy"]["difference"] != ungrouped["accuracy"]["difference"]
    refused(mien("compare", *folders, "--group", "person"), "options", "--group", "--data")


def test_the_report_draws_the_groups_of_the_data(mien, pair, table, tmp_path):
    file = tmp_path / "weak" / "predictions_validation.npz"
    answer = mien("report", "--predictions", file, "--data", table, "--group", "person", "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    areas = json.loads((tmp_path / "out" / "tables" / "areas.json").read_text(encoding="utf-8"))
    found = roc_curves(pair[0].labels, pair[0].probabilities, groups=pair[0].groups)
    assert len(areas) >= len(found.per_class) == 7
    for line, curve in zip(areas, found.per_class, strict=False):
        assert line["AUC"] == pytest.approx(curve.area.to_dict(), abs=1e-9)
