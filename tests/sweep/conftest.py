"""Fixtures that tests of sweeps share."""

import pytest

from mien.recipe_file import dump_recipe

LR = "optim.lr = { log = [0.001, 1.0] }\n"


@pytest.fixture
def space_file(tmp_path, tiny_recipe):
    """Write a space of the tiny recipe, and say where it is."""

    def write(parameters=LR, trials=3, epochs=2, more=""):
        (tmp_path / "tiny.toml").write_text(dump_recipe(tiny_recipe))
        file = tmp_path / "space.toml"
        head = f'recipe = "tiny.toml"\ntrials = {trials}\nepochs = {epochs}\n{more}'
        file.write_text(f"{head}\n[parameters]\n{parameters}")
        return file

    return write
