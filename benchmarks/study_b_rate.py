"""Training rate of Study B's network through `mien train`'s code, fp32 and bf16, beside Keras 3 on TensorFlow.

    python benchmarks/study_b_rate.py [--keras PYTHON]

PYTHON is an interpreter with `tensorflow` installed (any environment of its own; it does not mix well with torch).
All sides train on the same random images with batch 64, Adam, two threads, one after the other in this run; the data
is as Study B has it: shift .1 and flip for mien, none for Keras, which so gets the easier work.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from mien.data.dataset import Dataset
from mien.labels import EXPRESSIONS
from mien.recipe_file import load_recipe
from mien.run_folder import RunFolder
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training

FACES = 12_800

KERAS = """
import os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, keras
from keras import layers as L
stack = [keras.Input((48, 48, 1))]
for a, b in ((32, 64), (128, 128), (256, 256)):
    stack += [L.Conv2D(a, 3, activation="relu"), L.BatchNormalization(), L.Conv2D(b, 3, activation="relu"),
              L.BatchNormalization(), L.MaxPooling2D(), L.Dropout(.25)]
stack += [L.Flatten(), L.Dense(256, activation="relu"), L.BatchNormalization(), L.Dropout(.5),
          L.Dense(7, activation="softmax")]
model = keras.Sequential(stack)
model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
count = int(sys.argv[1])
images = np.random.default_rng(0).random((count, 48, 48, 1), dtype=np.float32)
labels = np.arange(count) % 7
model.fit(images[:640], labels[:640], batch_size=64, verbose=0)
began = time.perf_counter()
model.fit(images, labels, batch_size=64, verbose=0)
print(model.count_params(), count / (time.perf_counter() - began))
"""


class Rate(Callback):
    """A watch of the training loop that counts images a second after the first ten steps."""

    def __init__(self) -> None:
        self.images, self._steps, self._began, self._last = 0, 0, 0.0, 0.0

    def on_step_end(self, epoch: int, images: int, loss: float) -> None:
        self._steps += 1
        self._last = time.perf_counter()
        if self._steps == 10:
            self._began = self._last
        elif self._steps > 10:
            self.images += images

    @property
    def per_second(self) -> float:
        return self.images / (self._last - self._began)


def mien_rate(precision: str) -> float:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (FACES + 640, 48, 48), dtype=np.uint8)
    labels = np.arange(len(images), dtype=np.int64) % 7
    split = np.where(np.arange(len(images)) < FACES, "train", "validation")
    faces = Dataset(images, labels, EXPRESSIONS, split, split, np.arange(len(images)))
    recipe = load_recipe("study-b", ["epochs=1", f"precision={precision}"])
    callback = Rate()
    with tempfile.TemporaryDirectory() as folder:
        train(plan_training(recipe, faces), RunFolder(Path(folder) / "run"), callback=callback)
    return callback.per_second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keras", help="a Python interpreter with tensorflow installed")
    wanted = parser.parse_args()
    keras = None
    if wanted.keras:
        done = subprocess.run([wanted.keras, "-c", KERAS, str(FACES)], capture_output=True, text=True, check=True)
        parameters, rate = done.stdout.split()[-2:]
        keras = float(rate)
        print(f"Keras 3 on TensorFlow, fp32  {keras:7.0f} images/s  ({int(parameters):,} numbers)")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for precision in ("fp32", "bf16"):
        rate_here = mien_rate(precision)
        ratio = f"  {rate_here / keras:.2f} x Keras" if keras else ""
        print(f"mien train study-b, {precision}     {rate_here:7.0f} images/s{ratio}")


if __name__ == "__main__":
    main()
