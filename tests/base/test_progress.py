import sys
from types import SimpleNamespace

import pytest

from mien.base import progress


def count():
    assert list(progress.track(range(3), total=3, what="counting", unit="numbers")) == [0, 1, 2]


@pytest.mark.parametrize(
    ("is_terminal", "quiet", "shown"), [(False, False, False), (True, False, True), (True, True, False)]
)
def test_track_shows_a_bar_on_terminals_without_quiet(monkeypatch, capfd, is_terminal, quiet, shown):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")
    progress.set_quiet(quiet)
    try:
        count()
    finally:
        progress.set_quiet(False)
    assert ("counting" in capfd.readouterr().err) == shown


def test_track_writes_plain_lines_into_logs(monkeypatch, capfd):
    """The clock shows 0, 25, 50 and 75 seconds: a line after each 30."""
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=iter([0, 25, 50, 75]).__next__))
    list(progress.track(range(4), total=4, what="counting", unit="numbers"))
    assert capfd.readouterr().err == "counting: 2 of 4 numbers, 0.04 numbers/s, 50 s left\n"


def test_track_prints_nothing_without_stderr(monkeypatch):
    """As under pythonw, or with a writer of one's own in its place."""
    for stream in (None, object()):
        monkeypatch.setattr(sys, "stderr", stream)
        count()
