"""How the page's face detector's boxes become crops like FER2013's: the margin that keeps most accuracy.

Each validation face is enlarged, its border pixels are repeated around it as the page does with close-ups, the page's
detector looks for the face again, and the box is cut with several margins. The page uses the one whose cuts the model
reads best (web/src/faces/crop.ts). Faces in which nothing is found are left out.

    make web
    python benchmarks/web_margin.py --data fer2013.csv
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

from mien.data.read import read_data
from mien.inference.find_model import find_model
from mien.inference.predictor import Predictor
from mien.preprocess import grey_square
from mien.serve.built_page import PAGE_MODEL

DETECTOR = Path(__file__).parents[1] / "web" / "build" / "detector.onnx"
FACE_PX = 96
"""Side of the enlarged face: of 96, 128, 160 and 192 the one at which most faces are found again."""

CANVAS_PX = 224
LEAST_SCORE = 0.5
ANCHORS = ((1.603231, 2.094468), (6.041143, 7.080126), (2.882459, 3.518061), (4.266906, 5.178857), (9.041765, 10.66308))
"""As in web/src/faces/anchors.ts."""

SIZES = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2)
DOWNS = (-0.09, -0.06, -0.03, 0.0, 0.03, 0.06, 0.09)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--model", default=PAGE_MODEL)
    given = arguments.parse_args()
    faces = read_data(given.data, size_px=48).faces
    chosen = faces.split == "validation"
    images, labels = np.asarray(faces.images[chosen]), faces.labels[chosen]
    classifier = Predictor(find_model(given.model), threads=1).for_labels()
    boxes, scores = find_again(images)
    found = scores > LEAST_SCORE
    images, labels, boxes = images[found], labels[found], boxes[found]
    middles, sides = boxes[:, :2], boxes[:, 2:].max(axis=1)
    print(f"found again: {found.mean():.1%} of {len(found):,}")
    print(f"the whole face in longer sides of the box: size {np.median(48 / sides):.3f}", end=", ")
    print(f"down {np.median((24 - middles[:, 1]) / sides):.3f}, right {np.median((24 - middles[:, 0]) / sides):.3f}")
    whole = (classifier.probabilities(images).argmax(axis=1) == labels).mean()
    print(f"accuracy of these faces as they are: {whole:.2%}\n  size   down  accuracy")
    for size, down in product(SIZES, DOWNS):
        cuts = np.stack([cut(*each, size, down) for each in zip(images, middles, sides, strict=True)])
        accuracy = (classifier.probabilities(cuts).argmax(axis=1) == labels).mean()
        print(f"  {size:.2f}  {down:+.2f}  {accuracy:.2%}", flush=True)


def find_again(images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Best box of each face: centre x, y, width, height in its own pixels (N, 4), and its score (N,)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(DETECTOR), options)
    border, scale = (CANVAS_PX - FACE_PX) // 2, images.shape[1] / FACE_PX
    boxes, scores = [], []
    for image in images:
        large = np.asarray(Image.fromarray(image).resize((FACE_PX, FACE_PX), Image.Resampling.BILINEAR))
        grey = np.pad(large, border, mode="edge")
        (cells,) = session.run(None, {"pixels": np.dstack([grey, grey, grey, np.full_like(grey, 255)])})
        cells = cells.astype(np.float64).reshape(len(ANCHORS), 5, *cells.shape[2:])
        share = 1 / (1 + np.exp(-cells[:, 4]))
        anchor, row, column = np.unravel_index(share.argmax(), share.shape)
        across, down, wide, high = cells[anchor, :4, row, column]
        x, y = 32 * (column + 1 / (1 + np.exp(-across))), 32 * (row + 1 / (1 + np.exp(-down)))
        width, height = 32 * np.exp([wide, high]) * ANCHORS[anchor]
        boxes.append([(x - border) * scale, (y - border) * scale, width * scale, height * scale])
        scores.append(share.max())
    return np.array(boxes), np.array(scores)


def cut(
    image: npt.NDArray[np.uint8], middle: npt.NDArray[np.float64], side: float, size: float, down: float
) -> npt.NDArray[np.uint8]:
    """A square cut of a face at an eighth of a pixel, its border repeated beyond it, at its own size again."""
    fine, large = 8, image.repeat(8, axis=0).repeat(8, axis=1)
    length = round(size * side * fine)
    left = round(middle[0] * fine - length / 2)
    top = round((middle[1] + down * side) * fine - length / 2)
    rows = np.clip(np.arange(top, top + length), 0, len(large) - 1)
    columns = np.clip(np.arange(left, left + length), 0, len(large) - 1)
    return grey_square(large[rows[:, np.newaxis], columns], len(image))


if __name__ == "__main__":
    main()
