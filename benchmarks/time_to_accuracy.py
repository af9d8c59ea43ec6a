"""Seconds of training to an accuracy on PublicTest, through `mien train`'s own code.

    python benchmarks/time_to_accuracy.py [RECIPE ...] --data fer2013_dev.parquet [--seeds N ...]
    python benchmarks/time_to_accuracy.py --rates 6400 --data fer2013_dev.parquet

For each recipe: the curve (seconds from the first step, validation accuracy, one view), the seconds to 64.3 %, and the
training rate beside that of the loop of `examples/plain_pytorch.py` with the recipe's network. Augmentation, batch and
optimiser of that loop are those of `short-votes`: only that recipe is a fair comparison. `--rates N` compares the rates
of `short-votes` alone, in turns on N images. Seconds hold training, augmentation and validation, not checkpoints
(hundredths of a second each) and not the decoding of images.
"""

from __future__ import annotations

import argparse
import shutil
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
from mien.pipeline.training_run import run_recipe
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training

STUDY_A = 0.643


class Stopwatch(Callback):
    """A watch of the training loop: when each step and epoch ended."""

    def __init__(self) -> None:
        self.step_seconds = 0.0
        self.images = 0
        self._last: float | None = None

    def on_step_end(self, epoch: int, images: int, loss: float) -> None:
        now = time.perf_counter()
        # The first step of an epoch would count the validation before it.
        if self._last is not None:
            self.step_seconds += now - self._last
            self.images += images
        self._last = now

    def on_epoch_end(self, metrics: dict[str, float], is_best: bool) -> None:
        self._last = None
        mark = "  best" if is_best else ""
        print(
            f"  epoch {metrics['epoch']:3.0f}  {metrics['seconds']:7.1f} s  {metrics['validation_accuracy']:.2%}{mark}",
            flush=True,
        )


def measure(recipe: Recipe, faces: Dataset, out: Path | None) -> None:
    """Train once and print the curve; the run folder is kept under ``out`` where that is given."""
    folder = out or Path(tempfile.mkdtemp())
    plain = plain_rate(recipe, faces)
    callback = Stopwatch()
    print(f"{recipe.name}, seed {recipe.seed}")
    result = run_recipe(
        plan_training(recipe, faces), RunFolder(folder / f"{recipe.name}-{recipe.seed}"), callback=callback
    )
    rate = callback.images / callback.step_seconds
    history = result.history
    reached = next((line["seconds"] for line in history if line["validation_accuracy"] >= STUDY_A), None)
    print(f"  {STUDY_A:.1%} after {reached:.0f} s" if reached else f"  {STUDY_A:.1%} not reached")
    accuracy = result.evaluation.accuracy
    print(
        f"  whole run {history[-1]['seconds']:.1f} s; exported model on PublicTest "
        f"{accuracy.value:.2%} [{accuracy.low:.2%}, {accuracy.high:.2%}]"
    )
    print(f"  {rate:,.0f} images/s; the loop of plain PyTorch {plain:,.0f}; ratio {rate / plain:.2f}", flush=True)
    if out is None:
        shutil.rmtree(folder)


class TwoHeads(torch.nn.Module):
    """A network of mien whose logits are those of labels and of votes, as the example has them."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        classes = len(plain_pytorch.CLASSES) + len(plain_pytorch.FERPLUS)
        self.network = build_model(recipe.model, classes, *recipe.input.seen_as)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        labels, votes = self.network(images).split([len(plain_pytorch.CLASSES), len(plain_pytorch.FERPLUS)], dim=1)
        return labels, votes


def plain_rate(recipe: Recipe, faces: Dataset) -> float:
    """Images a second of the loop of plain PyTorch in one epoch; its votes agree with the labels."""
    chosen = np.flatnonzero(faces.split == "train")
    images = torch.from_numpy(np.asarray(faces.images[chosen]))[:, None]
    labels = torch.from_numpy(faces.labels[chosen])
    votes = torch.nn.functional.one_hot(labels, len(plain_pytorch.FERPLUS)).float()
    split = plain_pytorch.Split(images, labels, votes)
    return plain_pytorch.train(TwoHeads(recipe), split, epochs=1, batch=recipe.batch_size, lr=recipe.optim.lr)


def compare_rates(faces: Dataset, count: int, turns: int = 3) -> None:
    """Print the rates of one epoch of both loops on so many images of train, in turns."""
    chosen = np.flatnonzero(faces.split == "train")[:count]
    some = faces.subset(np.concatenate([chosen, np.flatnonzero(faces.split == "validation")[:64]]))
    recipe = load_recipe("short-votes", ["epochs=1", "precision=fp32"])
    for _ in range(turns):
        plain, callback = plain_rate(recipe, some), Stopwatch()
        with tempfile.TemporaryDirectory() as folder:
            train(plan_training(recipe, some), RunFolder(Path(folder) / "run"), callback=callback)
        rate = callback.images / callback.step_seconds
        print(f"{rate:,.0f} images/s; the loop of plain PyTorch {plain:,.0f}; ratio {rate / plain:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=["short", "quick"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, help="keep the run folders here")
    parser.add_argument("--rates", type=int, metavar="N", help="only compare rates, on N images")
    wanted = parser.parse_args()
    faces = load_dataset(wanted.data)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {len(faces):,} faces")
    if wanted.rates:
        compare_rates(faces, wanted.rates)
        return
    for name in wanted.recipes:
        for seed in wanted.seeds:
            measure(load_recipe(name, [f"seed={seed}"]), faces, wanted.out)


if __name__ == "__main__":
    main()
