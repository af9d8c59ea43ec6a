"""Training rate with the memory that a step frees kept in the process, and given back to the system as glibc does.

    python benchmarks/kept_memory.py [RECIPE ...] [--turns N]

Both ways train the same recipe on the same random images through `mien train`'s loop, each in a process of its own, in
turns. Prints, of the steps of a second epoch, images a second and how many pages the kernel had to bring in, the most
memory that the process held, medians all, and the ratio; checks that both ways end with the same loss to the bit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import numpy as np

from mien.data.dataset import Dataset
from mien.labels import EXPRESSIONS
from mien.recipe_file import load_recipe
from mien.run_folder import RunFolder
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training

FACES = 2_560
PLAIN = {
    name: value for name, value in os.environ.items() if not name.startswith("MALLOC_") and name != "GLIBC_TUNABLES"
} | {"CUDA_VISIBLE_DEVICES": ""}
"""No GPU, and no settings of malloc, with which memory is fetched both times."""


class SecondEpoch(Callback):
    """A watch of the training loop: seconds and pages brought in, from the second epoch's first step to its last."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def on_step_end(self, epoch: int, images: int, loss: float) -> None:
        if epoch == 2:
            self._seen.append((time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt))

    def per_step(self) -> tuple[float, float]:
        """Seconds and pages."""
        (began, before), (ended, after) = self._seen[0], self._seen[-1]
        steps = len(self._seen) - 1
        return (ended - began) / steps, (after - before) / steps


def one_turn(name: str, keep: bool) -> None:
    """Train two epochs in this process, and print what a step of the second one took."""
    images = np.random.default_rng(0).integers(0, 256, (FACES + 64, 48, 48), dtype=np.uint8)
    split = np.where(np.arange(len(images)) < FACES, "train", "validation")
    faces = Dataset(images, np.arange(len(images)) % 7, EXPRESSIONS, split, split, np.arange(len(images)))
    recipe = load_recipe(name, ["epochs=2", "progressive_resizing=[]", "ema_decay=0", "recalibrate_bn=false"])
    callback = SecondEpoch()
    way = nullcontext() if keep else patch("mien.training.device._keep_freed_memory")
    with tempfile.TemporaryDirectory() as folder, way:
        history = train(plan_training(recipe, faces), RunFolder(Path(folder) / "run"), callback=callback).history
    seconds, pages = callback.per_step()
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    loss = history[-1]["train_loss"]
    print(json.dumps({"rate": recipe.batch_size / seconds, "pages": pages, "most_mb": most_mb, "loss": loss}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=["study-a", "study-b", "quick", "fast"])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--one", choices=("kept", "fetched"), help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.one:
        one_turn(wanted.recipes[0], keep=wanted.one == "kept")
        return
    for name in wanted.recipes:
        turns: dict[str, list[dict[str, float]]] = {"fetched": [], "kept": []}
        for _ in range(wanted.turns):
            for way, found in turns.items():
                words = [sys.executable, __file__, name, "--one", way]
                done = subprocess.run(words, env=PLAIN, capture_output=True, text=True, check=True)
                found.append(json.loads(done.stdout.splitlines()[-1]))
        if len({turn["loss"] for found in turns.values() for turn in found}) != 1:
            raise SystemExit(f"{name}: the two ways did not end with the same loss")
        middle = {
            way: {key: statistics.median(turn[key] for turn in found) for key in ("rate", "pages", "most_mb")}
            for way, found in turns.items()
        }
        for way, of in middle.items():
            told = f"{of['rate']:6.0f} images/s {of['pages']:7.0f} pages a step {of['most_mb']:6.0f} MB at most"
            print(f"{name:10} {way:8} {told}")
        print(f"{name:10} kept / fetched {middle['kept']['rate'] / middle['fetched']['rate']:.2f}", flush=True)


if __name__ == "__main__":
    main()
