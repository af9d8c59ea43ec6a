"""Targets that follow predictions. Oracle: the update by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mien.base.recipe import Recipe
from mien.training.batches import Batch
from mien.training.heads import MOMENTUM, START, Loss, SelfAdaptive
from mien.training.plan import Parts
from training_support import changed, kept, same, trained

LABELS = torch.tensor([0, 2, 1, 2])
BATCH = Batch(torch.zeros(2, 1, 4, 4), torch.tensor([1, 3]), None, 1.0, 0)
LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])


def by_hand(targets):
    """Mean cross-entropy of LOGITS and their softmax, in float64."""
    shares = LOGITS.double().softmax(1).numpy()
    return -(targets * np.log(shares)).sum(1).mean(), shares


def test_self_adaptive_targets_follow_predictions_of_unmixed_images():
    moving = SelfAdaptive(LABELS, 3, Recipe(label_smoothing=0.1, self_adaptive=0.7), Loss())
    given = np.eye(3)[LABELS] * 0.9 + 0.1 / 3
    assert float(moving.loss(LOGITS, BATCH, START - 0.01)) == pytest.approx(by_hand(given[[1, 3]])[0], rel=1e-6)
    np.testing.assert_allclose(moving.moving, given, rtol=1e-6)
    # Mixed faces teach, and their targets stay.
    mixed = moving.loss(LOGITS, replace(BATCH, partner=torch.tensor([0, 2]), lam=0.75), 0.5)
    assert float(mixed) == pytest.approx(by_hand(0.75 * given[[1, 3]] + 0.25 * given[[0, 2]])[0], rel=1e-6)
    np.testing.assert_allclose(moving.moving, given, rtol=1e-6)
    loss, expected = moving.loss(LOGITS, BATCH, START), given.copy()
    expected[[1, 3]] = MOMENTUM * given[[1, 3]] + (1 - MOMENTUM) * by_hand(given[[1, 3]])[1]
    np.testing.assert_allclose(moving.moving, expected, rtol=1e-6)
    assert float(loss) == pytest.approx(by_hand(0.7 * expected[[1, 3]] + 0.3 * given[[1, 3]])[0], rel=1e-6)


class Fabric:
    """Two processes, of which this one hears what the other would add."""

    world_size, device = 2, torch.device("cpu")

    def __init__(self, others):
        self.others = iter(others)

    def sum(self, value):
        return value + next(self.others)


def test_processes_combine_self_adaptive_targets():
    """Oracle: by hand. A class with few faces shows one again and again; a target stays a distribution."""
    moving = SelfAdaptive(LABELS, 3, Recipe(self_adaptive=0.7), Loss())
    ours, theirs = torch.tensor([-0.9, 0.4, 0.5]), torch.tensor([-0.5, 0.5, 0.0])
    given = moving.given.clone()
    for epoch in range(2):
        moving.moving[0] += ours * (0.5**epoch)
        change = torch.zeros(4, 3)
        change[0], change[1] = theirs * 0.5**epoch, torch.tensor([0.2, 0.0, -0.2]) * 0.5**epoch
        moving.exchange(Fabric([(change != 0).any(1, keepdim=True).float(), change]))
        given[0] += (ours + theirs) / 2 * 0.5**epoch
        given[1] += change[1]
        torch.testing.assert_close(moving.moving, given)


def test_own_loss_replaces_self_adaptive_targets(tmp_path, faces, tiny_recipe):
    own = Parts(loss=torch.nn.functional.cross_entropy)
    recipes = [changed(tiny_recipe, epochs=2, self_adaptive=share) for share in (0.0, 0.7)]
    off, on = (trained(recipe, faces, tmp_path / str(recipe.self_adaptive), own) for recipe in recipes)
    assert same(kept(off), kept(on))
