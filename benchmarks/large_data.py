"""Data that is not held in memory: `python benchmarks/large_data.py [--faces N] [--side-px S] [--channels C]`.

Draws N faces (a million by default) into a parquet file, every thousandth of them a brighter copy of the one that it
follows. Then each step is a process of its own: read the file, find its copies, train `short` for some steps, from the
mapped file and from memory. Memory is the most that was the process's own (RssAnon, Linux): pages of mapped files do
not count, for the system takes them back when it needs room.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mien.data.dataset import Dataset
from mien.data.image_store import ImageWriter
from mien.data.parquet import write_parquet
from mien.data.synthetic import draw_labels, render_chunks
from mien.labels import EXPRESSIONS

COPY_EVERY = 1000
BRIGHTER = 20

LOAD = """
import json, sys, time
from mien.data import image_store
from mien.data.read import load_dataset
if sys.argv[1] == "memory":
    image_store.LARGE_BYTES = 1 << 60
start = time.perf_counter()
data = load_dataset(sys.argv[2], size_px=int(sys.argv[3]), channels=int(sys.argv[4]))
seconds, facts = time.perf_counter() - start, {}
"""
FIND_COPIES = """
from mien.auditing.run import find_copies
start = time.perf_counter()
groups = find_copies(data).near.groups
seconds = time.perf_counter() - start
copies = (data.columns["copy_of"] >= 0).nonzero()[0]
originals = data.places(data.columns["copy_of"][copies])
facts = {"copies": len(copies), "found": int((groups[copies] == groups[originals]).sum())}
"""
TRAIN = """
import tempfile
from pathlib import Path
from mien.errors import StoppedError
from mien.recipe_file import load_recipe
from mien.run_folder import RunFolder
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training

FIRST, LAST = 50, 450

class Watch(Callback):
    steps = images = 0
    def on_step_end(self, epoch, images, loss):
        self.steps += 1
        if self.steps == FIRST:
            self.start = time.perf_counter()
        elif self.steps > FIRST:
            self.images += images
            self.end = time.perf_counter()
    def should_stop(self):
        return self.steps >= LAST

recipe = load_recipe("short")
size_px, channels = int(sys.argv[3]), int(sys.argv[4])
crop_px = size_px - 4
recipe = recipe.model_copy(update={"progressive_resizing": (), "input": recipe.input.model_copy(
    update={"size_px": size_px, "crop_px": crop_px, "channels": channels})})
watch = Watch()
with tempfile.TemporaryDirectory() as folder:
    try:
        train(plan_training(recipe, data), RunFolder(Path(folder) / "run"), callback=watch, device="cpu")
    except StoppedError:
        pass
seconds = watch.end - watch.start
facts = {"images a second": round(watch.images / seconds)}
"""
PRINT = 'print(json.dumps({"seconds": round(seconds, 1), "faces": len(data), **facts}))\n'


def draw(path: Path, count: int, side_px: int, channels: int) -> None:
    """Write the faces, and the copies among them, without ever holding all in memory."""
    labels = draw_labels(count, seed=0)
    copy_of = np.full(count, -1, dtype=np.int64)
    writer, first = ImageWriter(count, (side_px, side_px) if channels == 1 else (side_px, side_px, 3)), 0
    for block in render_chunks(labels, 0, side_px, channels, COPY_EVERY):
        if len(block) == COPY_EVERY:
            block[-1] = np.minimum(block[-2].astype(np.int64) + BRIGHTER, 255)
            copy_of[first + COPY_EVERY - 1] = first + COPY_EVERY - 2
            labels[first + COPY_EVERY - 1] = labels[first + COPY_EVERY - 2]
        writer.add(block)
        first += len(block)
    split = np.random.default_rng(0).choice(["train", "validation", "test"], count, p=[0.8, 0.1, 0.1])
    faces = Dataset(
        images=writer.finish(),
        labels=labels,
        classes=EXPRESSIONS,
        split=split,
        source=np.array([f"drawn {row}" for row in range(count)]),
        rows=np.arange(count),
        columns={"copy_of": copy_of},
    )
    write_parquet(faces, path)


def measure(work: str, where: str, path: Path, side_px: int, channels: int) -> dict[str, float]:
    """Run some work in a process of its own, and watch how much memory is its own."""
    words = [sys.executable, "-c", LOAD + work + PRINT, where, str(path), str(side_px), str(channels)]
    environment = {**os.environ, "MIEN_CACHE": str(path.parent / "cache")}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    most = 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            most = max(most, int(found[1]) if (found := re.search(r"RssAnon:\s+(\d+)", status)) else 0)
        except OSError:
            pass
        time.sleep(0.05)
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"The step ended with exit code {process.returncode}.")
    return {**json.loads(said), "GB of its own": round(most * 1024 / 1e9, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--side-px", type=int, default=48, metavar="S")
    parser.add_argument("--channels", type=int, default=1, choices=(1, 3), metavar="C")
    parser.add_argument("--folder", help="on a real disk; the system's temporary folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path, shape = Path(folder) / "drawn.parquet", (options.side_px, options.channels)
        os.environ["MIEN_CACHE"] = str(Path(folder) / "cache")
        start = time.perf_counter()
        draw(path, options.faces, *shape)
        print(
            f"drawn: {path.stat().st_size / 1e9:.2f} GB of parquet in {time.perf_counter() - start:.0f} s", flush=True
        )
        for what, work, where in (
            ("read", "", "file"),
            ("read again", "", "file"),
            ("copies", FIND_COPIES, "file"),
            ("train from memory", TRAIN, "memory"),
            ("train from the file", TRAIN, "file"),
            ("train from memory", TRAIN, "memory"),
            ("train from the file", TRAIN, "file"),
        ):
            print(f"{what}: {measure(work, where, path, *shape)}", flush=True)


if __name__ == "__main__":
    main()
