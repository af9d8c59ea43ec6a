"""The help of every command, shell completion, and how commands and options are declared."""

import os
import subprocess
import sys

import pytest

from mien.cli.commands import COMMANDS


@pytest.mark.parametrize("group", ["", "data", "web"])
def test_help_fits_80_columns(mien, monkeypatch, group):
    """Typer cuts a docstring that is too long and ends it with three dots; a short help that is too long it wraps."""
    monkeypatch.setenv("COLUMNS", "80")
    listed = mien(*group.split(), "--help").out.partition("Commands:" if group else "\nUse:\n")[2].splitlines()
    listed = [line for line in listed if line and not line.endswith(":")]
    assert listed
    assert not [line for line in listed if line.endswith("...") or not line.endswith(".")]


def test_help_lists_every_command_under_its_heading_and_imports_none(mien):
    """Oracle: the table. A fresh process knows what was imported."""
    lines = ("Use:\n" + mien("-h").out.partition("\nUse:\n")[2]).splitlines()
    found, heading = {}, ""
    for line in filter(None, lines):
        heading = line.removesuffix(":") if line.endswith(":") else heading
        if line.startswith("  "):
            found[line.split()[0]] = (heading, line.split(maxsplit=1)[1])
    assert found == {name: (command.group, command.help) for name, command in COMMANDS.items()}
    script = (
        "import sys; from mien.cli.main import app; app(['--help'], standalone_mode=False);"
        "print(sorted(name for name in sys.modules if name.startswith('mien.cli.') or name in {'rich', 'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['mien.cli.commands', 'mien.cli.main', 'mien.cli.options']"


@pytest.mark.parametrize(
    ("words", "completed"), [("mien train --batch", ["--batch-size"]), ("mien data conv", ["convert"])]
)
def test_a_shell_completes_commands_and_options(words, completed):
    environment = {**os.environ, "_MIEN_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split()) - 1)
    done = subprocess.run([sys.executable, "-m", "mien"], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == completed, done.stderr
