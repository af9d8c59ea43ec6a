"""How detected faces become crops like FER2013's: `python benchmarks/margin.py --data PATH`.

Each validation picture of FER2013 is a crop already. It is enlarged, its border pixels repeated around it, and its face
is found again by the detector in use (find_detector), cut out by its box, and by its eyes and mouth too, and read. The
medians say where faces are in these pictures: SPAN and DOWN in mien/faces/face.py. Pictures without a found face are
counted and left out, also where the others are read as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from PIL import Image

import mien
from mien.base.progress import track
from mien.data.read import load_dataset
from mien.evaluation.metrics import proportion
from mien.faces.face import SPAN, Box, Face, between, crop_faces, square_around
from mien.faces.find import find_detector

ENLARGED_PX, AROUND_PX = 192, 96
"""Boxes are whole pixels: at 48 px one would be 2% of the face. With a border, a face that fills it fits in."""


def photo(image: np.ndarray) -> np.ndarray:
    large = np.asarray(Image.fromarray(image).resize((ENLARGED_PX, ENLARGED_PX), Image.Resampling.BICUBIC))
    return np.repeat(np.pad(large, AROUND_PX, mode="edge")[:, :, np.newaxis], 3, axis=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--limit", type=int)
    given = parser.parse_args()
    classifier, detector = mien.load(threads=1).for_labels(), find_detector()
    data = load_dataset(given.data).of_split("validation")
    images, size_px = np.asarray(data.images[: given.limit]), classifier.manifest.input.size_px
    labels = np.array([classifier.classes.index(data.classes[label]) for label in data.labels[: given.limit]])
    found = [detector.detect(photo(image)) for image in track(images, len(images), "detecting", "faces")]
    at = np.array([index for index, several in enumerate(found) if several])
    faces = [found[index][0] for index in at]
    print(f"{detector.name}: a face in {len(at):,} of {len(images):,} pictures")
    longer = np.array([max(face.box.width, face.box.height) for face in faces])
    print(f"median of the picture's side by the box's longer one: {np.median(ENLARGED_PX / longer):.3f}")
    if faces[0].landmarks:
        x, y, side = np.median([between(face.landmarks) for face in faces], axis=0) / ENLARGED_PX
        place = np.array([x, y]) - AROUND_PX / ENLARGED_PX - 0.5
        print(f"median from eyes to mouth {SPAN * side:.3f}, their middle {place.round(3)}")

    def read(square_of: Callable[[Face], Box]) -> str:
        pairs = zip(images[at], faces, strict=True)
        return told(np.concatenate([crop_faces(photo(image), [square_of(face)], size_px) for image, face in pairs]))

    def told(crops: np.ndarray) -> str:
        right = proportion(int((classifier.probabilities(crops).argmax(axis=1) == labels[at]).sum()), len(at))
        return f"{right.value:.1%} [{right.low:.1%}, {right.high:.1%}]"

    print(f"read as they are: {told(images[at])}")
    print(f"enlarged and shrunk again: {read(lambda _: Box(AROUND_PX, AROUND_PX, ENLARGED_PX, ENLARGED_PX))}")
    print(f"cut out by the box: {read(lambda face: square_around(face.box, detector.margin))}")
    print(f"and by eyes and mouth: {read(lambda face: square_around(face.box, detector.margin, face.landmarks))}")


if __name__ == "__main__":
    main()
