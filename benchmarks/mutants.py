"""Changes the code in small ways and counts the changes that tests see: ``python benchmarks/mutants.py --seed 0``.

A mutant is one file with one change: a comparison, a constant, an operator or a condition turned round, ``None``
returned, a statement left out. Messages of errors, annotations and asserts are not changed. Of each room a sample is
drawn by the seed. The tests that ran the changed lines, the quickest first and up to ``TESTS_SECONDS`` of processor
time, run in a copy of the tree until one fails. A mutant is killed when a test fails or takes far too long.
``mutants.toml`` holds those that were looked at and change nothing that is promised. Exit code 1 below ``GOAL``.

Each result is kept in ``build/mutants.jsonl`` at once; what is kept there is not run again. ``--again`` runs again what
survived and is not explained, after tests were added.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import json
import mmap
import os
import re
import resource
import runpy
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {
    "evaluation": (["evaluation/*.py"], ["evaluation"]),
    "artifact": (["artifact.py"], ["test_artifact.py", "test_strangers_models.py"]),
    "files": (["files.py"], ["test_files.py"]),
    "splits": (["data/splits.py"], ["data/test_splits.py", "data/test_groups.py", "data/test_read.py"]),
    "serve": (["serve/*.py"], ["serve", "cli/test_serve.py"]),
}
"""By name: the files that are changed, in ``src/mien``, and their tests."""
GOAL = 0.85
PACKAGE = ROOT / "src" / "mien"
TRACED = ROOT / "benchmarks" / "traced"
OPTIONS = [
    *("-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp=tests-folder", "-m", "not slow and not network"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
    *("-k", "not every_network"),  # it exports them all: minutes where each call is traced
]
TESTS_SECONDS = 20.0
BROKEN = 70
MEMORY = 12 * 1024**3
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


class Lines:
    """A plugin of pytest: which tests run which lines of some files, how long they take, and which fail.

    A test runs the lines that any process runs while it does, and those of the fixtures that it shares with others.

    Args:
        files: the files.
        folder: an empty one, for ``traced/sitecustomize.py``.
    """

    def __init__(self, files: Sequence[Path], folder: Path) -> None:
        self.seen: dict[str, dict[int, set[str]]] = {str(each): defaultdict(set) for each in files}
        self.seconds: dict[str, float] = {}  # of the processor
        self.waits: dict[str, float] = {}  # of the clock
        self.failed: set[str] = set()
        self._folder = folder
        self._names = [""]  # of tests and fixtures, by the number that stands in the file `running`
        self._sharers: dict[str, set[str]] = defaultdict(set)
        (folder / "files").write_text("\n".join(self.seen))
        (folder / "running").write_bytes(bytes(4))
        with (folder / "running").open("r+b") as stream:
            self._running = mmap.mmap(stream.fileno(), 4)

    def trace(self) -> None:
        """Trace this process, and those that it starts."""
        os.environ["MIEN_LINES"] = str(self._folder)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(TRACED), os.environ["PYTHONPATH"]])
        runpy.run_path(str(TRACED / "sitecustomize.py"))

    def collect(self) -> None:
        """Read what all processes noted."""
        for noted in self._folder.glob("*.lines"):
            for row in noted.read_text().splitlines():
                number, line, file = row.split(" ", 2)
                name = self._names[int(number)]
                self.seen[file][int(line)] |= self._sharers.get(name, {name} - {""})

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        for name in getattr(item, "fixturenames", ()):
            self._sharers[f"fixture {name}"].add(item.nodeid)
        with self._run(item.nodeid):
            yield

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        if fixturedef.scope == "function":
            yield
        else:
            with self._run(f"fixture {fixturedef.argname}"):
                yield

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        # Processor time, which other work on the machine hardly changes. What fixtures share is no test's own.
        began, clock = sum(os.times()[:4]), time.monotonic()
        yield
        self.seconds[item.nodeid] = sum(os.times()[:4]) - began
        self.waits[item.nodeid] = time.monotonic() - clock

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    @contextmanager
    def _run(self, name: str) -> Iterator[None]:
        """Lines that run now are those of this test or fixture."""
        before = self._running[:4]
        self._running[:4] = len(self._names).to_bytes(4, "little")
        self._names.append(name)
        yield
        self._running[:4] = before


class Copy:
    """A copy of the tree in which files are changed and tests run, each time in a process of its own.

    Args:
        root: an empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("src", "tests"):
            shutil.copytree(ROOT / name, root / name, symlinks=True)
        for each in ROOT.iterdir():
            if each.name not in {"src", "tests", "build", ".git"}:
                (root / each.name).symlink_to(each)
        self._written = 0

    def package(self, file: str) -> Path:
        """A file of the package."""
        return self.root / "src" / "mien" / file

    def write(self, file: str, text: str) -> None:
        """Change a file."""
        self.package(file).write_text(text)
        # Compiled files are told by size and whole seconds, so two changes in one second would look the same.
        self._written += 1
        os.utime(self.package(file), (0, 10**9 + self._written))

    def run(self, tests: Sequence[str], seconds: float, watch: Callable[[], int] | None = None) -> str:
        """Run tests, or a function that does. Returns ``passed``, or what happened instead."""
        child = os.fork()
        if not child:
            self._be_child(watch or (lambda: int(pytest.main([*OPTIONS, "-x", *tests]))))
        began = time.monotonic()
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() - began > seconds:
                with suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return "too long"
            time.sleep(0.02)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with suppress(ProcessLookupError, PermissionError):  # what its tests left running
            os.killpg(child, signal.SIGKILL)
        if code in {BROKEN, 5}:
            raise SystemExit(f"the tests did not run: {(self.root / 'said').read_text(errors='replace')[-2000:]}")
        return {0: "passed", 1: "failed"}.get(code, f"ended with {code}")

    def failed_test(self) -> str:
        """The test that failed in the last run, if one did."""
        said = (self.root / "said").read_text(errors="replace")
        found = re.search(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", said, re.MULTILINE)
        return found[1] if found else ""

    def _be_child(self, work: Callable[[], int]) -> None:
        code = BROKEN
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            stream = os.open(self.root / "said", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            os.chdir(self.root)
            sys.path[:0] = [str(self.root / "src")]
            os.environ["PYTHONPATH"] = str(self.root / "src")
            code = work()
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)


def measure(copy: Copy, room: str) -> Lines:
    """Run all tests of a room and note their lines. What they import is then imported here, once for all mutants."""
    patterns, tests = ROOMS[room]
    (copy.root / "lines").mkdir()
    files = [each for pattern in patterns for each in (copy.root / "src" / "mien").glob(pattern)]
    lines = Lines(files, copy.root / "lines")

    def work() -> int:
        lines.trace()
        pytest.main([*OPTIONS, *(f"tests/{each}" for each in tests)], plugins=[lines])
        sys.settrace(None)
        lines.collect()
        seen = {file: {line: sorted(tests) for line, tests in found.items()} for file, found in lines.seen.items()}
        facts = {"seconds": lines.seconds, "waits": lines.waits, "failed": sorted(lines.failed)}
        answer = {"seen": seen, "modules": [*sys.modules], **facts}
        (copy.root / "measured.json").write_text(json.dumps(answer))
        return 0

    copy.run([], 1e9, work)
    answer = json.loads((copy.root / "measured.json").read_text())
    lines.failed, lines.seconds, lines.waits = set(answer["failed"]), answer["seconds"], answer["waits"]
    for file, found in answer["seen"].items():
        lines.seen[file] = defaultdict(set, {int(line): set(tests) for line, tests in found.items()})
    for name in answer["modules"]:
        if name.partition(".")[0] not in {"mien", "tests", "support", "people", "conftest"}:
            with suppress(Exception, SystemExit):
                importlib.import_module(name)
    return lines


def choose_tests(mutant: Mutant, lines: Lines, copy: Copy) -> list[str]:
    """The tests that ran its lines; of lines that run at import, those that ran any line of the file.

    Tests in the file named after the module are taken too, since some run the code in another process.
    """
    seen = lines.seen[str(copy.package(mutant.file))]
    chosen = set[str]().union(*(seen[line] for line in range(mutant.lines[0], mutant.lines[1] + 1) if line in seen))
    chosen = chosen or set[str]().union(*seen.values())
    own = f"/test_{Path(mutant.file).stem}.py::"
    chosen |= {each for each in lines.seconds if own in each}
    # A test that was skipped has no time.
    chosen = ((chosen & lines.seconds.keys()) or set(lines.seconds)) - lines.failed
    tests, spent = [], 0.0
    for each in sorted(chosen, key=lambda each: (lines.seconds[each], each)):
        spent += lines.seconds[each]
        if tests and spent > TESTS_SECONDS:
            break
        tests.append(each)
    return tests


def try_mutants(room: str, wanted: Sequence[Mutant], kept: Path, done: dict[str, str]) -> None:
    """Run what is not done yet, and keep each outcome at once."""
    left = [each for each in wanted if each.key not in done]
    if not left:
        return
    with tempfile.TemporaryDirectory() as name:
        copy = Copy(Path(name).resolve())
        lines = measure(copy, room)
        print(f"{room}: {len(lines.seconds)} tests, {len(lines.failed)} fail unchanged and are left out", flush=True)
        for mutant in left:
            tests = choose_tests(mutant, lines, copy)
            copy.write(mutant.file, mutant.source)
            began, limit = time.monotonic(), 60 + 3 * sum(lines.waits[each] for each in tests)
            outcome = copy.run(tests, limit)
            copy.write(mutant.file, (PACKAGE / mutant.file).read_text())
            done[mutant.key] = outcome
            facts = {key: value for key, value in asdict(mutant).items() if key != "source"}
            print("." if outcome != "passed" else "S", end="", flush=True)
            with kept.open("a") as stream:
                seconds, by = round(time.monotonic() - began, 1), copy.failed_test()
                row = {"key": mutant.key, "outcome": outcome, "by": by, "seconds": seconds, **facts}
                stream.write(json.dumps(row) + "\n")


def is_explained(mutant: Mutant, explained: list[dict[str, str]]) -> bool:
    """Whether it was looked at and changes nothing that is promised."""
    return any(
        (each["file"], each["function"], each["change"]) == (mutant.file, mutant.function, mutant.change)
        for each in explained
    )


def main() -> None:
    """Try mutants and print counts, seed and survivors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", type=int, default=120, help="mutants of each room")
    parser.add_argument("--room", choices=ROOMS, action="append")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    kept = ROOT / "build" / "mutants.jsonl"
    kept.parent.mkdir(exist_ok=True)
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {row["key"]: row["outcome"] for row in rows}
    explained = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["mutant"]
    shares = []
    for room in options.room or ROOMS:
        total, wanted = sample(room, options.sample, options.seed)
        if options.again:
            again = {each.key for each in wanted if not is_explained(each, explained)}
            done = {key: outcome for key, outcome in done.items() if outcome != "passed" or key not in again}
        try_mutants(room, wanted, kept, done)
        survivors = [each for each in wanted if done[each.key] == "passed"]
        open_ones = [each for each in survivors if not is_explained(each, explained)]
        killed = len(wanted) - len(survivors)
        shares.append(1 - len(open_ones) / len(wanted))
        for each in open_ones:
            print(f"  {each.file}:{each.lines[0]} in {each.function}: {each.change}")
        print(
            f"seed {options.seed}: {room}: {len(wanted)} of {total} mutants: {killed} killed, "
            f"{len(survivors) - len(open_ones)} explained, {len(open_ones)} not: {shares[-1]:.0%} "
            f"{dict(Counter(done[each.key] for each in wanted))}",
            flush=True,
        )
    sys.exit(min(shares) < GOAL)


if __name__ == "__main__":
    main()
