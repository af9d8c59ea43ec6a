"""What the networks of a study cost to use: ``python benchmarks/network_times.py width``.

Each variant is trained for one epoch on a few drawn faces, which its time does not depend on, and exported. Then the
files take turns: 64 faces at a time on one thread of ONNX Runtime, input ready. Each one's best turn counts, since a
shared machine disturbs all. Prints microseconds a face, and times the first variant's; ``--out FILE`` keeps them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

from mien.artifact import open_model
from mien.data.synthetic import synthetic_faces
from mien.files import write_text
from mien.pipeline.training_run import run_recipe
from mien.progress import set_quiet
from mien.run_folder import RunFolder
from mien.study.spec import load_study
from mien.training.plan import plan_training

TURNS = 25
TURN_SECONDS = 0.2
BATCH = 64


def turn(session: onnxruntime.InferenceSession, images: np.ndarray) -> float:
    """Seconds a face, the mean over a turn."""
    calls, began = 0, time.perf_counter()
    while time.perf_counter() - began < TURN_SECONDS:
        session.run(["logits"], {"images": images})
        calls += 1
    return (time.perf_counter() - began) / calls / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()
    set_quiet(True)
    study = load_study(options.study)
    sides = {}
    with tempfile.TemporaryDirectory() as folder:
        for variant in study.variants:
            if variant.after:
                continue
            recipe = study.recipe_of(variant, 0, ["epochs=1"])
            run = RunFolder(Path(folder) / variant.name)
            run_recipe(plan_training(recipe, synthetic_faces(300, seed=0, size_px=recipe.input.stored_as[0])), run)
            session, manifest = open_model(run.model, 1)
            side, channels = manifest.input.crop_px, manifest.input.channels
            images = np.random.default_rng(0).normal(size=(BATCH, channels, side, side)).astype(np.float32)
            sides[variant.name] = session, images
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(TURNS):
        for name, (session, images) in sides.items():
            best[name] = min(best[name], turn(session, images))
    first = next(iter(best.values()))
    for name, seconds in best.items():
        print(f"{name:20} {1e6 * seconds:8.1f} us a face, {seconds / first:.2f} times {next(iter(best))}")
    if options.out:
        write_text(options.out, json.dumps({"study": options.study, "seconds_a_face": best}, indent=2) + "\n")


if __name__ == "__main__":
    main()
