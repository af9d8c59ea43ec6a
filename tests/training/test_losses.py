"""Losses, weights of classes, and targets that move. Oracles: torch; the papers' formulas written again, by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from mien.base.errors import RecipeError
from mien.base.recipe import Recipe
from mien.training.batches import Batch
from mien.training.heads import MOMENTUM, START, Loss, SelfAdaptive, balanced_weights, effective_weights, make_loss
from mien.training.plan import Parts
from support import raises
from training_support import changed, kept, same, trained

COUNTS = np.array([3995, 436, 4097, 7215, 4830, 3171, 4965])
"""FER2013's Training."""


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(64, 7, generator=generator), torch.randint(7, (64,), generator=generator)


def by_hand(logits, labels, *, weights=None, smoothing=0.0, gamma=0.0):
    """Row by row, class by class, in float64."""
    weights = np.ones(logits.shape[1]) if weights is None else weights
    total = mass = 0.0
    for row, label in zip(logits.double().numpy(), labels.tolist(), strict=True):
        shares = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        for index, share in enumerate(shares):
            target = (1 - smoothing) * (index == label) + smoothing / len(shares)
            total += weights[index] * target * (1 - share) ** gamma * -np.log(share)
        mass += weights[label]
    return total / mass


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_is_the_formula_with_weights_and_smoothing(batch, smoothing, weighted, gamma):
    weights = balanced_weights(COUNTS) if weighted else None
    loss = Loss(None if weights is None else torch.tensor(weights, dtype=torch.float32), smoothing, gamma)
    expected = by_hand(*batch, weights=weights, smoothing=smoothing, gamma=gamma)
    assert loss(*batch).item() == pytest.approx(expected, rel=1e-5)
    assert Loss(torch.zeros(7), smoothing, gamma)(*batch) == 0  # as of a batch whose classes weigh nothing


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_of_one_hot_distributions_equals_loss_of_labels(batch, weighted, gamma):
    weights = torch.tensor(balanced_weights(COUNTS), dtype=torch.float32) if weighted else None
    loss = Loss(weights, 0.0, gamma, torch.linspace(-1, 1, 7))
    torch.testing.assert_close(loss.of_distributions(batch[0], functional.one_hot(batch[1], 7).float()), loss(*batch))
    # A face that may be either counts as half a face of each.
    logits, halves = batch[0][:1], torch.tensor([[0.5, 0, 0.5, 0, 0, 0, 0]])
    torch.testing.assert_close(loss.of_distributions(logits, halves), loss(logits.repeat(2, 1), torch.tensor([0, 2])))


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 0.9999])
def test_effective_weights_are_the_sum_of_a_series(beta):
    """Cui et al. 2019, proposition 1: the effective number of n is the sum of beta^i for i below n."""
    counts = np.array([1, 2, 50, 436])
    series = np.array([sum(beta**power for power in range(count)) for count in counts])
    assert effective_weights(counts, beta) == pytest.approx(4 / series / (1 / series).sum())


