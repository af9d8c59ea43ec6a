"""Processes that tests start and kill, and what they do."""

import multiprocessing
import os
import time
from pathlib import Path

import torch

from mien.base.recipe import load_recipe
from mien.base.run_folder import RunFolder
from mien.data.synthetic import synthetic_faces
from mien.runs.space import load_space
from mien.runs.sweep import search
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training

CHILDREN = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
"""``CHILDREN.Process``: one server imports torch, which takes three seconds, for all that it forks."""
CHILDREN.set_forkserver_preload(["mien.training.loop", "mien.runs.sweep"])


class Tells(Callback):
    """Sends the epoch after each step."""

    def __init__(self, pipe):
        self._pipe = pipe

    def on_step_end(self, epoch, images, loss):
        self._pipe.send(epoch)


def resume(recipe, out, pipe):
    """Train on the faces of ``tests/conftest.py``, from where the run in a folder stopped."""
    torch.set_num_threads(1)
    plan = plan_training(load_recipe(str(recipe)), synthetic_faces(400, seed=1))
    train(plan, RunFolder(out), callback=Tells(pipe), resume=True)


class Waits(Callback):
    """Says that it is there after an epoch, and waits until another is."""

    def __init__(self, mark, other):
        self._mark, self._other = mark, other

    def on_epoch_end(self, line, is_best):
        self._mark.touch()
        while not self._other.exists():
            time.sleep(0.02)


def work(space, out, mark, other, said):
    """Be a worker of a sweep; what it prints goes into files ``said``.out and ``said``.err."""
    for number, suffix in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(Path(f"{said}{suffix}"), os.O_CREAT | os.O_WRONLY), number)
    torch.set_num_threads(1)
    search(load_space(str(space)), synthetic_faces(400, seed=1), out, callback=Waits(mark, other), on_trial_end=print)
