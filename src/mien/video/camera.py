"""The frames of a camera or a network stream, by PyAV: always the newest one, so that slow work never lags behind."""

from __future__ import annotations

import platform
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, needs_extra, without_password

WAIT_SECONDS = 10
"""How long a stream may take to open, and later to send a frame."""


def live_frames(source: int | str) -> Iterator[tuple[float, npt.NDArray[np.uint8]]]:
    """Open a camera by its number or a stream by its address; yields times from the first frame and uint8 (H, W, 3).

    Raises:
        DataError: it cannot be opened (``camera-missing``).
        MissingExtraError: PyAV is not installed.
    """
    return _newest(_open(source))


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
    """What FFmpeg calls a camera on this system, and its way to read it."""
    system = platform.system()
    if system == "Darwin":
        return f"{number}:none", "avfoundation"
    if system != "Windows":
        return f"/dev/video{number}", "v4l2"
    import av

    cameras = [each.name for each in av.enumerate_input_devices("dshow") if "video" in each.media_types]
    return f"video={dict(enumerate(cameras))[number]}", "dshow"


def _newest(container: Any) -> Iterator[tuple[float, npt.NDArray[np.uint8]]]:
    import av

    newest: queue.Queue[tuple[float, Any]] = queue.Queue(1)
    stop = threading.Event()

    def put(frame: Any) -> None:
        with suppress(queue.Empty):
            newest.get_nowait()  # nobody took it in time
        newest.put((time.monotonic(), frame))

    def read() -> None:
        try:
            with suppress(av.FFmpegError, OSError):
                for frame in container.decode(video=0):
                    if stop.is_set():
                        break
                    put(frame)
        finally:
            put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        began: float | None = None
        while (item := newest.get())[1] is not None:
            seconds, frame = item
            began = seconds if began is None else began
            yield seconds - began, frame.to_ndarray(format="rgb24")
    finally:
        stop.set()
        reader.join()
        container.close()
