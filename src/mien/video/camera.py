"""Read the newest frame of a camera or network stream with PyAV, so that slow processing never lags behind."""

import platform
import queue
import threading
import time
import warnings
from collections.abc import Generator
from contextlib import closing, suppress
from typing import Any

from mien.base.arrays import Pixels
from mien.base.errors import DataError, MienWarning, needs_extra, without_password

WAIT_SECONDS = 10
"""Largest time in seconds for opening a stream, and later for each frame."""

TRIES = 30
"""Number of attempts, one per second, to reopen a lost camera or stream."""


def live_frames(source: int | str) -> Generator[tuple[float, Pixels], None, None]:
    """Open a camera by number or a stream by address. Yields seconds since the first frame, and uint8 (H, W, 3).

    A lost source is reopened with a warning (``camera-missing``). The frames end when a stream ends. Raises DataError
    if the source cannot be opened or reopened (``camera-missing``), and MissingExtraError without PyAV.
    """
    return _followed(source, _open(source))


def _followed(source: int | str, container: Any) -> Generator[tuple[float, Pixels], None, None]:
    began: float | None = None
    while True:
        is_lost = isinstance(source, int)  # a camera's frames never end
        with closing(_newest(container)) as frames:
            for seconds, frame in frames:
                if isinstance(frame, Exception):
                    # Files and other sources over HTTP may end normally.
                    is_lost = is_lost or not str(source).startswith("http")
                    break
                began = seconds if began is None else began
                yield seconds - began, frame.to_ndarray(format="rgb24")
        if not is_lost:
            return
        container = _open_again(source)


def _open_again(source: int | str) -> Any:
    warnings.warn(MienWarning(f"{_named(source)} was lost; reopening it.", code="camera-missing"), stacklevel=2)
    for _ in range(TRIES):
        time.sleep(1)
        with suppress(DataError):
            return _open(source)
    raise DataError(f"{_named(source)} was lost and cannot be reopened. Is it still connected?", code="camera-missing")


def _open(source: int | str) -> Any:
    with needs_extra("video", "Following a camera or stream"):
        import av
    try:
        file, kind = (source, None) if isinstance(source, str) else _camera(source)
        container: Any = av.open(file, format=kind, timeout=WAIT_SECONDS)
        if container.streams.video:
            return container
        container.close()
    except (av.FFmpegError, OSError, ValueError, LookupError):
        pass
    message = "cannot be opened. Is it there, and free of other programs? Download a video file first."
    raise DataError(f"{_named(source)} {message}", code="camera-missing")


def _named(source: int | str) -> str:
    return f"camera {source}" if isinstance(source, int) else without_password(source)


def _camera(number: int) -> tuple[str, str]:
    """Return FFmpeg's name of a camera on this system, and the input format to read it."""
    system = platform.system()
    if system == "Darwin":
        return f"{number}:none", "avfoundation"
    if system != "Windows":
        return f"/dev/video{number}", "v4l2"
    import av

    cameras = [device.name for device in av.enumerate_input_devices("dshow") if "video" in device.media_types]
    return f"video={dict(enumerate(cameras))[number]}", "dshow"


def _newest(container: Any) -> Generator[tuple[float, Any], None, None]:
    """Yield times and frames, and at the end the error that ended them, if any."""
    import av

    newest: queue.Queue[tuple[float, Any]] = queue.Queue(1)
    stop = threading.Event()

    def put(frame: Any) -> None:
        with suppress(queue.Empty):
            newest.get_nowait()  # discard the previous frame if it was not read in time
        newest.put((time.monotonic(), frame))

    def read() -> None:
        end: Exception | None = None
        try:
            for frame in container.decode(video=0):
                if stop.is_set():
                    break
                put(frame)
        except (av.FFmpegError, OSError) as error:
            end = error
        finally:
            put(end)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while (item := newest.get())[1] is not None:
            yield item
    finally:
        stop.set()
        reader.join()
        container.close()
