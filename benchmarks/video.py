"""How fast `mien video` is: `python benchmarks/video.py`, frames/s of the whole command beside the clip's 30.

Two of scikit-image's astronaut move about, and nearer and further, before its photo of coffee, at 640 x 480 pixels and
30 frames/s. The command is run as a user runs it; the start of Python and the loading of the model are part of its
time. It has two cores, however many there are. Where other work shares them the clock says little; the work itself, and
how much of it is on the main thread, say what two cores of its own would do.
"""

from __future__ import annotations

import argparse
import json
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
# `mien`, which says at its end how much of its work was the main thread's.
PROGRAM = """
import sys, time
from mien.cli.main import main
try:
    main()
finally:
    sys.stderr.write(f"\\n{time.thread_time()}")
"""
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
            command = [sys.executable, "-c", PROGRAM, "video", str(clip), "--out", str(out), "--json", "--overwrite"]
            load, before, worked = os.getloadavg()[0], time.monotonic(), os.times()
            done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
            took, after = time.monotonic() - before, os.times()
            cores = (after.children_user + after.children_system) - (worked.children_user + worked.children_system)
            answer, main_thread = json.loads(done.stdout), float(done.stderr.splitlines()[-1])
            count = answer["video"]["frames"]
            seen = 100 * max(track["frames"] for track in answer["tracks"]) / count
            print(
                f"{' '.join(['mien video', *options])}, {answer['detector']}: {count / took:.0f} frames/s by the clock "
                f"({RATE} is real time), {count / cores:.0f} in a second of one core "
                f"({cores:.1f} s of work, {main_thread:.1f} on the main thread); "
                f"{len(answer['tracks'])} track(s), the longest in {seen:.0f} % of {count} frames; "
                f"load {load:.1f} before, {os.getloadavg()[0]:.1f} after, on {_cores()} core(s)"
            )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    main()
