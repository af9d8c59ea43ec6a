"""Documents that are made from code, or hold code, stay true."""

import ast
import doctest
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

import mien
from mien.runs.spec import parse_study
from support import load_script

ROOT = Path(__file__).parents[1]


def test_the_page_of_the_command_line_is_fresh():
    module = load_script(ROOT / "docs" / "make_cli_page.py")
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run `make docs`"


def test_the_python_reference_is_fresh_and_has_every_public_name():
    module = load_script(ROOT / "docs" / "make_api_pages.py")
    named = " ".join(module.PAGES.values()).split()
    assert {name for name in mien.__all__ if name not in {"faces", "Box", "__version__"}} <= set(named)
    public = {name for name in dir(mien.faces) if name[0].isupper()} | {"detect", "find_detector"}
    assert {f"faces.{name}" for name in public} <= set(named)
    assert len(named) == len(set(named))
    for name in module.PAGES:
        assert (module.FOLDER / f"{name}.md").read_text(encoding="utf-8") == module.page(name), "run `make docs`"


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda page: page.name)
def test_links_between_documents_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_room_is_in_the_architecture():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for room in (ROOT / "src" / "mien").iterdir():
        if room.name.startswith(("_", "py.typed")):
            continue
        assert f"`{room.name}" in text, room.name


SOURCE = Path(mien.__file__).parent
TOLD = [path for path in sorted(SOURCE.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]
MODULES = [".".join(("mien", *path.relative_to(SOURCE).with_suffix("").parts)) for path in TOLD]


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed


FOLDERS = ("benchmarks", "release", "docs")
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_a_script_imports_of_mien_is_there(file):
    """They are run by hand, so nothing else would say that a name is gone."""
    gone = [
        f"{node.module}.{each.name}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mien"
        for each in node.names
        if not hasattr(importlib.import_module(str(node.module)), each.name)
        and importlib.util.find_spec(f"{node.module}.{each.name}") is None
    ]
    assert gone == []


def test_every_extra_that_a_message_or_page_names_exists():
    """Pip only warns of an unknown extra, and installs nothing."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    files = [*(ROOT / "src").rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    named: dict[str, str] = {}
    for file in files:
        text = file.read_text(encoding="utf-8")
        for names in re.findall(
            r"(?:pip install ['\"]?(?:mien|\.)|needs mien)\[([a-z,]+)\]|needs_extra\(\"([a-z,]+)\"", text
        ):
            named |= dict.fromkeys("".join(names).split(","), file.name)
    assert len(named) > 8
    assert {name: where for name, where in named.items() if name not in extras} == {}


@pytest.mark.parametrize("page", ["study", "extend"])
def test_a_study_of_a_page_can_be_loaded(page, tmp_path):
    """Without a name of its own it has the file's."""
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    (study,) = (block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "[[variants]]" in block)
    for file in re.findall(r'file = "([^"]+)"', study):
        (tmp_path / file).touch()
    assert parse_study(study, "rates.toml", tmp_path).name == "rates"
