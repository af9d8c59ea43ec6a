"""Drawn faces to teach, and what Python says of models that were taught with them.

python web/tests/teach_files.py draw FOLDER       # FOLDER/happy-0.png ..., and FOLDER/run, taught by mien train head
python web/tests/teach_files.py predict MODEL FOLDER    # prints JSON: by file, by class, a probability
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from mien import Dataset, load, train
from mien.base.labels import EXPRESSIONS
from mien.data.synthetic import render_faces

CLASSES = ("happy", "surprise")
FACES = 20


def draw(folder: Path) -> None:
    """Write the faces, and the run that Python teaches with them."""
    labels = np.repeat(np.arange(len(CLASSES)), FACES)
    numbers = np.array([EXPRESSIONS.index(name) for name in CLASSES])
    faces = render_faces(numbers[labels], seed=21)
    for index, (face, label) in enumerate(zip(faces, labels, strict=True)):
        Image.fromarray(face).save(folder / f"{CLASSES[label]}-{index % FACES}.png")
    split = np.where(np.arange(len(labels)) % FACES < FACES - 4, "train", "validation")
    data = Dataset.from_arrays(faces, labels, CLASSES, split=split)
    train("head", data, init_from="fast", out=folder / "run", verbose=0)


def predict(model: Path, folder: Path) -> None:
    """Print the probabilities of each face crop."""
    predictor = load(model)
    files = sorted(folder.glob("*.png"))
    rows = predictor.probabilities(np.stack([np.asarray(Image.open(file)) for file in files]))
    classes = predictor.manifest.classes
    answers = {
        file.name: dict(zip(classes, map(float, row), strict=True)) for file, row in zip(files, rows, strict=True)
    }
    sys.stdout.write(json.dumps({"name": predictor.manifest.full_name, "answers": answers}))


if __name__ == "__main__":
    what, *paths = sys.argv[1:]
    if what == "draw":
        draw(*map(Path, paths))
    else:
        predict(*map(Path, paths))
