"""How fast `mien video` is: `python benchmarks/video.py`, frames/s of the whole command beside the clip's 30.

scikit-image's astronaut moves about, and nearer and further, before its photo of coffee, at 640 x 480 pixels and 30
frames/s. The command is run as a user runs it; the start of Python and the loading of the model are part of its time.
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
WIDTH, HEIGHT = 640, 480


def frames(seconds: float) -> Iterator[np.ndarray]:
    background = cv2.resize(data.coffee(), (WIDTH, HEIGHT))
    person = np.ascontiguousarray(data.astronaut()[:380, 90:370])
    for number in range(round(seconds * RATE)):
        at = number / RATE
        size = 0.85 + 0.15 * np.sin(0.9 * at)
        shown = cv2.resize(person, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
        left = round((WIDTH - shown.shape[1]) * (0.5 + 0.45 * np.sin(1.3 * at)))
        top = round((HEIGHT - shown.shape[0]) * (0.5 + 0.45 * np.sin(1.7 * at)))
        frame = background.copy()
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
    with tempfile.TemporaryDirectory() as folder:
        clip, out = Path(folder) / "clip.mp4", Path(folder) / "out"
        write_clip(clip, given.seconds)
        for options in ([], ["--no-annotate"]):
            command = [sys.executable, "-m", "mien", "video", str(clip), "--out", str(out), "--json", "--overwrite"]
            before, worked = time.monotonic(), os.times()
            answer = json.loads(subprocess.run([*command, *options], check=True, capture_output=True).stdout)
            took, after = time.monotonic() - before, os.times()
            cores = (after.children_user + after.children_system) - (worked.children_user + worked.children_system)
            count = answer["video"]["frames"]
            seen = 100 * max(track["frames"] for track in answer["tracks"]) / count
            print(
                f"{' '.join(['mien video', *options])}, {answer['detector']}: {count / took:.0f} frames/s by the clock "
                f"({RATE} is real time), {count / cores:.0f} in a second of one core; "
                f"{len(answer['tracks'])} track(s), the longest in {seen:.0f} % of {count} frames"
            )
    print(f"cores: {len(os.sched_getaffinity(0))}; load: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
