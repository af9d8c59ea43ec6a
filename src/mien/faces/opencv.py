"""OpenCV where it is installed: the Haar cascade, YuNet and video need it, and the core does not."""

from __future__ import annotations

from contextlib import suppress


def limit_opencv_threads(threads: int) -> None:
    """Let OpenCV use this many threads in each call: those of callers that run side by side compete for the cores."""
    with suppress(ModuleNotFoundError):
        import cv2

        cv2.setNumThreads(threads)
