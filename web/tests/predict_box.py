"""Print Python's predictions for a box of an image, as JSON: probabilities by output, then by class.

    python web/tests/predict_box.py IMAGE LEFT TOP WIDTH HEIGHT SIZE DOWN

SIZE and DOWN are the margin of the page's face crops (web/src/faces/crop.ts).
"""

from __future__ import annotations

import json
import sys

import numpy as np

from mien.base.images import open_image
from mien.base.preprocess import grey_square
from mien.inference.face_reader import FaceReader
from mien.inference.find_model import find_model
from mien.inference.predictor import Predictor

MODEL = "fast-int8"


def main(path: str, left: int, top: int, width: int, height: int, size: float, down: float) -> None:
    """Crop, predict, print."""
    rgb = np.asarray(open_image(path).convert("RGB"))
    longer = max(width, height)
    side = max(round(size * longer), 1)
    first_row = round(top + height / 2 + down * longer - side / 2)
    first_column = round(left + width / 2 - side / 2)
    rows = np.clip(np.arange(first_row, first_row + side), 0, rgb.shape[0] - 1)
    columns = np.clip(np.arange(first_column, first_column + side), 0, rgb.shape[1] - 1)
    predictor = Predictor(find_model(MODEL), threads=1)
    crop = grey_square(rgb[rows[:, np.newaxis], columns], predictor.manifest.input.size_px)
    answers = {}
    for output in predictor.manifest.outputs_to_choose:
        reader = FaceReader(predictor.with_output(output.name))
        answers[output.name] = dict(
            zip(reader.classes, reader.classify_found(crop[np.newaxis])[0].tolist(), strict=True)
        )
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:6]), *map(float, sys.argv[6:8]))
