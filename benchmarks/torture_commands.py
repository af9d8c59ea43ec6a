"""The commands that ``benchmarks/torture.py`` breaks off, and what they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mien.data.synthetic import synthetic_faces

RECIPE = """
name = "tiny"
epochs = 2
batch_size = 64
ema_decay = 0.9
precision = "fp32"
[input]
crop_px = 44
[model]
name = "mien"
stem_width = 2
widths = [2, 4]
convolutions = [1, 1]
"""
STUDY = """
name = "tiny"
title = "A tiny study"
question = "Does it end well?"
recipe = "tiny.toml"
seeds = [0]
metrics = ["accuracy"]
[[variants]]
name = "one"
[[variants]]
name = "two"
set = { optim.lr = 0.02 }
"""
SPACE = """
recipe = "tiny.toml"
trials = 2
epochs = 2
[parameters]
optim.lr = { log = [0.02, 0.6] }
"""
WAYS = ("kill", "moved", "size", "kill", "removed", "full", "kill", "read-only", "damaged")


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        name: of the command.
        words: its words. ``OUT`` stands for the folder that it may write into, ``RUN`` for an unharmed run.
        again: further words when it is run again.
        equal: patterns of its files that are to be equal.
        folder: what it makes in ``OUT``, if that is a folder.
        trains: whether it is one training, so that what is promised of runs holds.
    """

    name: str
    words: Sequence[str]
    again: Sequence[str] = ()
    equal: Sequence[str] = ()
    folder: str | None = None
    trains: bool = False

    @property
    def ways(self) -> tuple[str, ...]:
        """How it can be broken off."""
        ways = WAYS if self.folder is not None else tuple(way for way in WAYS if way not in {"moved", "removed"})
        return ("threads", *ways) if self.trains else ways


def commands(root: Path) -> list[Command]:
    """The commands, the quickest first."""
    data, recipe = ["--data", str(root / "faces"), "--quiet"], str(root / "tiny.toml")
    trained = ["run/best.safetensors", "run/predictions_validation.npz"]
    distill = ["distill", recipe, "--teachers", "RUN", "--set", "distill.live=true", *data, "--out", "OUT/run"]
    evaluated = ["e/metrics.json", "e/predictions_validation.npz"]
    return [
        Command(
            "predict", ["predict", *data[1:], "--crops", "--model", "fast", "--out", "OUT/p.jsonl"], (), ["p.jsonl"]
        ),
        Command("evaluate", ["evaluate", "fast", *data, "--out", "OUT/e"], ["--overwrite"], evaluated, "e"),
        Command("train", ["train", recipe, *data, "--out", "OUT/run"], ["--resume"], trained, "run", True),
        Command("export", ["export", "RUN", *data, "--precision", "int8", "--out", "OUT/m.onnx"], (), ["m.onnx"]),
        Command("distill", distill, ["--resume"], trained, "run", True),
        Command("sweep", ["sweep", str(root / "space.toml"), *data, "--out", "OUT/w"], (), ["w/best.toml"], "w"),
        Command("study", ["study", str(root / "study.toml"), *data, "--out", "OUT/s"], (), ["s/results/*/*.npz"], "s"),
        Command("report", ["report", "RUN", *data, "--out", "OUT/r"], (), (), "r"),
    ]


def make_inputs(root: Path) -> None:
    """Faces in class folders, a recipe, a study and a space."""
    faces = synthetic_faces(140, seed=0)
    for index, face in enumerate(np.asarray(faces.images)):
        folder = root / "faces" / str(faces.split[index]) / faces.classes[faces.labels[index]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(folder / f"{index}.png")
    for name, text in (("tiny", RECIPE), ("study", STUDY), ("space", SPACE)):
        (root / f"{name}.toml").write_text(text)
