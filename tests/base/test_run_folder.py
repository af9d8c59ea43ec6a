import json
import math

import pytest

from mien.base.errors import RecipeError, RunError
from mien.base.recipe import Recipe
from mien.base.run_folder import HISTORY_COLUMNS, RunFolder, best_epoch, history_to_csv
from support import raises


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


def test_the_ledger_counts_every_use_of_the_test_split(run):
    run.path.mkdir()
    assert run.test_uses() == 0
    run.note_test_use({"accuracy": 0.5})
    run.note_test_use({"accuracy": 0.6})
    lines = (run.path / "test_ledger.jsonl").read_text().splitlines()
    assert [json.loads(line)["accuracy"] for line in lines] == [0.5, 0.6]
    assert all("time" in json.loads(line) for line in lines)
    assert run.test_uses() == 2
    with (run.path / "test_ledger.jsonl").open("ab") as stream:
        stream.write(b"\xff\n")
    assert run.test_uses() == 3


def test_run_folder_rejects_damaged_files_and_a_folder_without_a_run(run):
    with raises(RunError, "run-missing"):
        run.read_recipe()
    run.path.mkdir()
    with raises(RunError, "run-missing"):
        run.read_recipe()
    with raises(RunError, "run-damaged"):
        run.read_environment()
    for text in ("{", "[]", "null", "3", "[" * 200_000):
        (run.path / "environment.json").write_text(text)
        with raises(RunError, "run-damaged"):
            run.read_environment()
    (run.path / "recipe.toml").write_bytes(b"\xff")
    with raises(RecipeError, "recipe-unreadable"):
        run.read_recipe()
    line = {name: float(number) for number, name in enumerate(HISTORY_COLUMNS)}
    (run.path / "history.csv").write_text(history_to_csv([line, line]))
    assert run.read_history() == [line, line]
    (run.path / "history.csv").write_text("epoch\nx\n")
    with raises(RunError, "run-damaged"):
        run.read_history()


@pytest.mark.parametrize("metric", ["accuracy", "loss", "macro_auc"])
def test_best_epoch_breaks_ties_by_loss_and_skips_undefined_values(metric):
    recipe = Recipe.model_validate({"stopping": {"metric": metric}})
    better, worse = (0.1, 0.5) if metric == "loss" else (0.5, 0.1)
    values = [math.nan, worse, better, better, better, math.nan]
    for losses, best in (([0.9, 0.9, 0.4, 0.4, 0.4, 0.1], 3), ([0.9, 0.9, 0.4, 0.3, 0.3, 0.1], 4)):
        pairs = zip(losses, values, strict=True)
        lines = [{"validation_loss": loss, f"validation_{metric}": value} for loss, value in pairs]
        assert best_epoch(lines, recipe) == (3 if metric == "loss" else best)
