"""What tests of training import: recipes with changes, a callback that acts, runs compared bit for bit."""

import numpy as np
import pytest
import torch

from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.training import checkpoint
from mien.training.batches import Batch
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training

OUTPUTS = """
[outputs.perceived]
target = "votes"
weight = 0.5

[outputs.fer2013]
target = "label"
weight = 2.0
"""
"""For the end of a recipe: an output of votes beside that of the label, with weights that differ."""


class Recorder(Callback):
    """Records steps and epochs. It can call a function at one step."""

    def __init__(self, at_step=None, act=None):
        self.steps, self.epochs, self._at, self._act = 0, [], at_step, act

    def on_step_end(self, epoch, images, loss):
        self.steps += 1
        if self.steps == self._at:
            self._act()

    def on_epoch_end(self, line, is_best):
        self.epochs.append((line, is_best))


def trained(recipe, faces, folder, parts=None, **options):
    """Train in a folder, and return the run."""
    run = RunFolder(folder)
    train(plan_training(recipe, faces, parts), run, **options)
    return run


def bright_and_dark(faces):
    """Faces of two classes that anything which learns at all tells apart, by their brightness."""
    bright = np.arange(len(faces)) % 2
    images = (faces.images // 2 + (bright * 120).astype(np.uint8)[:, None, None]).astype(np.uint8)
    return Dataset(images, bright, ("dark", "bright"), faces.split, faces.source, faces.rows)


def kept(run):
    """The tensors that a run kept."""
    return checkpoint.load(run.best)[0]


def same(first, second):
    """Say whether tensors of the same names are equal to the bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def break_off(plan, run, step, **options):
    """Train until a step, at which the process dies."""

    def die():
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        train(plan, run, callback=Recorder(step, die), **options)


def same_weights(first, second):
    """Bit for bit: the kept weights and all that --resume would go on from."""
    for name in ("best", "last"):
        ours, our_facts = checkpoint.load(getattr(first, name))
        theirs, their_facts = checkpoint.load(getattr(second, name))
        assert same(ours, theirs)
        for line in our_facts.get("history", []) + their_facts.get("history", []):
            del line["seconds"]
        assert our_facts == their_facts
    return True


def changed(recipe, **tables):
    content = recipe.model_dump()
    for name, value in tables.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    return type(recipe).model_validate(content)


def batch(images, chosen=None, partner=None, share=1.0):
    return Batch(images, torch.arange(len(images)) if chosen is None else chosen, partner, share, index=0)
