"""How right mien and its peers are on photographs of real faces, each with its own detector and crop.

    python benchmarks/real_faces.py FOLDER [MODEL ...] [--peer fer=PYTHON] [--limit N] [--tilt DEGREES]

FOLDER/readings.csv has ``path,label,reading1,reading2``; two readings of each photograph, blind, by a machine that
looks at pictures, beside its label, which is one person's word. Where both agree, they are the better truth. Of each
photograph the largest face counts; no face and "unsure" are wrong. A firm answer of mien is neither unsure nor one of
several alternatives. ``--tilt`` turns every photograph by so many degrees first, to the left and to the right in
turn. A peer (fer, deepface, emotiefflib, feat) is given as an interpreter that has it installed. fer-model (GitHub,
vicksam) has no detector, so it gets mien's crops: its interpreter has ai-edge-litert and Pillow, and FER_MODEL names
its ``ferplus_model_pd_best.tflite``. Times are of detection and classification, fer-model's of classification alone,
after a first photograph.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mien.base.images import open_image
from mien.base.labels import canonical_class
from mien.base.preprocess import upright_rgb
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import load

RECALLED = ("neutral", "happy", "surprise", "sad", "angry")
"""Over which classes recall is averaged; of the two others of FER2013 these photographs have few, or doubtful ones."""

# Each sets ``read``: the path of a PNG file -> the answer for its largest face, or None.
PYTHON = {
    "fer": """
import cv2
from fer.fer import FER
tool = FER()
def read(path):
    faces = tool.detect_emotions(cv2.imread(path))
    if not faces:
        return None
    emotions = max(faces, key=lambda face: face["box"][2] * face["box"][3])["emotions"]
    return max(emotions, key=emotions.get)
""",
    "deepface": """
from deepface import DeepFace
def read(path):
    try:
        faces = DeepFace.analyze(path, actions=["emotion"], silent=True)
    except ValueError:
        return None
    return max(faces, key=lambda face: face["region"]["w"] * face["region"]["h"])["dominant_emotion"]
""",
    "emotiefflib": """
import cv2
from emotiefflib.facial_analysis import EmotiEffLibRecognizer
from facenet_pytorch import MTCNN
tool, detector = EmotiEffLibRecognizer(engine="onnx", model_name="enet_b2_8", device="cpu"), MTCNN(keep_all=True)
def read(path):
    rgb = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    boxes, _ = detector.detect(rgb)
    if boxes is None:
        return None
    left, top, right, bottom = max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1])).clip(0).astype(int)
    return tool.predict_emotions(rgb[top:bottom, left:right], logits=False)[0][0]
""",
    "feat": """
from feat import Detector
tool = Detector(device="cpu")
def read(path):
    faces = tool.detect(path, data_type="image", progress_bar=False)
    faces = faces.assign(area=faces.FaceRectWidth * faces.FaceRectHeight).sort_values("area").dropna(subset=["area"])
    return faces.emotions.iloc[-1].idxmax() if len(faces) else None
""",
    "fer-model": """
import os
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
tool = Interpreter(os.environ["FER_MODEL"])
tool.allocate_tensors()
names = "neutral happiness surprise sadness anger disgust fear contempt".split()
def read(path):
    face = np.asarray(Image.open(path), np.float32)
    if face.shape != (48, 48):
        return None
    tool.set_tensor(tool.get_input_details()[0]["index"], face[None, :, :, None] / 255)
    tool.invoke()
    return names[tool.get_tensor(tool.get_output_details()[0]["index"])[0, :8].argmax()]
""",
}
_PYTHON_LOOP = """
import json, sys, time
for number, path in enumerate(map(str.strip, sys.stdin)):
    if not number:
        read(path)
    began = time.perf_counter()
    answer = read(path)
    print("@" + json.dumps([answer, time.perf_counter() - began]), flush=True)
