"""Benchmarks are run by hand, so nothing else would say that a name they import is gone. Oracle: the package itself."""

import ast
import importlib.util
from pathlib import Path

import pytest

FOLDERS = ("benchmarks", "release", "docs")
FILES = sorted(file for folder in FOLDERS for file in (Path(__file__).parents[1] / folder).glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_a_script_imports_of_mien_is_there(file):
    gone = [
        f"{node.module}.{each.name}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mien"
        for each in node.names
        if not hasattr(importlib.import_module(str(node.module)), each.name)
        and importlib.util.find_spec(f"{node.module}.{each.name}") is None
    ]
    assert gone == []
