"""The consistency loss: a face and its mirror image are answered alike."""

import numpy as np
import pytest
import torch

from mien.data.dataset import Dataset
from mien.preprocess import to_input
from mien.run_folder import RunFolder
from mien.training import checkpoint, step
from mien.training.distillation import Distillation, stored_targets
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.state import prepare
from training_support import changed


def test_consistency_makes_answers_the_same_for_a_face_and_its_mirror_image(tmp_path, faces, tiny_recipe):
    """Told apart by the brighter side, two classes are each other's mirror image: easy to learn without, never with."""
    is_left = np.arange(len(faces)) % 2
    brighter = np.where(is_left[:, None] == (np.arange(48) < 24), 120, 0).astype(np.uint8)
    images = (faces.images // 2 + brighter[:, None, :]).astype(np.uint8)
    data = Dataset(images, is_left, ("right", "left"), faces.split, faces.source, faces.rows)
    apart = []
    for consistency in (0.0, 1.0):
        run = RunFolder(tmp_path / str(consistency))
        train(
            plan_training(changed(tiny_recipe, epochs=4, consistency_loss=consistency, augment={"flip": False}), data),
            run,
        )
        network, _ = checkpoint.load_best(run)
        inputs = torch.from_numpy(to_input(images, tiny_recipe.input))
        with torch.inference_mode():
            seen, mirrored = (network(each).softmax(1) for each in (inputs, inputs.flip(3)))
        apart.append(float((seen - mirrored).abs().max(1).values.mean()))
    assert apart[0] > 0.5
    assert apart[1] < 0.1


def test_the_loss_with_consistency_is_the_mean_over_both_ways_and_what_they_differ_by(faces, tiny_recipe):
    """Oracle: the formula, from the logits of both ways, with mixed faces and a teacher who differs by face."""
    recipe = changed(tiny_recipe, consistency_loss=2.5, augment={"mixup": 0.4})
    state = prepare(plan_training(recipe, faces))
    answers = torch.rand(len(state.images), len(faces.classes), generator=torch.Generator().manual_seed(0)).softmax(1)
    state.distillation = Distillation(0.9, 3.0, stored_targets([answers]))
    state.model.eval()
    with torch.no_grad():
        state.network.head.weight.mul_(100)  # a fresh network says the same of all
    batch = next(shown for shown in step.recipe_batches(state, 1) if shown.partner is not None)
    labels, targets = state.labels[batch.chosen], state.distillation.targets(batch)[0]
    losses, shares = [], []
    for images in (batch.images, batch.images.flip(3)):
        logits = state.network(images)
        hard = batch.lam * state.loss(logits, labels) + (1 - batch.lam) * state.loss(
            logits, state.labels[batch.partner]
        )
        shares.append((logits / 3).softmax(1))
        soft = (targets * (targets.log() - shares[-1].log())).sum(1).mean()
        losses.append(0.9 * 9 * soft + 0.1 * hard)
    together = (shares[0] + shares[1]) / 2
    apart = [(together * (together.log() - each.log())).sum(1).mean() for each in shares]
    expected = (losses[0] + losses[1]) / 2 + 2.5 * 9 * (apart[0] + apart[1]) / 2
    assert apart[0] > 1e-3
    assert step.forward_loss(state, batch)[1].item() == pytest.approx(expected.item(), rel=1e-4)
