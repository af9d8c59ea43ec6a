"""How many times real time `mien video` is: `python benchmarks/video.py`.

Two of scikit-image's astronaut move about, and nearer and further, before its photo of coffee, at 640 x 480 pixels and
30 frames/s. The command is run as a user runs it, on two cores, however many there are. Where other work shares them
the clock says little.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from skimage import data

RATE = 30
CORES = 2
WIDTH, HEIGHT = 640, 480


def frames(seconds: float) -> Iterator[np.ndarray]:
    background = cv2.resize(data.coffee(), (WIDTH, HEIGHT))
    person = data.astronaut()[:380, 90:370]
    for number in range(round(seconds * RATE)):
        frame = background.copy()
        for side, face in enumerate((person, person[:, ::-1])):
            at = number / RATE + 2 * side
            size = 0.85 + 0.15 * np.sin(0.9 * at)
            shown = cv2.resize(face, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
            left = round((WIDTH / 2 - shown.shape[1]) * (0.5 + 0.45 * np.sin(1.3 * at))) + side * WIDTH // 2
            top = round((HEIGHT - shown.shape[0]) * (0.5 + 0.45 * np.sin(1.7 * at)))
            frame[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
        yield frame


def write_clip(path: Path, seconds: float) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for rgb in frames(seconds):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as folder:
        clip, out = Path(folder) / "clip.mp4", Path(folder) / "out"
        write_clip(clip, given.seconds)
        for options in ([], ["--no-annotate"]):
            command = [sys.executable, "-m", "mien", "video", str(clip), "--out", str(out), "--overwrite", *options]
            began, before = time.monotonic(), os.times()
            subprocess.run(command, check=True, capture_output=True)
            took, after = time.monotonic() - began, os.times()
            cores = (after.children_user + after.children_system) - (before.children_user + before.children_system)
            print(
                f"{' '.join(['mien video', *options])}: {given.seconds / took:.2f} times real time, "
                f"{given.seconds / cores:.2f} on one core; load {os.getloadavg()[0]:.1f}"
            )


if __name__ == "__main__":
    main()
