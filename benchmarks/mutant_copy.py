"""The copy of the tree in which `benchmarks/mutants.py` runs tests, and which lines they run."""

from __future__ import annotations

import mmap
import os
import re
import resource
import runpy
import shutil
import signal
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from mutant_places import ROOT

TRACED = ROOT / "benchmarks" / "traced"
OPTIONS = [
    *("-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp=tests-folder", "-m", "not slow and not network"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
    *("-k", "not every_network"),  # it exports them all: minutes where each call is traced
]
BROKEN = 70
MEMORY = 12 * 1024**3


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
