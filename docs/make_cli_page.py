"""Write docs/cli.md from the command line's own help. A test fails when the page is stale."""

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from mien.cli.main import COMMANDS, app, load_command

PAGE = Path(__file__).parent / "cli.md"
HEAD = """# The command line

`make docs` makes this page from the help of the commands.

The object of a command (images, data, a run or a model) is an argument. Everything else is an option, with the same
name in every command. Results go to stdout, notices and progress to stderr.

A mistake ends with exit code 2 and one line: `mien: message [code]`. The code names the kind of mistake and does not
change between versions. Ctrl-C ends with exit code 130; `mien train` saves its best model first.
If the reader of a pipe ends (`mien ... | head`), the exit code is 1, without a line.

`mien --install-completion` installs completion for your shell.
"""


def commands() -> Iterator[str]:
    """All commands and their own commands, in the order of ``mien --help``."""
    for name in COMMANDS:
        yield name
        yield from (f"{name} {each}" for each in getattr(load_command(name), "commands", ()))


def page() -> str:
    """The whole page as Markdown."""
    return "".join([HEAD, section(""), *map(section, commands())])


def section(command: str) -> str:
    """The help of one command under its heading; of ``mien`` itself for ``""``."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        app([*command.split(), "--help"], prog_name="mien", standalone_mode=False, terminal_width=100)
    return f"\n## {f'mien {command}'.strip()}\n\n```text\n{text.getvalue().strip()}\n```\n"


if __name__ == "__main__":
    text = page()
    if "--try" not in sys.argv:  # which only asks every command for its help
        PAGE.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{PAGE}\n")
