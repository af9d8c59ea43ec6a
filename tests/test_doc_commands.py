"""The commands that pages and messages show exist, with these options. Oracle: the command line's own parser."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.exceptions import TyperException

from mien.cli.main import COMMANDS, load_command

ROOT = Path(__file__).parents[1]
# cli.md is made of the parser; lab-notebook.md has the commands of each day, some of which are gone.
PAGES = [
    *(page for page in sorted(ROOT.glob("docs/**/*.md")) if page.name not in {"cli.md", "lab-notebook.md"}),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "release/model-card.md")),
]
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"\s*(?:\$ )?(?:time |nice )?(?:torchrun .*? -m )?(mien .*)")
_IN_A_SENTENCE = re.compile(r"\bmien [a-z][a-z-]+(?: (?:--?[a-z][\w-]*|[A-Z]{2,}(?:\.\w+)?))+")
_AFTER_A_COLON = re.compile(r"(?<=: )mien [a-z][a-z-]+(?: [^ ;,()]+)*?(?=[.;,)]?(?: [A-Z][a-z]|\n|$))")
VALUE = "VALUE"
"""Follows a command in a sentence, which may end with an option alone: "what `mien train --folds` does"."""
_END = re.compile(r"[|&;>]+")


def shown(page: str) -> Iterator[str]:
    """The commands in blocks and code spans of a page."""
    for language, body in _BLOCK.findall(page):
        if language in {"", "bash", "console"}:
            for line in re.sub(r"\\\n *", " ", body).splitlines():
                if found := _LINE.match(line):
                    yield found[1]
    for code in re.findall(r"`(mien [^`]+)`", _BLOCK.sub("", page)):
        yield f"{' '.join(code.split())} {VALUE}"


def said(code: str) -> Iterator[str]:
    """The commands in the texts of a Python file, but not in its docstrings; values that are put in are PLACEHOLDER."""
    tree = ast.parse(code)
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr | ast.Constant) or id(node) in inner | documents:
            continue
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [part.value if isinstance(part, ast.Constant) else "PLACEHOLDER" for part in parts]
        if all(isinstance(text, str) for text in texts):
            text = "".join(texts)
            yield from (f"{line.rstrip('.')} {VALUE}" for line in _AFTER_A_COLON.findall(text))
            yield from (f"{line} {VALUE}" for line in _IN_A_SENTENCE.findall(_AFTER_A_COLON.sub("", text)))


def words_of(line: str) -> list[str]:
    """What follows ``mien``, up to a pipe, a redirection, another command or a comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
    lexer.whitespace_split, lexer.commenters = True, "#"
    words = list(lexer)[1:]
    return words[: next((place for place, word in enumerate(words) if _END.fullmatch(word)), len(words))]


def check(line: str) -> None:
    """Raise ValueError for a command or option that does not exist, or an option without its value."""
    name, *words = words_of(line) or ["--help"]
    if name.startswith("-") or name == "...":
        return
    if name not in COMMANDS:
        raise ValueError(f"no command {name}")
    command = load_command(name)
    if hasattr(command, "commands"):
        if not words or words[0].startswith("-") or words == [VALUE]:
            return
        if words[0] not in command.commands:
            raise ValueError(f"no command {name} {words[0]}")
        command, words = command.commands[words[0]], words[1:]
    try:
        command.make_parser(command.context_class(command)).parse_args(words)
    except TyperException as error:
        raise ValueError(str(error)) from None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_exists_with_its_options(page):
    for line in shown(page.read_text(encoding="utf-8")):
        try:
            check(line)
        except ValueError as error:
            pytest.fail(f"{line}: {error}")


def test_every_command_in_a_message_exists_with_its_options():
    seen = set()
    for file in sorted((ROOT / "src" / "mien").rglob("*.py")):
        for line in said(file.read_text(encoding="utf-8")):
            seen.add(line)
            try:
                check(line)
            except ValueError as error:
                pytest.fail(f"{file.relative_to(ROOT)}: {line}: {error}")
    assert {line.split()[1] for line in seen} >= {"evaluate", "export", "robustness", "study", "train"}
    assert f"mien train PLACEHOLDER --data PATH --set seed=1 {VALUE}" in seen
