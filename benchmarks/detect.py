"""How long the detectors take for a photo: `python benchmarks/detect.py FOLDER [--detector NAME ...]`.

The folder's photos whose longer side has 1280 pixels or more (--side) are shrunk to it; smaller ones are left out. They
are decoded before; what is measured is `detect`, in this process on two cores, however many there are. The detectors
take turns photo by photo, and each one's best of --turns counts, since a shared machine disturbs all. The load of the
machine is printed with the times: on busy cores the processor time says more than the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from mien.faces.find import VARIABLE, find_detector
from mien.files import write_text
from mien.images import open_image_source
from mien.preprocess import upright_rgb

CORES = 2


def photos(folder: Path, side: int) -> list[np.ndarray]:
    found = []
    for path in sorted(folder.iterdir()):
        rgb = upright_rgb(open_image_source(path))
        longer = max(rgb.shape[:2])
        if longer >= side:
            size = (round(rgb.shape[1] * side / longer), round(rgb.shape[0] * side / longer))
            found.append(np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--detector", action="append", help="as MIEN_DETECTOR; can be repeated")
    parser.add_argument("--side", type=int, default=1280)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write the times into this JSON file")
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    images = photos(given.folder, given.side)
    if not images:
        sys.exit(f"No photo in {given.folder} has a longer side of {given.side} pixels or more.")
    detectors = {}
    for name in given.detector or ["network"]:
        os.environ[VARIABLE] = name
        detectors[name] = find_detector()
    load = os.getloadavg()[0]
    wall, work = ({name: np.full(len(images), np.inf) for name in detectors} for _ in range(2))
    faces = dict.fromkeys(detectors, 0)
    for turn in range(given.turns):
        for at, rgb in enumerate(images):
            for name, detector in detectors.items():
                began, worked = time.perf_counter(), time.process_time()
                found = detector.detect(rgb)
                wall[name][at] = min(wall[name][at], time.perf_counter() - began)
                work[name][at] = min(work[name][at], time.process_time() - worked)
                faces[name] += len(found) if turn == 0 else 0
    rows = {
        detectors[name].name: {
            "photos": len(images),
            "faces": faces[name],
            "median_ms": round(1000 * float(np.median(wall[name])), 1),
            "mean_ms": round(1000 * float(wall[name].mean()), 1),
            "slowest_ms": round(1000 * float(wall[name].max()), 1),
            "processor_ms": round(1000 * float(work[name].mean()), 1),
        }
        for name in detectors
    }
    loads = [round(load, 1), round(os.getloadavg()[0], 1)]
    for name, row in rows.items():
        print(f"{name}: " + ", ".join(f"{key} {value:,}" for key, value in row.items()))
    print(f"longer side {given.side} px, best of {given.turns}, load {loads[0]} before, {loads[1]} after")
    if given.keep:
        result = {"side_px": given.side, "turns": given.turns, "load": loads, "detectors": rows}
        write_text(given.keep, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