def test_make_loss_follows_the_recipe(faces, batch):
    counts = faces.counts()
    assert make_loss(Recipe(label_smoothing=0.1), counts, faces.classes) == Loss(None, 0.1)
    balanced = make_loss(Recipe(class_weights="balanced"), counts, faces.classes)
    assert balanced.class_weights.numpy() == pytest.approx(balanced_weights(counts))
    effective = make_loss(Recipe(class_weights="effective", balance={"effective_beta": 0.9}), counts, faces.classes)
    assert effective.class_weights.numpy() == pytest.approx(effective_weights(counts, 0.9))
    assert make_loss(Recipe(balance={"focal_gamma": 2.0}), counts, faces.classes).focal_gamma == 2
    # Oracle: torch's cross-entropy. A class that the table leaves out weighs 1.
    names, recipe = tuple("abcdefg"), Recipe.model_validate({"class_weights": {"b": 5.0}})
    logits, labels = torch.randn(20, 7), torch.arange(20) % 7
    expected = functional.cross_entropy(logits, labels, torch.tensor([1.0, 5, 1, 1, 1, 1, 1]))
    assert torch.allclose(make_loss(recipe, COUNTS, names)(logits, labels), expected)
    with raises(RecipeError, "class-unknown", "'x'"):
        make_loss(Recipe.model_validate({"class_weights": {"x": 5.0}}), COUNTS, names)
    assert recipe.digest != Recipe().digest
    # Oracle: Study B's formula, by hand; over the faces they average to 1.
    weights = balanced_weights(COUNTS)
    assert (weights, (weights * COUNTS).sum() / COUNTS.sum()) == (pytest.approx(28709 / (7 * COUNTS)), pytest.approx(1))
    assert balanced_weights(np.array([3, 0, 1])) == pytest.approx([4 / 9, 0, 4 / 3])
    near, balanced = effective_weights(COUNTS, 1 - 1e-9), balanced_weights(COUNTS)
    assert near == pytest.approx(balanced * 7 / balanced.sum(), rel=1e-4)
    assert 1 < effective_weights(COUNTS, 0.999)[1] < near[1]
    assert effective_weights(np.array([3, 0, 1]), 0.999)[1] == 0
    # -log of pi_y^tau e^f_y / sum of pi_k^tau e^f_k, with the shares to a power and no logarithm of them.
    recipe, shares = Recipe(balance={"logit_adjustment": 1.5}), COUNTS / COUNTS.sum()
    loss, raised = make_loss(recipe, COUNTS, tuple("abcdefg")), shares**1.5 * np.exp(batch[0].double().numpy())
    expected = -np.log(raised[np.arange(64), batch[1]] / raised.sum(1)).mean()
    assert loss(*batch).item() == pytest.approx(expected, rel=1e-5)
    logits = torch.tensor([[60.0, -60.0, 0.0]], requires_grad=True)
    for label in (0, 1):
        Loss(focal_gamma=0.5)(logits, torch.tensor([label])).backward()
        assert torch.isfinite(logits.grad).all()


LABELS = torch.tensor([0, 2, 1, 2])
BATCH = Batch(torch.zeros(2, 1, 4, 4), torch.tensor([1, 3]), None, 1.0, 0)
LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])


def loss_by_hand(targets):
    """Mean cross-entropy of LOGITS and their softmax, in float64."""
    shares = LOGITS.double().softmax(1).numpy()
    return -(targets * np.log(shares)).sum(1).mean(), shares


def test_self_adaptive_targets_follow_predictions_of_unmixed_images():
    moving = SelfAdaptive(LABELS, 3, Recipe(label_smoothing=0.1, self_adaptive=0.7), Loss())
    given = np.eye(3)[LABELS] * 0.9 + 0.1 / 3
    assert float(moving.loss(LOGITS, BATCH, START - 0.01)) == pytest.approx(loss_by_hand(given[[1, 3]])[0], rel=1e-6)
    np.testing.assert_allclose(moving.moving, given, rtol=1e-6)
    # Mixed faces teach, and their targets stay.
    mixed = moving.loss(LOGITS, replace(BATCH, partner=torch.tensor([0, 2]), lam=0.75), 0.5)
    assert float(mixed) == pytest.approx(loss_by_hand(0.75 * given[[1, 3]] + 0.25 * given[[0, 2]])[0], rel=1e-6)
    np.testing.assert_allclose(moving.moving, given, rtol=1e-6)
    loss, expected = moving.loss(LOGITS, BATCH, START), given.copy()
    expected[[1, 3]] = MOMENTUM * given[[1, 3]] + (1 - MOMENTUM) * loss_by_hand(given[[1, 3]])[1]
    np.testing.assert_allclose(moving.moving, expected, rtol=1e-6)
    assert float(loss) == pytest.approx(loss_by_hand(0.7 * expected[[1, 3]] + 0.3 * given[[1, 3]])[0], rel=1e-6)


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
