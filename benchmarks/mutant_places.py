"""What `benchmarks/mutants.py` changes: the places in the code, and a sample of them."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
ROOMS = {
    "evaluation": (["evaluation/*.py"], ["evaluation"]),
    "artifact": (["artifact.py"], ["test_artifact.py", "test_odd_models.py"]),
    "files": (["files.py"], ["test_files.py"]),
    "splits": (["data/splits.py"], ["data/test_splits.py", "data/test_groups.py", "data/test_read.py"]),
    "serve": (["serve/*.py"], ["serve", "cli/test_serve.py"]),
}
"""By name: the files that are changed, in ``src/mien``, and their tests."""
PACKAGE = ROOT / "src" / "mien"
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.USub: ast.UAdd,
}  # fmt: skip
UNCHANGED = {"annotation", "returns", "exc", "cause", "type_comment"}
"""Fields of nodes in which nothing is changed; ``exc`` holds the message of an error."""


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        room: a key of ``ROOMS``.
        file: in ``src/mien``.
        lines: first and last line of what is changed.
        function: that it is in.
        change: what was there -> what is there.
        source: the changed file.
    """

    room: str
    file: str
    lines: tuple[int, int]
    function: str
    change: str
    source: str

    @property
    def key(self) -> str:
        """The same for the same changed file."""
        return hashlib.sha256(f"{self.file}\n{self.source}".encode()).hexdigest()[:16]


def changes(node: ast.AST) -> list[tuple[ast.AST, Callable[[Any], object]]]:
    """What can be changed at a node: where that is, and a function that changes the node in place."""
    found: list[tuple[ast.AST, Callable[[Any], object]]] = []
    if isinstance(node, ast.Compare):
        for index, each in enumerate(node.ops):
            new = SWAPS[type(each)]
            found.append((node, lambda node, index=index, new=new: node.ops.__setitem__(index, new())))
    elif isinstance(node, ast.BoolOp | ast.BinOp | ast.AugAssign | ast.UnaryOp) and type(node.op) in SWAPS:
        found.append((node, lambda node: setattr(node, "op", SWAPS[type(node.op)]())))
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        found.append((node, lambda node: setattr(node, "value", _other(node.value))))
    elif isinstance(node, ast.Return) and not (node.value is None or getattr(node.value, "value", 0) is None):
        found.append((node, lambda node: setattr(node, "value", ast.Constant(None))))
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        found.append((node.test, lambda node: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))))
    for field in ("body", "orelse", "finalbody"):
        block = None if field == "body" and _is_windows(node) else getattr(node, field, None)
        for index, each in enumerate(block if isinstance(block, list) else []):
            if _can_go(each):
                found.append(
                    (each, lambda node, field=field, index=index: getattr(node, field).__setitem__(index, ast.Pass()))
                )
    return found


def _other(value: float) -> float:
    return not value if isinstance(value, bool) else value + 1


def _can_go(statement: ast.stmt) -> bool:
    """Whether a statement can be left out and the rest still makes sense: no name that others read is missing."""
    if isinstance(statement, ast.Assign):
        return all(isinstance(each, ast.Attribute | ast.Subscript) for each in statement.targets)
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant | ast.Yield)
    return isinstance(statement, ast.AugAssign | ast.Raise | ast.Delete | ast.Continue | ast.Break)


def places(node: ast.AST, function: str = "", parent: ast.AST | None = None) -> Iterator[tuple[ast.AST, ast.AST, str]]:
    """Every node that may be changed, what to show of it, and its function."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".removeprefix(".")
    yield node, (node if parent is None or not isinstance(node, ast.Constant) else parent), function
    for field, value in ast.iter_fields(node):
        if field == "body" and _is_windows(node):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and field not in UNCHANGED and not _stays(child):
                yield from places(child, function, node)


def _is_windows(node: ast.AST) -> bool:
    """Whether its body runs on Windows alone, where these tests do not."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "sys.platform == 'win32'"


def _stays(node: ast.AST) -> bool:
    """Whether it is left as it is: messages, asserts, and what only type checkers see."""
    if isinstance(node, ast.Assert | ast.JoinedStr) or (isinstance(node, ast.keyword) and node.arg == "strict"):
        return True
    return (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING") or (
        isinstance(node, ast.Call) and ast.unparse(node.func) == "dataclass"
    )


def sample(room: str, most: int, seed: int) -> tuple[int, list[Mutant]]:
    """How many mutants a room has, and the first ``most`` of them in a random order."""
    found = []
    for path in sorted(each for pattern in ROOMS[room][0] for each in PACKAGE.glob(pattern)):
        file, text = str(path.relative_to(PACKAGE)), path.read_text()
        for number, (node, _, _) in enumerate(places(ast.parse(text))):
            found += [(file, text, number, variant) for variant in range(len(changes(node)))]
    order = np.random.default_rng(seed).permutation(len(found))
    return len(found), [_mutant(room, *found[each]) for each in order[:most]]


def _mutant(room: str, file: str, text: str, number: int, variant: int) -> Mutant:
    tree = ast.parse(text)
    node, shown, function = list(places(tree))[number]
    where, change = changes(node)[variant]
    lines = (getattr(where, "lineno", 1), getattr(where, "end_lineno", 1))
    before = ast.unparse(shown).splitlines()
    change(node)
    after = ast.unparse(ast.fix_missing_locations(tree) and shown).splitlines()
    old, new = next((old.strip(), new.strip()) for old, new in zip(before, [*after, ""], strict=False) if old != new)
    return Mutant(room, file, lines, function, f"{old} -> {new}", ast.unparse(tree))