"""

Answer = tuple[str | None, float, bool]
"""Answer of a tool for a photograph, None where it found no face; seconds; whether the answer is firm."""


def of_mien(model: str, files: list[Path], tilt: float = 0) -> Iterator[Answer]:
    """The answers of a model of mien."""
    predictor = load(model)
    for number, file in enumerate([files[0], *files]):
        rgb = upright_rgb(open_image(file))
        if tilt:
            border = round(0.35 * max(rgb.shape))
            padded = Image.fromarray(np.pad(rgb, ((border, border), (border, border), (0, 0)), mode="edge"))
            rgb = np.asarray(padded.rotate(tilt if number % 2 else -tilt, Image.Resampling.BICUBIC))
        began = time.perf_counter()
        found = predictor.predict(rgb)
        if number:
            firm = bool(found) and not found[0].in_doubt and not found[0].not_a_face
            yield (found[0].answer if found else None), time.perf_counter() - began, firm


def of_peer(name: str, where: str, files: list[Path], folder: Path) -> Iterator[Answer]:
    """The answers of another tool, in a process of its own."""
    given = [folder / f"{number}.png" for number in range(len(files))]
    reader = FaceReader(load("default"))
    for file, path in zip(files, given, strict=True):
        image = open_image(file)
        if name == "fer-model":
            rgb = upright_rgb(image)
            crops = reader.crop(rgb, reader.detect(rgb)[:1])
            image = Image.fromarray(crops[0]) if len(crops) else Image.new("L", (1, 1))
        image.convert("L" if name == "fer-model" else "RGB").save(path)
    command = [where, "-c", PYTHON[name] + _PYTHON_LOOP]
    done = subprocess.run(command, input="\n".join(map(str, given)), stdout=subprocess.PIPE, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("@")]
    assert len(lines) == len(files), f"{name} did not answer for each photograph"
    for line in lines:
        answer, seconds = json.loads(line[1:])
        yield answer, seconds, answer is not None


def row(name: str, answers: list[Answer], truth: list[str], agreed: list[str]) -> str:
    """A line of the table; ``agreed`` has what two readings agree on, or "" for a photograph."""
    said = np.array([canonical_class(answer or "") for answer, _, _ in answers])
    firm = np.array([each for _, _, each in answers])
    labels = np.array(truth)
    right = said == labels
    read = np.array(agreed) != ""
    by_readings = (said == np.array(agreed))[read].mean()
    recall = np.mean([right[labels == each].mean() for each in RECALLED if (labels == each).any()])
    milliseconds = 1000 * np.median([seconds for _, seconds, _ in answers])
    return (
        f"| {name} | {np.mean(said != ''):.1%} | {right.mean():.1%} | {by_readings:.1%} | "
        f"{recall:.1%} | {np.mean(said == 'unsure'):.1%} | "
        f"{firm.mean():.1%} | {right[firm].mean():.1%} | {milliseconds:.0f} ms |"
    )


def main() -> None:
    """Read the command line, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=["default", "best", "fast"])
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--limit", type=int, help="so many photographs, drawn at random")
    parser.add_argument("--tilt", type=float, default=0, metavar="DEGREES")
    wanted = parser.parse_args()
    with (wanted.folder / "readings.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if wanted.limit:
        rows = [rows[at] for at in np.random.default_rng(0).permutation(len(rows))[: wanted.limit]]
    files, truth = [wanted.folder / each["path"] for each in rows], [each["label"] for each in rows]
    agreed = [each["reading1"] if each["reading1"] == each["reading2"] else "" for each in rows]
    columns = "faces found | right | as two readings | mean recall of five | unsure | firm | firm: right | a photograph"
    print(f"| {len(files)} photographs | {columns} |")
    print("|" + "---|" * 9)
    for model in wanted.models:
        print(row(f"mien, `{model}`", list(of_mien(model, files, wanted.tilt)), truth, agreed), flush=True)
    for peer in wanted.peer:
        name, _, where = peer.partition("=")
        if name not in PYTHON:
            parser.error(f"no peer {name}; there are {', '.join(PYTHON)}")
        with tempfile.TemporaryDirectory() as folder:
            print(row(name, list(of_peer(name, where, files, Path(folder))), truth, agreed), flush=True)


if __name__ == "__main__":
    main()
