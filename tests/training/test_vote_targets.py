"""What votes teach the outputs of a network: targets of an epoch, and the loss."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from mien.base.errors import DataError
from mien.base.labels import FERPLUS_CLASSES
from mien.base.preprocess import to_input
from mien.base.recipe import check_recipe
from mien.base.run_folder import RunFolder
from mien.training import checkpoint, loop
from mien.training.batches import Batch
from mien.training.heads.votes import majority_targets, sampled_targets
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.state import prepare
from support import raises
from training_support import OUTPUTS, batch, changed


@pytest.fixture
def recipe(tiny_recipe_text):
    return check_recipe(tomllib.loads(tiny_recipe_text + OUTPUTS), "votes")


def test_vote_targets_of_an_epoch():
    """Oracles: by hand for the majority; the mean of many drawn epochs for sampled votes."""
    shares = np.array([[0.5, 0.5, 0.0], [0.2, 0.1, 0.7]])
    assert majority_targets(shares).tolist() == [[0.5, 0.5, 0], [0, 0, 1]]
    drawn = np.stack([sampled_targets(shares, 0, epoch) for epoch in range(4000)])
    assert (drawn.sum(axis=2) == 1).all()
    assert np.abs(drawn.mean(axis=0) - shares).max() < 0.03
    assert (drawn[:, 0, 2] == 0).all()
    assert np.array_equal(sampled_targets(shares, 3, 5), sampled_targets(shares, 3, 5))


@pytest.mark.parametrize(
    ("target", "taught"),
    [("votes", ()), ("votes", ("label",)), ("votes", ("label", "votes")), ("majority", ("label", "votes"))],
)
def test_step_loss_is_the_weighted_sum_of_outputs(recipe, voted_faces, target, taught):
    """Oracle: torch's cross-entropy and KL divergence on each image and its partner, written out."""
    perceived = recipe.outputs["perceived"].model_copy(update={"target": target})
    distill = recipe.distill.model_copy(update={"temperature": 2.0})
    recipe = recipe.model_copy(update={"outputs": {**recipe.outputs, "perceived": perceived}, "distill": distill})
    state = prepare(plan_training(recipe, voted_faces))
    drawn = torch.randn(len(state.labels), 17, generator=torch.Generator().manual_seed(1))
    answers, predicted = drawn[:, :7].softmax(1), drawn[:, 7:].softmax(1)
    if taught:
        state.heads[0].taught, state.heads[1].taught = answers, predicted if "votes" in taught else None
    chosen, partner, share = torch.arange(6), torch.tensor([5, 4, 3, 2, 1, 0]), 0.3
    inputs = torch.randn(6, 1, 44, 44, generator=torch.Generator().manual_seed(0))
    state.heads[1].begin_epoch(1)
    votes = state.heads[1].targets
    state.network.eval()
    label_logits, loss = loop.forward_loss(state, Batch(inputs, chosen, partner, share, 0))
    logits = state.network(inputs).float()
    assert torch.allclose(label_logits, logits[:, :7])
    expected = torch.zeros(())
    for own, other, each in zip(chosen, partner, logits, strict=True):
        hard = share * functional.cross_entropy(each[:7], state.labels[own], label_smoothing=0.1)
        hard = hard + (1 - share) * functional.cross_entropy(each[:7], state.labels[other], label_smoothing=0.1)
        if taught:
            soft = share * answers[own] + (1 - share) * answers[other]
            hard = 0.9 * 4 * (soft * (soft.log() - (each[:7] / 2).log_softmax(0))).sum() + 0.1 * hard
        mixed = share * votes[own] + (1 - share) * votes[other]
        if "votes" in taught:
            mixed = 0.1 * mixed + 0.9 * (share * predicted[own] + (1 - share) * predicted[other])
        expected = expected + 2.0 * hard - 0.5 * (mixed * each[7:].log_softmax(0)).sum()
    assert loss.item() == pytest.approx(expected.item() / 6, rel=1e-4)


@pytest.mark.parametrize("target", ["votes", "sampled", "majority"])
def test_images_without_votes_have_only_label_loss(tmp_path, recipe, voted_faces, target):
    """Oracle: the loss of the same batch by the label's output alone; then a run of such data goes through."""
    asked = np.arange(len(voted_faces)) % 2 == 0
    some = replace(voted_faces, votes=np.where(asked[:, None], voted_faces.votes, 0), vote_classes=FERPLUS_CLASSES)
    recipe = changed(recipe, outputs={"perceived": {"target": target, "weight": 0.5}}, epochs=1)
    state = prepare(plan_training(recipe, some))
    state.heads[1].begin_epoch(1)
    votes, known = state.heads[1].targets, torch.from_numpy(state.plan.balanced_train.votes.any(axis=1))
    assert torch.equal(votes.sum(1) > 0.5, known)
    assert votes[~known].abs().sum() == 0
    chosen = torch.nonzero(~known).ravel()[:6]
    inputs = torch.randn(6, 1, 44, 44, generator=torch.Generator().manual_seed(0))
    state.network.eval()
    logits, loss = loop.forward_loss(state, Batch(inputs, chosen, None, 1.0, 0))
    label = functional.cross_entropy(logits, state.labels[chosen], label_smoothing=0.1)
    assert loss.item() == pytest.approx(2 * label.item(), rel=1e-5)
    train(plan_training(recipe, some), RunFolder(tmp_path / "run"))
    (line,) = RunFolder(tmp_path / "run").read_history()
    network, _ = checkpoint.load_best(RunFolder(tmp_path / "run"))
    validation = some.of_split("validation")
    validation = validation.subset(validation.votes.any(axis=1))
    with torch.inference_mode():
        logits = network(torch.from_numpy(to_input(np.asarray(validation.images), recipe.input)))[:, 7:]
    shares = validation.votes / validation.votes.sum(axis=1, keepdims=True)
    expected = -(shares * logits.double().log_softmax(1).numpy()).sum(axis=1).mean()
    assert line["validation_votes_loss"] == pytest.approx(expected, rel=1e-4)
    never = replace(some, votes=np.where((some.split == "train")[:, None], some.votes, 0), vote_classes=FERPLUS_CLASSES)
    with raises(DataError, "votes-empty", "validation"):
        plan_training(recipe, never)


def test_teachers_replace_missing_votes(recipe, voted_faces):
    """By hand: a face with votes has a tenth of them; of a mix with one without, that part is the teachers' alone."""
    head = prepare(plan_training(recipe, voted_faces)).heads[1]
    head.targets, head.taught = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    both = torch.arange(2)
    assert torch.allclose(head.blended(batch(torch.zeros(2))), torch.tensor([[0.55, 0.45], [0.25, 0.75]]))
    mixed = head.blended(batch(torch.zeros(2), both, both.flip(0), 0.6))
    # Teachers of the mix: [0.4, 0.6] and [0.35, 0.65]; of the first image 0.9 + 0.1 * 0.4 of them, and 0.1 of its 0.6.
    assert torch.allclose(mixed, torch.tensor([[0.94 * 0.4 + 0.06, 0.94 * 0.6], [0.96 * 0.35 + 0.04, 0.96 * 0.65]]))
    assert torch.allclose(mixed.sum(1), torch.ones(2))
