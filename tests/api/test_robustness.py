"""mien.robustness. Oracle: the command line."""

import json

import mien as package


def test_the_result_is_what_the_command_prints(mien, tiny_run, face_folder, tmp_path):
    result = package.robustness(tiny_run.path, face_folder, limit=20)
    arguments = ("robustness", tiny_run.path, "--data", face_folder, "--limit", 20)
    assert mien(*arguments).out.rstrip("\n") == str(result)
    assert json.loads(mien(*arguments, "--json", "--out", tmp_path).out) == result.to_dict()
