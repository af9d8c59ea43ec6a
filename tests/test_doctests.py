"""The examples in docstrings, run as Python's doctest runs them."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import mien

SOURCE = Path(mien.__file__).parent
MODULES = [
    ".".join(("mien", *path.relative_to(SOURCE).with_suffix("").parts))
    for path in sorted(SOURCE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name):
    found = doctest.testmod(import_module(name))
    assert found.attempted
    assert not found.failed
