"""Training rate with the memory that a step frees kept in the process, and given back to the system as glibc does.

    python benchmarks/kept_memory.py [RECIPE ...] [--turns N]

Both ways train the same recipe on the same random images through `mien train`'s loop, each in a process of its own, in
turns. Prints images a second after the first epoch, the ratio of the medians, and how many pages the kernel had to
bring in per step; checks that both ways end with the same loss to the bit.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import numpy as np

from mien.data.faceset import FaceSet
from mien.labels import EXPRESSIONS
from mien.recipe import load_recipe
from mien.run_folder import RunFolder
from mien.training.loop import train

FACES = 2_560


class Pages:
    """A watch of the training loop: pages brought in by the end of each epoch, and its seconds."""

    def __init__(self) -> None:
        self.pages: list[int] = []
        self.seconds: list[float] = []

    def step(self, epoch: int, images: int, loss: float) -> None: ...

    def epoch(self, line: dict[str, float], is_best: bool) -> None:
        self.pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        self.seconds.append(line["seconds"])


def one_turn(name: str, keep: bool) -> None:
    """Train two epochs in this process, and print what the second one took."""
    images = np.random.default_rng(0).integers(0, 256, (FACES + 64, 48, 48), dtype=np.uint8)
    split = np.where(np.arange(len(images)) < FACES, "train", "validation")
    faces = FaceSet(images, np.arange(len(images)) % 7, EXPRESSIONS, split, split, np.arange(len(images)))
    recipe = load_recipe(name, ["epochs=2", "early_sizes=[]", "ema_decay=0"])
    watch = Pages()
    with tempfile.TemporaryDirectory() as folder:
        way = nullcontext() if keep else patch("mien.training.device._keep_freed_memory")
        with way:
            history = train(recipe, faces, RunFolder(Path(folder) / "run"), watch=watch).history
    steps = FACES // recipe.batch_size
    print(
        json.dumps(
            {
                "rate": FACES / (watch.seconds[1] - watch.seconds[0]),
                "pages": (watch.pages[1] - watch.pages[0]) / steps,
                "loss": history[-1]["train_loss"],
            }
        )
    )


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
                done = subprocess.run(words, capture_output=True, text=True, check=True)
                found.append(json.loads(done.stdout.splitlines()[-1]))
        if len({turn["loss"] for found in turns.values() for turn in found}) != 1:
            raise SystemExit(f"{name}: the two ways did not end with the same loss")
        rate = {way: statistics.median(turn["rate"] for turn in found) for way, found in turns.items()}
        pages = {way: statistics.median(turn["pages"] for turn in found) for way, found in turns.items()}
        for way in turns:
            print(f"{name:10} {way:8} {rate[way]:6.0f} images/s {pages[way]:7.0f} pages a step")
        print(f"{name:10} kept / fetched {rate['kept'] / rate['fetched']:.2f}")


if __name__ == "__main__":
    main()
