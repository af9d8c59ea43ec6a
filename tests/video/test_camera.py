"""Cameras and streams that are lost. Oracle: the frames of what stands in for their containers, in order."""

import threading
import types

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.video import camera
from support import raises

pytest.importorskip("av")


class Container:
    """One frame of this brightness, and once it is taken the end, or an error."""

    def __init__(self, value, error=None):
        self.value, self.error, self.closed, self.taken = value, error, False, threading.Event()

    def decode(self, video):
        yield types.SimpleNamespace(to_ndarray=self.pixels)
        assert self.taken.wait(30)
        if self.error is not None:
            raise self.error

    def pixels(self, format):
        self.taken.set()
        return np.full((2, 2, 3), self.value, dtype=np.uint8)

    def close(self):
        self.closed = True


@pytest.fixture
def opened(monkeypatch):
    """Open these one after the other; None, and what is after the last, cannot be opened."""

    def prepare(*containers):
        left = iter(containers)

        def open_next(source):
            if (container := next(left, None)) is None:
                raise DataError("no", code="camera-missing")
            return container

        monkeypatch.setattr(camera, "_open", open_next)

    monkeypatch.setattr(camera.time, "sleep", lambda seconds: None)
    return prepare


@pytest.mark.parametrize(("source", "error"), [(0, None), (0, OSError()), ("rtsp://a/b", OSError())])
def test_lost_camera_is_reopened(opened, source, error):
    first, second = Container(10, error), Container(20, error)
    opened(first, None, second)
    shown = []
    with pytest.warns(match="was lost") as caught, raises(DataError, "camera-missing", "connected"):
        shown.extend(int(rgb.max()) for _, rgb in camera.live_frames(source))
    assert [each.message.code for each in caught] == ["camera-missing"] * 2
    assert (shown, first.closed, second.closed) == ([10, 20], True, True)


def test_ended_stream_is_not_reopened(opened):
    opened(Container(10))
    assert [rgb.max() for _, rgb in camera.live_frames("rtsp://a/b")] == [10]
