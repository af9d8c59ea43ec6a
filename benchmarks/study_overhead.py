"""What the study runner adds to its runs, and how often it decodes a dataset that variants share.

    python benchmarks/study_overhead.py [--epochs N]

Four variants on rendered faces: all of a study, plan to page, against the time that it spends within its runs, in
`mien train`'s own code. What it watches there step by step counts as theirs, and nothing is compared. (The same runs
by themselves differ by up to ten percent from one time to the next here.) Prints the ratio; below 1.02 is the bar. Then
how often a study of four variants decoded a CSV.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from mien.cli.main import app
from mien.data.synthetic import synthetic_faces
from mien.pipeline.training_run import RunResult, run_recipe
from mien.run_folder import RunFolder
from mien.runs.execute import StudyContext
from mien.runs.page import write_study
from mien.runs.plan import DataForm, PlannedRun
from mien.runs.planner import make_plan
from mien.runs.scheduler import run_all
from mien.runs.spec import parse_study
from mien.runs.store import CompletedRun, read_completed
from mien.runs.table import tabulate, write_table
from mien.training.plan import plan_training

STUDY = """
name = "overhead"
title = "Four rates"
question = "What does the runner cost?"
recipe = "demo"
"""


class Silent:
    """A callback that does nothing."""

    def epochs(self, run: PlannedRun, done: int) -> None: ...

    def ended(self, run: PlannedRun, finished: CompletedRun) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--faces", type=int, default=8000)
    wanted = parser.parse_args()
    rates = (0.01, 0.02, 0.05, 0.1)
    text = STUDY + "".join(
        f'[[variants]]\nname = "r{rate}"\nset = {{ "optim.lr" = {rate}, epochs = {wanted.epochs} }}\n' for rate in rates
    )
    study = parse_study(text, "overhead")
    faces = synthetic_faces(wanted.faces, seed=0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yard = StudyContext({DataForm(48, 1): faces}, folder, folder / "results", {})
        first = make_plan(study, yard.faces_by_form).runs[0]
        run_recipe(
            plan_training(first.recipe, faces), RunFolder(folder / "warm")
        )  # kernels are chosen, torch is imported
        within = 0.0

        def timed(*args: Any, **settings: Any) -> RunResult:
            nonlocal within
            began = time.perf_counter()
            result = run_recipe(*args, **settings)
            within += time.perf_counter() - began
            return result

        began = time.perf_counter()
        plan = make_plan(study, yard.faces_by_form)
        with patch("mien.runs.execute.run_recipe", timed):
            run_all(plan.runs, {}, yard, Silent())
        runner = time.perf_counter() - began - within
        table = tabulate(study, plan, read_completed(yard.results))
        write_table(folder / "study.json", table)
        write_study(folder, table, {})
        whole = time.perf_counter() - began
        print(f"adds {whole - within:.2f} s to four runs of {within:.1f} s: ratio {whole / within:.4f} (bar 1.02)")
        print(f"of this plan and runs {runner:.2f} s, table and page {whole - within - runner:.2f} s")
        print(f"decoded: {decoded(folder, text)} time(s) for four variants")


def decoded(folder: Path, text: str) -> int:
    """How often a study of four variants reads the pixels of a CSV."""
    from mien.data import kaggle_csv

    faces = synthetic_faces(400, seed=1)
    file, study = folder / "faces.csv", folder / "study.toml"
    usage = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    lines = ["emotion,pixels,Usage"]
    for image, label, split in zip(faces.images, faces.labels, faces.split, strict=True):
        lines.append(f"{label},{' '.join(map(str, np.ravel(image)))},{usage[str(split)]}")
    file.write_text("\n".join(lines) + "\n")
    study.write_text(text)
    count = 0
    real = kaggle_csv._filled

    def counted(stream: Iterable[bytes]) -> Iterator[bytes | None]:
        nonlocal count
        count += 1
        return real(stream)

    words = ["study", str(study), "--data", str(file), "--out", str(folder / "out"), "--set", "epochs=1", "--quiet"]
    with patch("mien.data.kaggle_csv._filled", counted):
        app(words, prog_name="mien", standalone_mode=False)
    return count


if __name__ == "__main__":
    main()
