"""How cost grows with work: `python benchmarks/growth.py [CURVE ...]` prints a table a curve, as docs/growth.md has it.

Each point is a fresh process on one thread, and its seconds are of the processor, so that other work beside it matters
little; a point of less than a second is done again until a second is over. The exponent is the slope of a straight
line through the logarithms: 1 is "twice the work, twice the time". What a process needs before its first result
(Python, models, a first call) is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage import data

import mien
from mien.data.synthetic import synthetic_faces
from video import write_clip

SIDE = 240
"""Of the square that holds one face."""


def photograph(faces: int = 1, height: int = 1440) -> Callable[[], object]:
    """A JPEG file of so many faces beside one another in a picture of 4 to 3."""
    person = Image.fromarray(data.astronaut()[20 : 20 + SIDE, 100 : 100 + SIDE])
    image = Image.fromarray(data.coffee()).resize((1920, 1440))
    for number in range(faces):
        image.paste(person, (number % 8 * SIDE, number // 8 * SIDE))
    image.resize((height * 4 // 3, height)).save("photo.jpg", quality=90)
    predictor = mien.load("default")
    found = len(predictor.predict("photo.jpg"))
    if found != faces:
        sys.stderr.write(f"found {found} of {faces} faces\n")
    return lambda: predictor.predict("photo.jpg")


def photograph_at(megapixels: float) -> Callable[[], object]:
    """One face; so many million pixels."""
    return photograph(height=round((megapixels * 1e6 * 3 / 4) ** 0.5))


def clip(seconds: float) -> Callable[[], object]:
    """A clip of 640 x 480 pixels at 30 frames a second with two faces, followed."""
    write_clip(Path("clip.mp4"), seconds)
    return lambda: sum(1 for _ in mien.track("clip.mp4"))


def epoch(samples: int, side_px: int = 48) -> Callable[[], object]:
    """An epoch of `small` over so many drawn faces; validation and the export included."""
    faces = synthetic_faces(samples, seed=0, size_px=side_px)
    changes = {"input.size_px": side_px, "input.crop_px": side_px - 4, "progressive_resizing": []}
    return lambda: mien.train("small", faces, out=f"{time.monotonic_ns()}", epochs=1, settings=changes, verbose=0)


def epoch_at(side_px: int) -> Callable[[], object]:
    """As above, 4,000 faces of another size."""
    return epoch(4_000, side_px)


def audit(samples: int) -> Callable[[], object]:
    """The audit without a model, written as a page."""
    faces = synthetic_faces(samples, seed=0)
    return lambda: mien.audit(faces).write(f"{time.monotonic_ns()}")


CURVES: dict[str, tuple[str, Callable[[Any], Callable[[], object]], tuple[float, ...]]] = {
    "faces": ("faces in a photograph of 2.8 megapixels", photograph, (1, 2, 4, 8, 16, 32)),
    "megapixels": ("megapixels of a photograph with one face", photograph_at, (0.3, 1, 3, 12, 24)),
    "clips": ("seconds of a clip", clip, (5, 10, 20, 40)),
    "samples": ("samples of an epoch, 48 px", epoch, (4_000, 8_000, 16_000)),
    "size": ("side of the training faces in pixels", epoch_at, (32, 48, 64)),
    "audit": ("samples of an audit", audit, (5_000, 20_000, 80_000)),
}


def measure(curve: str, at: float) -> float:
    """Seconds of the processor for one point, in this process; files go into the current folder."""
    _, prepare, points = CURVES[curve]
    # What is loaded and compiled once is done before.
    prepare(points[0])()
    call = prepare(at)
    calls, began = 0, time.process_time()
    while calls == 0 or time.process_time() - began < 1:
        call()
        calls += 1
    return (time.process_time() - began) / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curves", nargs="*", help=f"of {', '.join(CURVES)}; all by default")
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point is not None:
        print(measure(options.curves[0], options.point))
        return
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    for name in options.curves or CURVES:
        title, _, points = CURVES[name]
        seconds = []
        with tempfile.TemporaryDirectory() as folder:
            for point in points:
                command = [sys.executable, Path(__file__).absolute(), name, "--point", str(point)]
                text = subprocess.check_output(command, env=environment, cwd=folder, text=True)
                seconds.append(float(text.splitlines()[-1]))
        slope = np.polyfit(np.log(points), np.log(seconds), 1)[0]
        print(f"\n| {title} | {' | '.join(f'{point:,g}' for point in points)} | exponent |")
        print(f"|---|{'---|' * (len(points) + 1)}")
        print(f"| seconds | {' | '.join(f'{each:.3g}' for each in seconds)} | {slope:.2f} |", flush=True)


if __name__ == "__main__":
    main()
