"""The frames of a camera or a network stream, by PyAV: always the newest one, so that slow work never lags behind."""

from __future__ import annotations

import platform
import queue
import threading
import time
import warnings
from collections.abc import Generator
from contextlib import closing, suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, MienWarning, needs_extra, without_password

WAIT_SECONDS = 10
"""How long a stream may take to open, and later to send a frame."""

TRIES = 30
"""How often, once a second, a camera or stream that was lost is opened again."""


def live_frames(source: int | str) -> Generator[tuple[float, npt.NDArray[np.uint8]], None, None]:
    """Open a camera by its number or a stream by its address; yields times from the first frame and uint8 (H, W, 3).

    One that is lost is opened again, with a warning (``camera-lost``). Frames end where a stream does.

    Raises:
        DataError: it cannot be opened (``camera-missing``), or not again (``camera-lost``).
        MissingExtraError: PyAV is not installed.
    """
    return _followed(source, _open(source))


def _followed(source: int | str, container: Any) -> Generator[tuple[float, npt.NDArray[np.uint8]], None, None]:
    began: float | None = None
    while True:
        is_lost = isinstance(source, int)  # a camera has no end
        with closing(_newest(container)) as frames:
            for seconds, frame in frames:
                if isinstance(frame, Exception):
                    # What comes over HTTP, such as a file, may end so.
                    is_lost = is_lost or not str(source).startswith("http")
                    break
                began = seconds if began is None else began
                yield seconds - began, frame.to_ndarray(format="rgb24")
        if not is_lost:
            return
        container = _open_again(source)


def _open_again(source: int | str) -> Any:
    named = f"camera {source}" if isinstance(source, int) else without_password(source)
    warnings.warn(MienWarning(f"{named} was lost; it is opened again.", code="camera-lost"), stacklevel=2)
    for _ in range(TRIES):
        time.sleep(1)
        with suppress(DataError):
            return _open(source)
    raise DataError(f"{named} was lost, and cannot be opened again. Is it still connected?", code="camera-lost")


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
    named = f"Camera {source}" if isinstance(source, int) else without_password(source)
    raise DataError(
        f"{named} cannot be opened. Is it there, and used by no other program? A video file is given by its path.",
        code="camera-missing",
    )


def _camera(number: int) -> tuple[str, str]:
    """Name of a camera for FFmpeg on this system, and FFmpeg's way to read it."""
    system = platform.system()
    if system == "Darwin":
        return f"{number}:none", "avfoundation"
    if system != "Windows":
        return f"/dev/video{number}", "v4l2"
    import av

    cameras = [each.name for each in av.enumerate_input_devices("dshow") if "video" in each.media_types]
    return f"video={dict(enumerate(cameras))[number]}", "dshow"


def _newest(container: Any) -> Generator[tuple[float, Any], None, None]:
    """Times and frames, and last the error that ended them, if one did."""
    import av

    newest: queue.Queue[tuple[float, Any]] = queue.Queue(1)
    stop = threading.Event()

    def put(frame: Any) -> None:
        with suppress(queue.Empty):
            newest.get_nowait()  # nobody took it in time
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
