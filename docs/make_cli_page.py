"""Write docs/cli.md from the command line's own help. A test fails when the page is stale."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

from mien.cli.main import app

PAGE = Path(__file__).parent / "cli.md"
COMMANDS = (
    "demo",
    "recipes",
    "train",
    "teach",
    "distill",
    "soup",
    "prune",
    "study",
    "sweep",
    "evaluate",
    "report",
    "compare",
    "robustness",
    "explain",
    "export",
    "web build",
    "info",
    "predict",
    "video",
    "detectors",
    "detectors install",
    "embed",
    "serve",
    "webcam",
    "audit",
    "data info",
    "data convert",
    "data download",
)
HEAD = """# The command line

Made by `make docs` from the commands' own help.

What a command acts on is positional; everything else has the same name in every command. Results go to stdout,
remarks and progress to stderr. A mistake is one line and exit code 2; Ctrl-C is exit code 130, except in
`mien train`, which ends in order with its best model.
"""


def page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD]
    for command in COMMANDS:
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            app([*command.split(), "--help"], prog_name="mien", standalone_mode=False, terminal_width=100)
        parts.append(f"\n## mien {command}\n\n```text\n{text.getvalue().strip()}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
