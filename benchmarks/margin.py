"""The margin around a detector's boxes that makes crops like FER2013's: `python benchmarks/margin.py --data PATH`.

Each validation picture of FER2013 is a crop already. It is enlarged, its face is found again by the detector in use,
cut out with each margin and vertical offset, its border pixels repeated outside, and read. The margin with the best
accuracy goes into the detector's file. Pictures without a found face are counted and left out, also where the others
are read as they are.

    MIEN_DETECTOR=haar python benchmarks/margin.py --data fer2013_dev.parquet

With --laid the face is looked for where it lies in a larger picture, as in a photo; all else is the same.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from PIL import Image
from skimage import data

import mien
from mien.base.preprocess import grey_square
from mien.base.progress import track
from mien.data.read import load_dataset
from mien.evaluation.intervals import proportion
from mien.faces.crop import crop
from mien.faces.face import Box, Detector, Margin
from mien.faces.find import find_detector

ENLARGED_PX = 288
"""Boxes are whole pixels: at 48 px one would be 2% of the face."""

LAID_PX = 200
"""Side of a face picture in the photo that it is laid into."""

SIZES = tuple(round(0.85 + 0.05 * step, 2) for step in range(12))
DOWNS = (-0.05, 0.0, 0.05, 0.1)


def enlarged(image: np.ndarray) -> np.ndarray:
    """A grey picture uint8 (S, S) with more pixels: uint8 (ENLARGED_PX, ENLARGED_PX)."""
    return np.asarray(Image.fromarray(image).resize((ENLARGED_PX, ENLARGED_PX), Image.Resampling.BICUBIC))


def photo(image: np.ndarray) -> np.ndarray:
    return np.repeat(enlarged(image)[:, :, np.newaxis], 3, axis=2)


def boxes_alone(image: np.ndarray, detector: Detector) -> list[Box]:
    """Boxes found in the enlarged picture, the largest first."""
    return [face.box for face in detector.detect(photo(image))]


def boxes_laid(image: np.ndarray, detector: Detector) -> list[Box]:
    """The same, found where the picture lies in scikit-image's photo of coffee; in pixels of the enlarged picture."""
    around = cv2.resize(data.coffee(), (640, 480))
    small = np.asarray(Image.fromarray(image).resize((LAID_PX, LAID_PX), Image.Resampling.BICUBIC))
    left, top = (640 - LAID_PX) // 2, (480 - LAID_PX) // 2
    around[top : top + LAID_PX, left : left + LAID_PX] = small[:, :, np.newaxis]
    boxes, scale = [], ENLARGED_PX / LAID_PX
    for face in detector.detect(around):
        middle = (face.box.left + face.box.width / 2 - left, face.box.top + face.box.height / 2 - top)
        if all(0 <= at < LAID_PX for at in middle):
            numbers = (face.box.left - left, face.box.top - top, face.box.width, face.box.height)
            boxes.append(Box(*(round(scale * number) for number in numbers)))
    return boxes


def share(hits: int, rows: int) -> str:
    estimate = proportion(hits, rows)
    return f"{100 * estimate.value:.1f} % ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def squares(images: np.ndarray, boxes: list[Box], margin: Margin, size_px: int) -> np.ndarray:
    # On one channel: three equal ones would give the same grey.
    pairs = zip(images, boxes, strict=True)
    return np.stack([grey_square(crop(enlarged(image), box, margin), size_px) for image, box in pairs])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--laid", action="store_true", help="look for the faces where they lie in a larger picture")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    classifier, detector = mien.load(given.model, threads=1).for_labels(), find_detector()
    faces = load_dataset(given.data).of_split("validation")
    images, size_px = np.asarray(faces.images[: given.limit]), classifier.manifest.input.size_px
    labels = np.array([classifier.classes.index(faces.classes[label]) for label in faces.labels[: given.limit]])

    look = boxes_laid if given.laid else boxes_alone
    found = [look(image, detector) for image in track(images, len(images), "detecting", "faces")]
    at = np.array([index for index, several in enumerate(found) if several])
    boxes = [found[index][0] for index in at]
    print(f"{detector.name}: a face in {share(len(at), len(images))} of {len(images):,} pictures")
    print(f"more than one face in {sum(len(several) > 1 for several in found)}")

    def hits(read: np.ndarray) -> np.ndarray:
        return np.asarray(classifier.probabilities(read).argmax(axis=1) == labels[at])

    whole = Box(0, 0, ENLARGED_PX, ENLARGED_PX)
    as_is = hits(np.ascontiguousarray(images[at]))
    print(f"read as they are: {share(int(as_is.sum()), len(at))}; all pictures: ", end="")
    print(f"{(classifier.probabilities(images).argmax(axis=1) == labels).mean():.3f}")
    again = hits(squares(images[at], [whole] * len(at), Margin(1.0, 0.0), size_px))
    print(f"enlarged and shrunk again: {share(int(again.sum()), len(at))}")
    longer = np.array([max(box.width, box.height) for box in boxes])
    size = np.median(ENLARGED_PX / longer)
    down = np.median((ENLARGED_PX / 2 - np.array([box.top + box.height / 2 for box in boxes])) / longer)
    print(f"the pictures' own margin, median: size {size:.3f}, down {down:+.3f}")

    best = (0, 0.0, 0.0)
    for size in SIZES:
        for down in DOWNS:
            right = hits(squares(images[at], boxes, Margin(size, down), size_px))
            best = max(best, (int(right.sum()), size, down))
            difference = right.astype(float) - as_is
            spread = 1.96 * difference.std() / len(at) ** 0.5
            print(
                f"size {size:.2f} down {down:+.2f}: {share(int(right.sum()), len(at))}, "
                f"{100 * difference.mean():+.1f} points ({100 * spread:.1f}) against as they are",
                flush=True,
            )
    print(f"best: Margin(size={best[1]}, down={best[2]})")


if __name__ == "__main__":
    main()
