"""Blur, noise and low resolution in training, and batches of which some are mixed."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from mien.base.recipe import AugmentRecipe, Recipe
from mien.training.augment import augment, blur_matrices, corrupt, resolution_matrices
from mien.training.batches import epoch_batches


def images_of(count, side=48, seed=0):
    return torch.randint(0, 256, (count, 1, side, side), generator=torch.Generator().manual_seed(seed)).float()


def corrupted(images, seed=0, **keys):
    return corrupt(images, AugmentRecipe(**keys), torch.Generator().manual_seed(seed))


def test_blur_is_scipys_gaussian():
    """Away from the border, where both see the same pixels."""
    image = images_of(1)[0, 0]
    (matrix,) = blur_matrices(torch.tensor([1.3]), 48)
    ours = (matrix @ image @ matrix.T).numpy()
    theirs = gaussian_filter(image.numpy(), 1.3, truncate=12)
    assert np.abs(ours - theirs)[10:-10, 10:-10].max() < 0.05


def test_low_resolution_is_pillows_box_and_bilinear():
    image = images_of(1)[0, 0].numpy()
    matrices = resolution_matrices(48)
    assert len(matrices) == 36, "12 to 47 pixels"
    small = Image.fromarray(image).resize((24, 24), Image.Resampling.BOX)
    theirs = np.asarray(small.resize((48, 48), Image.Resampling.BILINEAR))
    matrix = matrices[24 - 12].numpy()
    assert np.abs(matrix @ image @ matrix.T - theirs).max() < 0.05


@pytest.mark.parametrize("key", ["blur", "noise", "low_resolution"])
def test_the_fraction_of_images_is_changed(key):
    images = images_of(1000)
    changed = (corrupted(images, **{key: 0.3}) != images).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.05)
    assert (corrupted(images, **{key: 1.0}) != images).flatten(1).any(1).float().mean() > 0.99


def test_a_grey_image_stays_grey_and_pixels_in_range():
    grey = torch.full((50, 1, 44, 44), 90.0)
    assert torch.allclose(corrupted(grey, blur=1.0, low_resolution=1.0), grey, atol=1e-3)
    noisy = corrupted(images_of(50), noise=1.0)
    assert noisy.min() >= 0
    assert noisy.max() <= 255


def test_everything_follows_from_the_generator_and_nothing_is_drawn_when_off(tiny_recipe):
    images = images_of(20)
    keys = {"blur": 0.5, "noise": 0.5, "low_resolution": 0.5}
    assert torch.equal(corrupted(images, **keys), corrupted(images, **keys))
    assert not torch.equal(corrupted(images, **keys), corrupted(images, seed=1, **keys))
    first, second = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    pixels = images[:, 0].to(torch.uint8)
    plain = AugmentRecipe(translate=0.1)
    augment(pixels, plain, tiny_recipe.input, first)
    augment(pixels, plain.model_copy(update={"blur": 0.0}), tiny_recipe.input, second)
    assert torch.equal(first.get_state(), second.get_state())


def test_a_share_of_batches_is_mixed():
    images, labels = torch.zeros(4000, 48, 48, dtype=torch.uint8), torch.zeros(4000, dtype=torch.int64)
    tables = {"mixup": 1.0, "mixup_probability": 0.5}

    def mixed(epoch, **keys):
        recipe = Recipe(batch_size=8, augment=AugmentRecipe(**{**tables, **keys}))
        batches = epoch_batches(images, labels, recipe, seed=0, epoch=epoch, mixing=True)
        return [batch.partner is not None for batch in batches]

    assert np.mean(mixed(1)) == pytest.approx(0.5, abs=0.1)
    assert mixed(1) == mixed(1)
    assert mixed(1) != mixed(2)
    assert all(mixed(1, mixup_probability=1.0))
    assert not any(mixed(1, mixup_probability=0.0))
