"""Hold Mien.kt to mien's own answers: the cases of docs/embed-vectors.json, and the portraits that come with mien.

kotlinc examples/phones/Mien.kt examples/phones/Check.kt -include-runtime -d check.jar
python examples/phones/check.py java -jar check.jar

It runs the networks for the program, over a pipe, and prints the largest differences.
"""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from mien import load
from mien.base.images import open_image
from mien.base.model_file import open_model
from mien.faces.find import FILE, YuNet

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "mien"
MODEL = SOURCE / "shipped" / "default" / "model.onnx"


class Program:
    """A port of mien that reads from stdin and writes to stdout: numbers are big-endian, texts as Java writes them."""

    def __init__(self, command: list[str]) -> None:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        self.stdin, self.stdout = process.stdin, process.stdout
        session, manifest = open_model(MODEL, threads=1)
        self.crop_px = manifest.input.crop_px
        self.networks = [onnxruntime.InferenceSession(FILE), session]
        rule, spec = manifest.answer, manifest.input
        assert rule is not None  # the default model has one
        head = manifest.outputs[rule.output]
        self.outputs = ["faces", f"logits_{rule.output}"]
        self.send(len(head.classes), *head.classes, *map(float, rule.prior), spec.size_px, spec.crop_px)
        self.send(*np.ravel([spec.mean, spec.std]).tolist(), head.temperature, rule.strength, len(rule.weights))
        for name, weight in rule.weights.items():
            self.send(name, float(weight))
        self.send(rule.unsure_below, rule.margin)

    def send(self, *values: float | str) -> None:
        """Write whole numbers, fractions and texts."""
        for value in values:
            if isinstance(value, str):
                content = value.encode()
                self.stdin.write(struct.pack(">H", len(content)) + content)
            else:
                self.stdin.write(struct.pack(">i" if isinstance(value, int) else ">d", value))

    def ask(self, what: int, rgb: Any, *values: float) -> list[str]:
        """Return its answers for an image: 1 for a box, with two points or none, 2 for all faces."""
        self.send(what, rgb.shape[1], rgb.shape[0])
        self.stdin.write(rgb.tobytes())
        self.send(*values)
        self.stdin.flush()
        while network := self._number():
            sizes = [self._number() for _ in range(self._number())]
            content = self.stdout.read(self._number())
            if network == 2:
                images = np.frombuffer(content, ">f4").astype(np.float32)
                given: dict[str, Any] = {"images": images.reshape(sizes[0], 1, self.crop_px, self.crop_px)}
            else:
                given = {"pixels": np.frombuffer(content, np.uint8).reshape(*sizes, 4)}
            found = self.networks[network - 1].run([self.outputs[network - 1]], given)[0].astype(">f4")
            self.send(found.size)
            self.stdin.write(found.tobytes())
            self.stdin.flush()
        return [self.stdout.read(struct.unpack(">H", self.stdout.read(2))[0]).decode() for _ in range(self._number())]

    def _number(self) -> int:
        return int(struct.unpack(">i", self.stdout.read(4))[0])


def main(command: list[str]) -> int:
    """Print a line a case; 1 where one differs by more than docs/embed.md allows."""
    program = Program(command)
    worst = []
    for case in json.loads((ROOT / "docs" / "embed-vectors.json").read_text(encoding="utf-8"))["cases"]:
        rgb = np.frombuffer(base64.b64decode(case["rgb"]), np.uint8).reshape(case["height"], case["width"], 3)
        points = [float(value) for name in ("eyes", "mouth") if name in case for value in case[name]]
        crop, answer, alternatives, shares = program.ask(1, rgb, *map(float, case["box"]), len(points) // 2, *points)
        expected = np.frombuffer(base64.b64decode(case["crop"]), np.uint8).astype(int)
        levels = int(abs(np.array(crop.split(","), dtype=int) - expected).max())
        difference = _difference(shares, case["photo"]["probabilities"])
        is_same = [answer, *_names(alternatives)] == [case["photo"]["answer"], *case["photo"]["alternatives"]]
        worst.append(levels > 1 or difference > 0.01 or not is_same)
        sys.stdout.write(f"{case['name']}: crop within {levels} grey levels, probabilities within {difference:.1g}\n")
    predictor = load(str(MODEL), threads=1)
    for file in sorted((SOURCE / "shipped" / "faces").glob("*.jpg")):
        rgb = np.asarray(open_image(file).convert("RGB"))
        (theirs,) = predictor.predict(file, detector=YuNet())
        box, _, answer, alternatives, shares = program.ask(2, rgb)[0].split(";")
        shift = max(abs(float(a) - b) for a, b in zip(box.split(","), theirs.box, strict=True))
        difference = _difference(shares, theirs.probabilities)
        is_same = [answer, *_names(alternatives)] == [theirs.answer, *theirs.alternatives]
        # mien shrinks images in two steps, so boxes differ. A 20th of the width moves the crop by 2 of 48 pixels.
        worst.append(not is_same or difference > 0.05 or shift > theirs.box.width / 20)
        sys.stdout.write(
            f"{file.name}: {answer}, box within {shift:.1f} of {theirs.box.width:.0f} pixels, "
            f"probabilities within {difference:.2g}\n"
        )
    program.send(0)
    program.stdin.close()
    return int(any(worst))


def _names(text: str) -> list[str]:
    return text.split(",") if text else []


def _difference(shares: str, expected: dict[str, float]) -> float:
    found = dict(each.split("=") for each in shares.split(","))
    return max(abs(float(found[name]) - value) for name, value in expected.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
