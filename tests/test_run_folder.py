import json

import pytest

from mien.errors import RunError
from mien.recipe import Recipe
from mien.run_folder import HISTORY_COLUMNS, RunFolder


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


def test_create_then_read(run):
    recipe = Recipe(name="x", epochs=3)
    run.create(recipe, {"data": "d"})
    assert run.is_run
    assert run.read_recipe() == recipe
    assert run.read_environment() == {"data": "d"}


def test_a_folder_that_holds_anything_is_not_overwritten(run):
    run.path.mkdir()
    run.check_free()
    (run.path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match=r"exists already.*--resume.*--out"):
        run.create(Recipe(), {})
    assert [file.name for file in run.path.iterdir()] == ["thesis.txt"]


def test_what_is_no_run_says_so(run):
    with pytest.raises(RunError, match="does not exist"):
        run.read_recipe()
    run.path.mkdir()
    with pytest.raises(RunError, match=r"not a run folder: it has no recipe\.toml"):
        run.read_recipe()


def test_history_round_trip(run):
    line = {name: float(number) for number, name in enumerate(HISTORY_COLUMNS)}
    run.write_history([line, line])
    assert run.read_history() == [line, line]
    (run.path / "history.csv").write_text("epoch\nx\n")
    with pytest.raises(RunError, match="not a number"):
        run.read_history()


def test_the_ledger_counts_every_use_of_the_test_split(run):
    run.path.mkdir()
    assert run.test_uses() == 0
    run.note_test_use({"accuracy": 0.5})
    run.note_test_use({"accuracy": 0.6})
    lines = (run.path / "test_ledger.jsonl").read_text().splitlines()
    assert [json.loads(line)["accuracy"] for line in lines] == [0.5, 0.6]
    assert all("time" in json.loads(line) for line in lines)
    assert run.test_uses() == 2


def test_damaged_small_files_are_one_line(run):
    run.path.mkdir()
    (run.path / "environment.json").write_text("{")
    (run.path / "metrics.json").write_text("{}")
    with pytest.raises(RunError, match="not JSON"):
        run.read_environment()
    with pytest.raises(RunError, match="damaged"):
        run.validation_scores()
