"""The frames of a camera or a network stream, by OpenCV: always the newest one, so that slow work never lags behind."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, without_password

OPEN_MILLISECONDS = 10_000
"""How long a stream may take to open, and later to send a frame."""


def live_frames(source: int | str) -> Iterator[tuple[float, npt.NDArray[np.uint8]]]:
    """Open a camera by its number or a stream by its address; yields times from the first frame and uint8 (H, W, 3).

    Raises:
        DataError: it cannot be opened (``camera-missing``).
    """
    return _newest(_open(source))


def _open(source: int | str) -> Any:
    import cv2

    # OpenCV's own lines about what cannot be opened, and FFmpeg's.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if isinstance(source, int):
        # With a number below 0 OpenCV ends the process.
        capture = cv2.VideoCapture(source) if 0 <= source < 1 << 31 else cv2.VideoCapture()
    else:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_MILLISECONDS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, OPEN_MILLISECONDS]
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        named = f"Camera {source}" if isinstance(source, int) else without_password(source)
        raise DataError(
            f"{named} cannot be opened. Is it there, and used by no other program? A video file is given by its path.",
            code="camera-missing",
        )
    return capture


def _newest(capture: Any) -> Iterator[tuple[float, npt.NDArray[np.uint8]]]:
    newest: queue.Queue[tuple[float, Any]] = queue.Queue(1)
    stop = threading.Event()

    def read() -> None:
        is_open = True
        while is_open and not stop.is_set():
            is_open, bgr = capture.read()
            with suppress(queue.Empty):
                newest.get_nowait()  # nobody took it in time
            newest.put((time.monotonic(), bgr if is_open else None))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        began: float | None = None
        while (item := newest.get())[1] is not None:
            seconds, bgr = item
            began = seconds if began is None else began
            yield seconds - began, np.ascontiguousarray(bgr[:, :, ::-1])
    finally:
        stop.set()
        reader.join()
        capture.release()
