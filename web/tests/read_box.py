"""Print what Python reads in a box of a picture, as JSON: probabilities in the order of the model's classes.

    python web/tests/read_box.py PICTURE LEFT TOP WIDTH HEIGHT SIZE DOWN

SIZE and DOWN are the margin of the page's detector (web/src/faces/crop.ts).
"""

from __future__ import annotations

import json
import sys

import numpy as np

from mien.inference.classifier import Classifier
from mien.inference.locate import find_model
from mien.pictures import open_image
from mien.preprocess import grey_square
from mien.serve.built_page import PAGE_MODEL


def main(path: str, left: int, top: int, width: int, height: int, size: float, down: float) -> None:
    """Cut, read, print."""
    rgb = np.asarray(open_image(path).convert("RGB"))
    longer = max(width, height)
    side = max(round(size * longer), 1)
    first_row = round(top + height / 2 + down * longer - side / 2)
    first_column = round(left + width / 2 - side / 2)
    rows = np.clip(np.arange(first_row, first_row + side), 0, rgb.shape[0] - 1)
    columns = np.clip(np.arange(first_column, first_column + side), 0, rgb.shape[1] - 1)
    classifier = Classifier(find_model(PAGE_MODEL), threads=1)
    square = grey_square(rgb[rows[:, np.newaxis], columns], classifier.manifest.input.size_px)
    sys.stdout.write(json.dumps(classifier.probabilities(square[np.newaxis])[0].tolist()))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:6]), *map(float, sys.argv[6:8]))
