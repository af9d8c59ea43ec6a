"""How many copies the audit finds: `python benchmarks/audit.py [--data PATH]` prints the share of each kind.

300 images are copied in each way with Pillow, among all the others; found is a copy that is in the group of its image.
Without --data the images are 20,000 rendered faces, and every other flagged pair is false.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from typing import Literal

import numpy as np
from PIL import Image

from mien.data.read import load_dataset
from mien.data.splits import group_identical
from mien.data.synthetic import draw_labels, render_faces
from mien.near_copies.finder import LEAST_CONTRAST, contrast, find_near_copies

OF_A_KIND = 300
SIDE_PX = 48


def moved(image: np.ndarray, random: np.random.Generator, border: Literal["edge", "constant"]) -> np.ndarray:
    down, across = random.integers(-3, 4, 2)
    return np.pad(image, 3, mode=border)[3 + down : 3 + down + SIDE_PX, 3 + across : 3 + across + SIDE_PX]


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def brighter(image: np.ndarray, times: float = 1.0, plus: float = 0.0) -> np.ndarray:
    return np.clip(np.rint(image * times + plus), 0, 255).astype(np.uint8)


def cropped(image: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    side = share * SIDE_PX
    left, top = random.uniform(0, SIDE_PX - side, 2)
    box = (left, top, left + side, top + side)
    return np.asarray(Image.fromarray(image).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC, box=box))


def all_at_once(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    image = image[:, ::-1] if random.random() < 0.5 else image
    image = cropped(image, random.uniform(0.9, 1), random)
    image = moved(image, random, "edge")
    return jpeg(brighter(image, random.uniform(0.8, 1.2)), int(random.integers(50, 96)))


KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "mirrored": lambda image, random: image[:, ::-1],
    "shifted by up to 3 px, border repeated": lambda image, random: moved(image, random, "edge"),
    "shifted by up to 3 px, border black": lambda image, random: moved(image, random, "constant"),
    "JPEG, quality 50 to 95": lambda image, random: jpeg(image, int(random.integers(50, 96))),
    "brightness times 0.8 or 1.2": lambda image, random: brighter(image, random.choice([0.8, 1.2])),
    "brightness plus or minus 51": lambda image, random: brighter(image, plus=random.choice([-51, 51])),
    "cropped to 90 to 100%": lambda image, random: cropped(image, random.uniform(0.9, 1), random),
    "all of these at once": all_at_once,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    path = parser.parse_args().data
    images = render_faces(draw_labels(20_000, 3), 3) if path is None else np.asarray(load_dataset(path).images)
    # Only images that differ: which of two identical ones is found would say nothing.
    _, first = np.unique(group_identical(images), return_index=True)
    images = images[np.sort(first[contrast(images[first]) >= LEAST_CONTRAST])]
    random = np.random.default_rng(0)
    chosen = random.choice(len(images), (len(KINDS), OF_A_KIND), replace=False)
    made = [make(images[at], random) for make, row in zip(KINDS.values(), chosen, strict=True) for at in row]
    together = np.concatenate([images, np.stack(made)])
    found = find_near_copies(together, group_identical(together), contrast(together))
    own = (found.groups[chosen.ravel()] == found.groups[len(images) :]).reshape(chosen.shape)
    for name, hits in zip(KINDS, own, strict=True):
        print(f"{name}: {100 * hits.mean():.1f}% of {OF_A_KIND}")
    pairs = len(images) * (len(images) - 1) / 2
    among = int(((found.first < len(images)) & (found.second < len(images))).sum())
    print(f"pairs among the {len(images):,} images themselves: {among:,}, {1e7 * among / pairs:.2f} in ten million")


if __name__ == "__main__":
    main()
