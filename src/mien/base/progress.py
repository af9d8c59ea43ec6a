"""Progress with rate and remaining time: bars on terminals, and a plain line every 30 seconds in logs."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mien.base.errors import Notice, printable
from mien.base.processes import is_main_process

T = TypeVar("T")
_quiet = False

LINE_SECONDS = 30.0
"""Time between two lines of progress in a log."""


def set_quiet(quiet: bool) -> None:
    """Switch all progress bars off (``--quiet``) or on again."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Return whether ``--quiet`` was given, or this is not the main process."""
    return _quiet or not is_main_process()


def is_terminal(stream: object) -> bool:
    """Return whether a stream is a terminal. ``stream`` may be None or have no ``isatty``."""
    isatty = getattr(stream, "isatty", None)
    return isatty is not None and bool(isatty())


def bars_are_shown() -> bool:
    """Return whether progress bars are visible: stderr is a terminal and ``--quiet`` was not given."""
    return is_terminal(sys.stderr) and not is_quiet()


def notice(words: str, code: str = "") -> None:
    """Print a line beside the result on stderr unless ``--quiet``; with ``code`` like a :class:`Notice`."""
    if not is_quiet() and sys.stderr is not None:
        lines = (Notice(words, code=code).line if code else words).split("\n")
        sys.stderr.writelines(f"{printable(line)}\n" for line in lines)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show a spinner for work of unknown length."""
    if not bars_are_shown():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


def slices(count: int, size: int) -> list[slice]:
    """Split ``count`` items into slices of ``size`` for batches and chunks; the last may be shorter.

    >>> slices(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def track(items: Iterable[T], total: int | None, what: str, unit: str) -> Iterator[T]:
    """Yield ``items`` and show how many of ``total`` are done, the rate and the remaining time.

    ``what`` is the work in a few words, e.g. ``"reading fer2013.csv"``; ``unit`` is plural, e.g. ``"rows"``.
    """
    if not bars_are_shown():
        yield from items if is_quiet() or not hasattr(sys.stderr, "write") else _logged(items, total, what, unit)
        return
    from rich import progress as rich
    from rich.console import Console
    from rich.text import Text

    class Rate(rich.ProgressColumn):
        def render(self, task: rich.Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:,.0f} {unit}/s")

    columns = [rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn(), Rate()]
    with rich.Progress(*columns, rich.TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        yield from bar.track(items, total=total, description=what)


def _logged(items: Iterable[T], total: int | None, what: str, unit: str) -> Iterator[T]:
    """Yield ``items`` and write how far they are to stderr, every :data:`LINE_SECONDS`."""
    began = said = time.monotonic()
    for done, item in enumerate(items):
        if done and (now := time.monotonic()) - said >= LINE_SECONDS:
            said, rate = now, done / (now - began)
            of, left = ("", "") if total is None else (f" of {total:,}", f", {(total - done) / rate:,.0f} s left")
            sys.stderr.write(f"{what}: {done:,}{of} {unit}, {rate:,.3g} {unit}/s{left}\n")
        yield item
