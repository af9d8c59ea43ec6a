"""Training rate of mien beside that of plain PyTorch: `python benchmarks/training_rate.py --data fer2013_dev.parquet`.

An epoch of `mien train`'s own loop and one of the loop of `examples/plain_pytorch.py`, in three turns, both with the
network, augmentation, batch and optimiser of `short-votes` and on as many images (--limit). Validation, checkpoints and
the decoding of images are not in it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import plain_pytorch

from mien.base.recipe import Recipe, load_recipe
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.read import load_dataset
from mien.models.registry import build_model
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training

TURNS = 3


class Stopwatch(Callback):
    """Images and seconds of the steps of an epoch, without the first, which includes the start-up."""

    def __init__(self) -> None:
        self.images = 0
        self.seconds = 0.0
        self._last: float | None = None

    def on_step_end(self, epoch: int, images: int, loss: float) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self.seconds += now - self._last
            self.images += images
        self._last = now


class TwoHeads(torch.nn.Module):
    """A network of mien whose logits are those of labels and of votes, as the example has them."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.sizes = [len(plain_pytorch.CLASSES), len(plain_pytorch.FERPLUS)]
        self.network = build_model(recipe.model, sum(self.sizes), *recipe.input.seen_as)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        labels, votes = self.network(images).split(self.sizes, dim=1)
        return labels, votes


def rate_of_mien(recipe: Recipe, faces: Dataset) -> float:
    callback = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        train(plan_training(recipe, faces), RunFolder(Path(folder) / "run"), callback=callback)
    return callback.images / callback.seconds


def rate_of_plain(recipe: Recipe, faces: Dataset) -> float:
    """Its votes agree with the labels."""
    faces = faces.of_split("train")
    images, labels = torch.from_numpy(np.asarray(faces.images))[:, None], torch.from_numpy(faces.labels)
    votes = torch.nn.functional.one_hot(labels, len(plain_pytorch.FERPLUS)).float()
    split = plain_pytorch.Split(images, labels, votes)
    return plain_pytorch.train(TwoHeads(recipe), split, epochs=1, batch=recipe.batch_size, lr=recipe.optim.lr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=3200)
    given = parser.parse_args()
    faces = load_dataset(given.data)
    train_rows, validation_rows = (np.flatnonzero(faces.split == name) for name in ("train", "validation"))
    faces = faces.subset(np.concatenate([train_rows[: given.limit], validation_rows[:64]]))
    recipe = load_recipe("short-votes", ["epochs=1", "precision=fp32"])
    for _ in range(TURNS):
        plain, own = rate_of_plain(recipe, faces), rate_of_mien(recipe, faces)
        print(f"{own:,.0f} images/s; the loop of plain PyTorch {plain:,.0f}; ratio {own / plain:.2f}", flush=True)


if __name__ == "__main__":
    main()
