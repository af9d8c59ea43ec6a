"""Fixtures that several commands' tests share."""

import pytest

from mien.recipe_file import dump_recipe


@pytest.fixture
def recipe_file(tmp_path, tiny_recipe):
    file = tmp_path / "tiny.toml"
    file.write_text(dump_recipe(tiny_recipe))
    return file
