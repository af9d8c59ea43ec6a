"""mien.robustness. Oracle: the command line."""

import json

import pytest

import mien as package
from mien.base.errors import DataError
from support import raises


def test_the_result_is_what_the_command_prints(mien, tiny_run, face_folder, tmp_path):
    result = package.robustness(tiny_run.path, face_folder, limit=20)
    arguments = ("robustness", tiny_run.path, "--data", face_folder, "--limit", 20)
    assert mien(*arguments).out.rstrip("\n") == str(result)
    assert json.loads(mien(*arguments, "--json", "--out", tmp_path).out) == result.to_dict()


@pytest.mark.parametrize(
    ("wrong", "code"), [({"split": "test"}, "split-test"), ({"limit": 0}, "limit-range"), ({"seed": -1}, "seed-range")]
)
def test_what_cannot_be_measured_is_refused(tiny_run, face_folder, wrong, code):
    with raises(DataError, code):
        package.robustness(tiny_run.path, face_folder, **wrong)
