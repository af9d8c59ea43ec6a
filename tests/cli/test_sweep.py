"""What a person sees of ``mien sweep``."""

import json

import pytest

from mien.base.recipe import dump_recipe


@pytest.fixture
def space(tmp_path, tiny_recipe):
    (tmp_path / "tiny.toml").write_text(dump_recipe(tiny_recipe))
    file = tmp_path / "mine.toml"
    text = 'recipe = "tiny.toml"\ntrials = 2\nepochs = 1\n[parameters]\noptim.lr = { log = [0.01, 1.0] }\n'
    file.write_text(f"{text}optim.nesterov = {{ choice = [false, true] }}\n")
    return file


def test_a_sweep_from_the_command_line(mien, space, face_folder, tmp_path):
    out = tmp_path / "out"
    answer = mien("sweep", space, "--data", face_folder, "--out", out)
    assert answer.code == 0, answer.err
    nesterov = next(line.split()[-1] for line in answer.out.splitlines() if "optim.nesterov" in line)
    assert nesterov in {"false", "true"}, answer.out  # as a recipe writes it
    assert sum(line.startswith("trial ") for line in answer.err.splitlines()) == 2
    assert f"mien train {out / 'best.toml'} --data PATH --set seed=1" in answer.err
    # The same command again finds all done; more trials go on.
    answer = mien("sweep", space, "--data", face_folder, "--out", out, "--trials", 3, "--json", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    found = json.loads(answer.out)
    assert (found["finished"], found["total"]) == (3, 3)
    assert found["best"]["values"].keys() == {"optim.lr", "optim.nesterov"}
