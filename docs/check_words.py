"""Keep mien's old private words out of what users read, and out of names: ``make lint`` runs it.

Users read documents with the code and output in them, strings and docstrings, the page and its English sentences, page
templates, recipes, studies and spaces. The list holds what a word list can catch; docs/glossary.md defines the terms to
use instead.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

INSTEAD = {
    r"trainable numbers": "parameters",
    r"scores? files?": "predictions file",
    r"mien teach\b": "soft labels, mien distill",
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
    r"how sure is it": "calibration",
    r"how fragile": "robustness",
    r"\bnobody but\b": "only",
    r"(?:^|(?<=[.!] ))(?-i:Of|Who|Whose|What|Those) (?=[a-z:`\d][^?]{20})(?![^.]*\?)": "subject or verb first",
    r"(?<![\w.])\d+(?:\.\d+)? %": "72.3%, without a space",
    r"(?<![\w.\d:!])\.\d+(?=[\s,;.)]|$)": "0.5, with its zero",
}
NAMES = {
    r"places": "positions, indices",
    r"usual|usual_torch": "default, standard",
    r"stored_as|seen_as": "size_and_channels, crop_and_channels",
    r"ENOUGH|keep_for_ever|kept_together|_serves|_steadied|drop_what_is_no_face": "what it is or does",
    r"(?:alone|writing)\(\)": "locked, with_run",
    r"_?(?:LEAST|SMALLEST)(?:_\w+)?": "MIN_...",
    r"_?(?:MOST|LARGEST|GREATEST)(?:_\w+)?": "MAX_...",
    r"test_\w*(?:what_is_no|_told|_anew|but_for|whoever)\w*": "test_SUBJECT_VERB_CONDITION",
}
"""Names of functions, arguments, variables and tests that must not return. Dataset.places is public: it stays."""
_ALL = re.compile("|".join(f"({pattern})" for pattern in INSTEAD), re.IGNORECASE)
_SKIPPED = ("docs/model-card.md", "CHANGELOG.md")
"""A page that is made from files of older runs, and a diary."""
_READ = re.compile(
    r".*\.md|web/index\.html|web/src/locales/en\.json|src/mien/.*\.j2"
    r"|src/mien/(recipes|studies|spaces)/.*\.toml"
)
"""Files of which users read every line."""


def main() -> int:
    """Print each place with an old word; 1 where there is any."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found: list[str] = []
    for name in listed.splitlines():
        if name in _SKIPPED or not name.endswith((".md", ".html", ".json", ".j2", ".toml", ".py")):
            continue
        text = (ROOT / name).read_text(encoding="utf-8") if (ROOT / name).is_file() else ""
        if name.startswith("src/mien/") and name.endswith(".py"):
            found += _hits(name, _strings(text))
            found += _named(name, text)
        elif name.startswith("tests/") and name.endswith(".py"):
            found += _named(name, text)
        elif _READ.fullmatch(name):
            found += _hits(name, enumerate(text.splitlines(), start=1))
    print("\n".join(found))
    return int(bool(found))


def _hits(name: str, lines: Iterable[tuple[int, str]]) -> Iterator[str]:
    for number, text in lines:
        for match in _ALL.finditer(text):
            instead = next(words for words, group in zip(INSTEAD.values(), match.groups(), strict=True) if group)
            yield f"{name}:{number}: '{match[0]}' -> {instead}"


def _named(name: str, text: str) -> Iterator[str]:
    """Names that a Python file defines."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Name(id=known, ctx=ast.Store()) | ast.arg(arg=known):
                names = [known]
            case ast.FunctionDef(name=known) if known != "places":
                names = [known, f"{known}()"]
            case _:
                names = []
        for known in names:
            for pattern, instead in NAMES.items():
                if re.fullmatch(pattern, known):
                    yield f"{name}:{getattr(node, 'lineno', 0)}: the name '{known}' -> {instead}"


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
                yield node.lineno + offset, line


if __name__ == "__main__":
    sys.exit(main())
