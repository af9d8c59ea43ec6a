"""Print Python's predictions of a face in an image, as JSON: probabilities by output, then by class.

    python web/tests/predict_box.py IMAGE [LEFT TOP WIDTH HEIGHT]

Without a box of the largest face that is found.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from mien.base.images import open_image
from mien.base.run_folder import find_model
from mien.faces.face import Box, Face
from mien.faces.find import YuNet
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import Predictor

MODEL = "fast-int8"


def main(path: str, *box: int) -> None:
    """Detect, crop, predict, print."""
    rgb = np.asarray(open_image(path).convert("RGB"))
    predictor = Predictor(find_model(MODEL), threads=1)
    detector = YuNet()
    faces = [Face(Box(*box), 1.0, {})] if box else detector.detect(rgb)[:1]
    answers = {}
    for output in predictor.manifest.outputs_to_choose:
        reader = FaceReader(predictor.with_output(output.name), detector)
        (prediction,) = reader.read(rgb, faces)
        answers[output.name] = dict(zip(reader.classes, prediction.probability_vector.tolist(), strict=True))
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:6]))
