"""Oracles: counting; the same numbers again from the same seed; the full-size batch, shrunk."""

import numpy as np
import torch

from mien.base.recipe import Recipe
from mien.training.batches import count_steps, epoch_batches


def epoch(faces, number=1, seed=0, mixing=True, side_px=None, augment=None):
    shown = faces.of_split("train")
    recipe = Recipe(batch_size=16, seed=seed, augment=augment or {})
    images, labels = torch.from_numpy(np.array(shown.images)), torch.from_numpy(shown.labels.copy())
    return list(epoch_batches(images, labels, recipe, epoch=number, mixing=mixing, side_px=side_px))


MIXED = {"flip": True, "rotation_degrees": 10, "translate": 0.1, "random_erasing": 0.5, "mixup": 0.4}


def test_epoch_shows_each_image_once_without_a_smaller_last_batch(faces):
    count = len(faces.of_split("train"))
    batches = epoch(faces)
    shown = torch.cat([each.chosen for each in batches])
    assert len(batches) == count_steps(count, 16) == count // 16
    assert len(shown) == len(shown.unique()) == count // 16 * 16
    assert [each.index for each in batches] == list(range(len(batches)))


def test_epoch_depends_on_seed_and_number_only(faces):
    first, again, other, later = (
        epoch(faces, number, seed, augment=MIXED) for number, seed in ((1, 0), (1, 0), (1, 1), (2, 0))
    )
    assert all(torch.equal(one.images, two.images) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0].images, other[0].images)
    assert not torch.equal(first[0].images, later[0].images)


def test_batches_are_not_mixed_when_off(faces):
    assert all(each.partner is not None for each in epoch(faces, augment=MIXED))
    assert all(each.partner is None and each.lam == 1 for each in epoch(faces, mixing=False, augment=MIXED))


def test_smaller_side_keeps_choice_and_mixing(faces):
    """Soft labels were predicted from the large image, and are used for the small one too."""
    large, small = epoch(faces, augment=MIXED), epoch(faces, augment=MIXED, side_px=lambda index: 24)
    for one, two in zip(large, small, strict=True):
        assert torch.equal(one.chosen, two.chosen)
        assert torch.equal(one.partner, two.partner)
        assert one.lam == two.lam
        assert two.images.shape[2:] == (24, 24)
        shrunk = torch.nn.functional.interpolate(one.images, size=24, mode="area")
        assert torch.nn.functional.cosine_similarity(shrunk.flatten(1), two.images.flatten(1)).min() > 0.9
