"""How long detectors take for a photo, in one run: `python benchmarks/detect.py FOLDER --yunet FILE.onnx`.

The folder's photos whose longer side has 640 pixels or more (--side) are shrunk to it; smaller ones are left out. What
is measured is `detect` of a decoded photo, in this process on two cores, however many there are. mien's own detector
and OpenCV's YuNet, with a file of its model zoo, take turns photo by photo, and each one's best of three counts, since
a shared machine disturbs all. A ratio is the median over the photos of mien's own time by the other's. On busy cores
the processor's time says more than the clock.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mien.base.images import open_image
from mien.base.preprocess import upright_rgb
from mien.faces.find import find_detector

CORES, TURNS = 2, 3


def photos(folder: Path, side: int) -> list[np.ndarray]:
    found = []
    for path in sorted(folder.iterdir()):
        rgb = upright_rgb(open_image(path))
        scale = side / max(rgb.shape[:2])
        if scale <= 1:
            size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
            found.append(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    return found


class YuNet:
    """OpenCV's FaceDetectorYN at score 0.6."""

    def __init__(self, file: Path) -> None:
        self._network = cv2.FaceDetectorYN.create(str(file), "", (64, 64), 0.6)

    def detect(self, rgb: np.ndarray) -> list[np.ndarray]:
        self._network.setInputSize(rgb.shape[1::-1])
        found = self._network.detect(np.ascontiguousarray(rgb[:, :, ::-1]))[1]
        return [] if found is None else list(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--yunet", type=Path, metavar="FILE")
    parser.add_argument("--side", type=int, default=640)
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    cv2.setNumThreads(CORES)
    images = photos(given.folder, given.side)
    if not images:
        sys.exit(f"No photo in {given.folder} has a longer side of {given.side} pixels or more.")
    own = find_detector()
    detectors: dict[str, Any] = {own.name: own}
    if given.yunet:
        detectors["YuNet"] = YuNet(given.yunet)
    # Of the clock and of the processor.
    best = {name: np.full((2, len(images)), np.inf) for name in detectors}
    faces = dict.fromkeys(detectors, 0)
    for turn in range(TURNS):
        for at, rgb in enumerate(images):
            for name, detector in detectors.items():
                began = np.array([time.perf_counter(), time.process_time()])
                found = detector.detect(rgb)
                taken = np.array([time.perf_counter(), time.process_time()]) - began
                best[name][:, at] = np.minimum(best[name][:, at], taken)
                faces[name] += len(found) if turn == 0 else 0
    for name, times in best.items():
        wall, processor = 1000 * np.median(times, axis=1)
        wall_ratio, ratio = np.median(best[own.name] / times, axis=1)
        print(
            f"{name}: {faces[name]} faces; {wall:.1f} ms of wall time, {processor:.1f} of the processor; mien's own "
            f"takes {wall_ratio:.2f} and {ratio:.2f} of these"
        )
    print(f"{len(images)} photos of {given.side} px, best of {TURNS}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
