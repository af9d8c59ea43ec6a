"""Train a tiny network with two outputs on rendered faces, and write it as the page's model, with Python's answers.

    python web/tests/make_votes_model.py

Most of the drawn votes are for the label; noise is voted "not a face". The folder votes gets model.onnx, model.json and
expected.json.
"""

from __future__ import annotations

import base64
import io
import json
import tempfile
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.base.labels import FERPLUS_CLASSES
from mien.base.model_file import open_model
from mien.base.preprocess import to_input
from mien.base.recipe import check_recipe
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.synthetic import render_faces, synthetic_faces
from mien.exporting.to_onnx import export_run
from mien.serve.built_page import MODEL, page_files
from mien.training.loop import train
from mien.training.plan import plan_training

RECIPE = """
epochs = 6
batch_size = 32
precision = "fp32"

[input]
crop_px = 44

[model]
name = "mien"
stem_width = 8
widths = [8, 16]
convolutions = [1, 2]

[optim]
lr = 0.1

[outputs.fer2013]
target = "label"

[outputs.perceived]
target = "votes"
"""

FOLDER = Path(__file__).with_name("votes")

NOISE = 4
"""Every such image of the data is noise."""


def voted_faces() -> Dataset:
    """Rendered faces and noise, with votes."""
    faces = synthetic_faces(600, seed=3)
    generator = np.random.default_rng(0)
    images, votes = faces.images.copy(), generator.integers(0, 2, (len(faces), len(FERPLUS_CLASSES)))
    named = np.array([FERPLUS_CLASSES.index(faces.classes[label]) for label in faces.labels])
    named[::NOISE] = FERPLUS_CLASSES.index("not-a-face")
    images[::NOISE] = generator.integers(0, 256, images[::NOISE].shape)
    votes[np.arange(len(faces)), named] += 30
    return replace(faces, images=images, votes=votes, vote_classes=FERPLUS_CLASSES)


def expected(model: Path) -> list[dict[str, Any]]:
    """Some face crops as PNG, each with the probabilities of both outputs by class."""
    crops = [
        *render_faces(np.array([3, 0, 5, 6]), seed=11),
        np.random.default_rng(9).integers(0, 256, (48, 48), np.uint8),
    ]
    session, manifest = open_model(model, threads=1)
    images = to_input(np.stack(crops), manifest.input)
    rows = []
    for index, crop in enumerate(crops):
        stream = io.BytesIO()
        Image.fromarray(crop).save(stream, "PNG")
        probabilities = {}
        for name, output in manifest.outputs.items():
            (logits,) = session.run([manifest.output(name).logits], {"images": images[index : index + 1]})
            probabilities[name] = dict(zip(output.classes, _softmax(logits[0] / output.temperature), strict=True))
        file = base64.b64encode(stream.getvalue()).decode()
        rows.append({"name": f"face-{index}.png", "file": file, "probabilities": probabilities})
    return rows


def _softmax(logits: npt.NDArray[np.float32]) -> list[float]:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    answer: list[float] = (powers / powers.sum()).tolist()
    return answer


def main(folder: Path) -> None:
    """Train, export, write."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        run = RunFolder(Path(temporary) / "run")
        train(plan_training(check_recipe(tomllib.loads(RECIPE), "votes"), voted_faces()), run)
        export_run(run)
        for name, content in page_files([run.model]).items():
            (folder / name).write_bytes(content.read_bytes() if isinstance(content, Path) else content)
    (folder / "expected.json").write_text(json.dumps(expected(folder / MODEL)), encoding="utf-8")


if __name__ == "__main__":
    main(FOLDER)
