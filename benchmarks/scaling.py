"""Faces a second of one training with 1, 2, ... processes: ``python benchmarks/scaling.py --processes 2``.

Each process has one thread on a CPU, or one GPU. The data are rendered faces; the first epoch, in which things are set
up, does not count. Prints a line for each number of processes: faces a second, and the ratio to one process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from mien.data.parquet import write_parquet
from mien.data.synthetic import synthetic_faces
from mien.run_folder import RunFolder


def faces_per_second(data: Path, out: Path, recipe: str, processes: int, epochs: int, count: int) -> float:
    """Train and read the history: faces of all epochs after the first, by its seconds."""
    words = ["-m", "mien", "train", recipe, "--data", str(data), "--out", str(out), "--epochs", str(epochs), "--quiet"]
    words += ["--devices", str(processes)] if processes > 1 else []
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *words], check=True, env=environment, stdout=subprocess.DEVNULL)
    first, *_, last = (line["seconds"] for line in RunFolder(out).read_history())
    return (epochs - 1) * count / (last - first)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[2])
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--faces", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        faces = synthetic_faces(options.faces, seed=0)
        write_parquet(faces, root / "faces.parquet")
        count = int((faces.split == "train").sum())
        one = 0.0
        for processes in (1, *options.processes):
            out = root / f"run-{processes}"
            rate = faces_per_second(root / "faces.parquet", out, options.recipe, processes, options.epochs, count)
            one = one or rate
            print(f"{processes} processes: {rate:,.0f} faces/s, {rate / one:.2f} of one process", flush=True)


if __name__ == "__main__":
    main()
