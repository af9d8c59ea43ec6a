import sys

from mien.base import progress


def test_nothing_is_shown_where_no_person_looks(capfd):
    assert list(progress.track(range(3), total=3, what="counting", unit="numbers")) == [0, 1, 2]
    assert capfd.readouterr() == ("", "")


def test_a_terminal_sees_the_count(monkeypatch, capfd):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(progress.track(range(3), total=3, what="counting", unit="numbers")) == [0, 1, 2]
    assert "counting" in capfd.readouterr().err


def test_quiet_means_quiet(monkeypatch, capfd):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress.set_quiet(True)
    try:
        assert list(progress.track(range(3), total=3, what="counting", unit="numbers")) == [0, 1, 2]
    finally:
        progress.set_quiet(False)
    assert capfd.readouterr().err == ""


def test_a_program_without_stderr_sees_nothing(monkeypatch):
    """As under pythonw, or with a writer of one's own in its place."""
    for stream in (None, object()):
        monkeypatch.setattr(sys, "stderr", stream)
        assert list(progress.track(range(3), total=3, what="counting", unit="numbers")) == [0, 1, 2]
