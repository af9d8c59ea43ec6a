"""What the Haar cascade's settings do: `python benchmarks/haar.py [--data PATH]`, a line for each setting.

Found are scikit-image's astronaut at eight sizes, 24 drawn faces in six scenes, and with --data the first 300 faces of
FER2013's validation; false are the faces in 18 of scikit-image's pictures that show none, looked at whole, in quarters
and mirrored (180 pictures), and any beside those drawn.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage import data

from mien.data.read import load_dataset
from mien.data.synthetic import render_faces
from mien.faces import haar

SIZES = (64, 96, 128, 192, 256, 384, 512, 1024)
FACELESS = (
    *("coffee.png", "clock_motion.png", "gravel.png", "brick.png", "logo.png", "motorcycle_left.png", "text.png"),
    *("hubble_deep_field.jpg", "page.png", "moon.png", "grass.png", "retina.jpg", "ihc.png", "cell.png", "rocket.jpg"),
    *("chelsea.png", "color.png", "horse.png"),
)
SETTINGS: tuple[dict, ...] = (
    {},
    *({"CASCADE": f"haarcascade_frontalface_{name}.xml"} for name in ("default", "alt", "alt_tree")),
    *({"NEIGHBOURS": count} for count in (3, 4, 8)),
    {"SCALE_STEP": 1.2},
    {"BORDER": 0.0},
    {"SEARCHED_PX": (1, 640)},
    {"SEARCHED_PX": (320, 1024)},
)


def scene(seed: int) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Four drawn faces of different sizes on smooth shades: uint8 (600, 800, 3), and left, top, side of each."""
    random = np.random.default_rng(seed)
    shades = random.integers(60, 200, (12, 16), dtype=np.uint8)
    grey = cv2.resize(shades, (800, 600), interpolation=cv2.INTER_CUBIC)
    places, left = [], 20
    for drawn, side in zip(render_faces(random.integers(0, 7, 4), seed), (60, 100, 150, 220), strict=True):
        top = int(random.integers(10, 590 - side))
        grey[top : top + side, left : left + side] = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_CUBIC)
        places.append((left, top, side))
        left += side + 20
    return np.dstack([grey] * 3), places


def drawn_faces() -> tuple[int, int]:
    """How many of 24 are found, and how many are seen beside them."""
    found = seen = 0
    for seed in range(6):
        picture, places = scene(seed)
        boxes = [face.box for face in haar.HaarDetector().detect(picture)]
        seen += len(boxes)
        for left, top, side in places:
            middles = [(box.left + box.width / 2 - left, box.top + box.height / 2 - top) for box in boxes]
            found += any(abs(x - side / 2) < side / 4 and abs(y - side / 2) < side / 4 for x, y in middles)
    return found, seen - found


def faceless() -> list[np.ndarray]:
    """180 pictures uint8 (H, W, 3) that show no face."""
    pictures = []
    for name in FACELESS:
        whole = np.asarray(Image.open(Path(data.__file__).parent / name).convert("RGB"))
        down, across = whole.shape[0] // 2, whole.shape[1] // 2
        parts = [half for rows in (whole[:down], whole[down:]) for half in (rows[:, :across], rows[:, across:])]
        pictures += [side for part in (whole, *parts) for side in (part, np.ascontiguousarray(part[:, ::-1]))]
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data")
    path = parser.parse_args().data
    cv2.setNumThreads(1)
    without = faceless()
    astronaut = Image.fromarray(data.astronaut())
    photos = [np.asarray(astronaut.resize((size, size), Image.Resampling.BILINEAR)) for size in SIZES]
    crops = [] if path is None else np.asarray(load_dataset(path).of_split("validation").images[:300])
    chosen = {name: getattr(haar, name) for setting in SETTINGS for name in setting}
    for setting in SETTINGS:
        for name, value in (chosen | setting).items():
            setattr(haar, name, value)
        detector = haar.HaarDetector()
        sizes = [size for size, photo in zip(SIZES, photos, strict=True) if len(detector.detect(photo)) == 1]
        found, beside = drawn_faces()
        false = sum(len(detector.detect(picture)) for picture in without)
        of_crops = [bool(detector.detect(np.dstack([crop] * 3))) for crop in crops]
        words = ", ".join(f"{name} {value}" for name, value in setting.items()) or "as it is"
        print(f"{words}: astronaut at {sizes}, {found} of 24 drawn, false {false} and {beside}", end="")
        print(f", {100 * np.mean(of_crops):.1f} % of FER2013's" if len(of_crops) else "", flush=True)


if __name__ == "__main__":
    main()
