"""Keep mien's old private words out of what users read: pages, help texts, messages, docstrings.

``make lint`` runs it. The list holds what a word list can catch; docs/glossary.md defines the terms to use instead.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

INSTEAD = {
    r"trainable numbers": "parameters",
    r"scores? files?": "predictions file",
    r"mien teach\b": "mien soft-labels",
    r"what (?:the )?teachers say": "teacher predictions",
    r"taken anew|made anew|anew": "again, recalculated",
    r"\bbut for\b": "except",
    r"\bwho(?:so)?ever\b": "anyone who",
    r"\b(?:is|are) told\b": "receives, is shown",
    r"by the clock": "by time",
    r"the one before": "the previous one",
    r"of its own accord": "by itself",
    r"bad pictures": "corrupted images",
    r"is taken for what": "confusion matrix",
    r"[Hh]ow sure is it": "calibration",
    r"[Hh]ow fragile": "robustness",
    r"\bnobody but\b": "only",
    r"(?<![\w.])\d+(?:\.\d+)? %": "72.3%, without a space",
    r"(?<![\w.\d:!])\.\d+(?=[\s,;)]|$)": "0.5, with its zero",
}
_ALL = re.compile("|".join(f"({pattern})" for pattern in INSTEAD))
_SKIPPED = ("docs/model-card.md", "CHANGELOG.md")
"""A diary, and a page that is made from files of older runs."""


def main() -> int:
    """Print each place with an old word; 1 where there is any."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    found = []
    for name in names:
        if name in _SKIPPED or not (ROOT / name).is_file() or name.startswith("docs/images"):
            continue
        if name.endswith(".md"):
            found += list(_hits(name, _prose((ROOT / name).read_text(encoding="utf-8"))))
        elif name.startswith("src/mien/") and name.endswith(".py"):
            found += list(_hits(name, _strings((ROOT / name).read_text(encoding="utf-8"))))
    print("\n".join(found))
    return int(bool(found))


def _hits(name: str, lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for number, text in lines:
        for match in _ALL.finditer(text):
            instead = list(INSTEAD.values())[next(at for at, group in enumerate(match.groups()) if group)]
            yield f"{name}:{number}: '{match.group(0)}' -> {instead}"


def _prose(text: str) -> Iterator[tuple[int, str]]:
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, re.sub(r"`[^`]*`|\]\([^)]*\)", "", line)


def _strings(text: str) -> Iterator[tuple[int, str]]:
    """Strings and docstrings, but not those that are read from or written to files as they are."""
    tree = ast.parse(text)
    formats = {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.FormattedValue) and node.format_spec
        for part in ast.walk(node.format_spec)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in formats:
            for offset, line in enumerate(node.value.splitlines()):
                yield node.lineno + offset, re.sub(r"`[^`]*`", "", line)


if __name__ == "__main__":
    sys.exit(main())
