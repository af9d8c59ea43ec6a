"""What docs/embed.md says to programmers of apps. Oracles: mien, and the examples/answer.py.

``python tests/inference/test_embed.py`` writes docs/embed-vectors.json anew.
"""

import base64
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from mien.base.run_folder import find_model
from mien.data.synthetic import render_faces
from mien.faces.face import MARKS, Box, crop_faces, square_around, tilt_of
from mien.faces.find import YuNet
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import Predictor

DOCS = Path(__file__).parents[2] / "docs"
FILE = DOCS / "embed-vectors.json"
MODEL = "default"

BOXES = {
    "smaller than the crop, over the border": (Box(left=-6, top=2, width=30, height=38), 44, 40),
    "larger than the crop": (Box(left=3, top=1, width=51, height=61), 58, 64),
    "with eyes and mouth": (Box(left=4, top=3, width=40, height=46), 50, 52),
    "tilted": (Box(left=4, top=3, width=40, height=46), 50, 52),
}
POINTS = {"with eyes and mouth": ((24.5, 20.0), (25.5, 38.0)), "tilted": ((29.5, 20.0), (22.0, 37.0))}


def vectors():
    """The content of the file."""
    predictor, margin = Predictor(find_model(MODEL), threads=1), YuNet.margin
    cases = []
    for number, (name, (box, width, height)) in enumerate(BOXES.items()):
        rgb = _picture(number, width, height)
        eyes, mouth = POINTS.get(name, (None, None))
        points = dict(zip(MARKS, (eyes, eyes, mouth, mouth), strict=True)) if eyes else {}
        square = square_around(box, margin, points)
        crops = crop_faces(rgb, [square], predictor.manifest.input.size_px, tilts=[tilt_of(points)])
        outputs = {each: predictor.with_output(each) for each in ("fer2013", "perceived", "photographs", "answer")}
        (prediction,) = outputs["answer"].predict_crops(crops)
        reader = FaceReader(outputs["answer"])
        photo = reader.prediction("photo", reader.classify_found(crops)[0], None)
        cases.append(
            {
                "name": name,
                **{"width": width, "height": height, "rgb": base64.b64encode(rgb.tobytes()).decode()},
                "box": list(box.to_dict().values()),
                **({"eyes": list(eyes), "mouth": list(mouth)} if eyes else {}),
                "square": list(square)[:3],
                "crop": base64.b64encode(crops.tobytes()).decode(),
                "probabilities": {
                    each: dict(zip(output.classes, np.round(output.probabilities(crops)[0], 6).tolist(), strict=True))
                    for each, output in outputs.items()
                },
                "answer": prediction.answer,
                "photo": {
                    "answer": photo.answer,
                    "alternatives": list(photo.alternatives),
                    "probabilities": {name: round(value, 6) for name, value in photo.probabilities.items()},
                },
            }
        )
    return {"model": MODEL, "margin": margin.size, "cases": cases}


def _picture(number, width, height):
    """A rendered face in colour that fills the image: uint8 (height, width, 3)."""
    from PIL import Image

    face = Image.fromarray(render_faces(np.array([3, 4, 5, 0]), seed=3)[number]).resize((width, height))
    grey = np.asarray(face, dtype=np.float64)[:, :, np.newaxis]
    return np.rint(grey * [1.0, 0.85, 0.7] + np.linspace(0, 60, width)[None, :, None] * [0, 0, 1]).astype("u1")


@pytest.fixture(scope="module")
def stored():
    return json.loads(FILE.read_text(encoding="utf-8"))


def test_the_vectors_are_what_mien_says(stored):
    fresh, numbers = vectors(), {"probabilities": 0, "rgb": 0, "photo": 0}
    assert [each | numbers for each in stored["cases"]] == [each | numbers for each in fresh["cases"]]
    # They follow the shipped model: after a change of it, write them anew.
    for old, new in zip(stored["cases"], fresh["cases"], strict=True):
        for output, row in old["probabilities"].items():
            assert row == pytest.approx(new["probabilities"][output], abs=1e-3)
        assert old["photo"]["probabilities"] == pytest.approx(new["photo"]["probabilities"], abs=1e-3)


def _port(model, monkeypatch):
    """Run examples/answer.py for a model file, and return the names that it defines."""
    monkeypatch.setattr(sys, "argv", ["answer.py", str(model)])
    return runpy.run_path(str(DOCS.parent / "examples" / "answer.py"))


def test_the_example_makes_the_same_of_them(stored, monkeypatch):
    port, answers = _port(find_model(MODEL), monkeypatch), set()
    for case in stored["cases"]:
        rgb = np.frombuffer(base64.b64decode(case["rgb"]), dtype=np.uint8).reshape(case["height"], case["width"], 3)
        ours = port["face_crop"](rgb, *case["box"], case.get("eyes"), case.get("mouth"))
        theirs = np.frombuffer(base64.b64decode(case["crop"]), dtype=np.uint8).reshape(ours.shape)
        assert np.abs(ours.astype(int) - theirs).max() <= 1
        logits = port["logits_of"](theirs)
        for name, row in logits.items():
            classes = port["manifest"]["outputs"][name]["classes"]
            probabilities = dict(zip(classes, port["probabilities_of"](row, name), strict=True))
            assert probabilities == pytest.approx(case["probabilities"][name], abs=1e-3)
        answer, _, probabilities = port["answer_of"](port["probabilities_of"](logits[port["OUTPUT"]], port["OUTPUT"]))
        assert (probabilities, answer) == (pytest.approx(case["probabilities"]["answer"], abs=1e-3), case["answer"])
        answers.add(answer)
        answer, alternatives, probabilities = port["answer_of_photo"](theirs)
        assert (answer, alternatives) == (case["photo"]["answer"], case["photo"]["alternatives"])
        assert probabilities == pytest.approx(case["photo"]["probabilities"], abs=1e-3)
    assert len(answers) > 1


@pytest.mark.parametrize("run", ["tiny_run", "voted_run"])
def test_the_example_answers_as_mien_for_models_without_a_rule(run, request, drawn, monkeypatch):
    model = request.getfixturevalue(run).model
    reader, answer_of_photo = FaceReader(Predictor(model, threads=1)), _port(model, monkeypatch)["answer_of_photo"]
    for crop in drawn[:8]:
        found = reader.prediction("photo", reader.classify_found(crop[None])[0], None)
        answer, alternatives, probabilities = answer_of_photo(crop)
        assert (answer, alternatives) == (found.answer, list(found.alternatives))
        assert probabilities == pytest.approx(found.probabilities, abs=1e-5)


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), separators=(",", ":")).replace("},{", "},\n{") + "\n", encoding="utf-8")
