"""Balanced faces, their order, augmentation and batches. Oracles: members by hand; torch, Pillow, SciPy; formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from scipy.ndimage import gaussian_filter

from mien.base.preprocess import InputSpec, to_input
from mien.base.recipe import Recipe, load_recipe
from mien.base.recipe_tables import AugmentRecipe, BalanceRecipe
from mien.data.dataset import Dataset
from mien.training.batches import (
    alternate,
    as_shown,
    augment,
    balanced_indices,
    balanced_order,
    blur_matrices,
    corrupt,
    count_steps,
    epoch_batches,
    mix,
    resolution_matrices,
)
from mien.training.plan import plan_training
from training_support import changed

COUNTS = [10, 2, 9, 20]


@pytest.fixture
def few():
    labels = np.random.default_rng(3).permutation(np.repeat(np.arange(4), COUNTS))
    count = len(labels)
    images = np.random.default_rng(4).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    ids, split = np.arange(100, 100 + count), np.full(count, "train")
    return Dataset.from_arrays(images, labels, tuple("abcd"), split, size_px=8, sample_ids=ids)


def balanced(faces, sampling="none", seed=0, **settings):
    recipe = BalanceRecipe(sampling=sampling, **settings)
    return faces.subset(balanced_indices(faces.labels, len(faces.classes), recipe, seed))


def test_plan_balances_where_the_number_of_faces_stays():
    """By hand: at most 8 faces of a class, then half of the largest again, are as many as there were."""
    labels, split = [0] * 10 + [1] * 2 + [0, 1], ["train"] * 12 + ["validation"] * 2
    faces = Dataset.from_arrays(
        np.random.default_rng(0).integers(0, 256, (14, 48, 48), np.uint8), labels, ("a", "b"), split
    )
    balance = {"faces_per_class": 8, "sampling": "oversample", "share": 0.5}
    plan = plan_training(changed(load_recipe("quick"), balance=balance), faces)
    assert plan.balanced_train.counts().tolist() == [8, 4]


@pytest.mark.parametrize("sampling", ["none", "batches"])
def test_balance_without_options_keeps_faces(few, sampling):
    assert (balanced(few, sampling).rows == few.rows).all()


def test_faces_per_class_limits_oversampling(few):
    """Oracle: the smaller of the class's size and the limit, counted."""
    for limit in (3, 5):
        kept = balanced(few, seed=1, faces_per_class=limit)
        assert kept.counts().tolist() == np.minimum(few.counts(), limit).tolist()
    fewer = balanced(few, seed=1, faces_per_class=3)
    assert set(fewer.rows) < set(kept.rows), "more faces are the same faces and others"
    assert set(balanced(few, seed=2, faces_per_class=3).rows) != set(fewer.rows)
    filled = balanced(few, "oversample", 1, faces_per_class=5)
    assert (filled.counts().tolist(), set(filled.rows)) == ([5] * 4, set(kept.rows))
    kept = balanced(few, "undersample")
    assert (kept.counts().tolist(), len(set(kept.rows))) == ([2, 2, 2, 2], 8)
    assert (np.diff(kept.rows) > 0).all(), "the order stays"
    filled = balanced(few, "oversample")
    for label in range(4):
        _, often = np.unique(filled.rows[filled.labels == label], return_counts=True)
        assert len(often) == COUNTS[label]
        assert often.max() - often.min() <= 1


@pytest.mark.parametrize(("share", "expected"), [(1.0, [20, 20, 20, 20]), (0.5, [10, 10, 10, 20])])
def test_oversample_keeps_faces_and_reaches_the_share(few, share, expected):
    filled = balanced(few, "oversample", share=share)
    assert filled.counts().tolist() == expected
    assert (filled.rows[: len(few)] == few.rows).all()


@pytest.mark.parametrize("sampling", ["undersample", "oversample"])
def test_balance_repeats_for_equal_seeds(few, sampling):
    first, again, other = (balanced(few, sampling, seed).rows.tolist() for seed in (1, 1, 2))
    assert first == again != other


@given(st.lists(st.integers(1, 40), min_size=2, max_size=7), st.integers(2, 40))
def test_balanced_order_fills_batches_with_equal_shares(counts, batch_size):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    order = balanced_order(labels, batch_size, (0, 1))
    assert len(order) == max(len(labels) // batch_size, 1) * batch_size
    for first in range(0, len(order), batch_size):
        held = np.bincount(labels[order[first : first + batch_size]], minlength=len(counts))
        assert held.max() - held.min() <= 1
    seen = np.bincount(order, minlength=len(labels))
    for label in range(len(counts)):
        often = seen[labels == label]
        assert often.max() - often.min() <= 1


def epoch(faces, number=1, seed=0, side_px=None, augment=None):
    shown, recipe = faces.of_split("train"), Recipe(batch_size=16, seed=seed, augment=augment or {})
    images, labels = torch.from_numpy(np.array(shown.images)), torch.from_numpy(shown.labels.copy())
    return list(epoch_batches(images, labels, recipe, epoch=number, mixing=True, side_px=side_px))


MIXED = {"flip": True, "rotation_degrees": 10, "translate": 0.1, "random_erasing": 0.5, "mixup": 0.4}


def test_epoch_shows_each_image_once_without_a_smaller_last_batch(faces):
    count, batches = len(faces.of_split("train")), epoch(faces)
    shown = torch.cat([each.chosen for each in batches])
    assert len(batches) == count_steps(count, 16) == count // 16
    assert len(shown) == len(shown.unique()) == count // 16 * 16
    assert [each.index for each in batches] == list(range(len(batches)))
    given = ((1, 0), (1, 0), (1, 1), (2, 0))
    first, again, other, later = (epoch(faces, number, seed, augment=MIXED) for number, seed in given)
    assert all(torch.equal(one.images, two.images) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0].images, other[0].images)
    assert not torch.equal(first[0].images, later[0].images)
    labels = np.repeat(np.arange(3), [5, 9, 30])
    first, same, *others = (balanced_order(labels, 6, seed).tolist() for seed in ((0, 1), (0, 1), (0, 2), (1, 1)))
    assert first == same
    assert first not in others


def test_smaller_side_keeps_choice_and_mixing(faces):
    """Soft labels were predicted from the large image, and are used for the small one too."""
    large, small = epoch(faces, augment=MIXED), epoch(faces, augment=MIXED, side_px=lambda index: 24)
    for one, two in zip(large, small, strict=True):
        assert torch.equal(one.chosen, two.chosen)
        assert torch.equal(one.partner, two.partner)
        assert (one.lam, two.images.shape[2:]) == (two.lam, (24, 24))
        shrunk = torch.nn.functional.interpolate(one.images, size=24, mode="area")
        assert torch.nn.functional.cosine_similarity(shrunk.flatten(1), two.images.flatten(1)).min() > 0.9


SPEC = InputSpec(size_px=48, crop_px=44, mean=0.5, std=0.25)
WHOLE = InputSpec(size_px=48, crop_px=48, mean=0.0, std=1.0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    """Smooth images: interpolation changes them little."""
    down, across = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    waves = [128 + 80 * torch.sin(down / (7.0 + k)) * torch.cos(across / (9.0 + k)) for k in range(8)]
    return torch.stack(waves).to(torch.uint8)


def test_augment_shrinks_the_same_crop(images):
    """Oracle: torch's own anti-aliased resize of the crop; these waves are smooth, so resampling agrees with it."""
    crop = torch.from_numpy(to_input(images.numpy(), SPEC))
    small = torch.nn.functional.interpolate(crop, size=28, mode="bilinear", antialias=True)
    for recipe in (AugmentRecipe(), AugmentRecipe(translate=1e-9)):
        batch = augment(images, recipe, SPEC, seeded(), side_px=28)
        assert (batch.shape, batch.numpy()) == ((8, 1, 28, 28), pytest.approx(small.numpy(), abs=0.1))
    # Oracle: mien.base.preprocess.to_input, the path of serving.
    batch = augment(images, AugmentRecipe(), SPEC, seeded())
    assert batch.numpy() == pytest.approx(to_input(images.numpy(), SPEC), abs=1e-6)


def test_augment_mirrors_only_chosen_images(images):
    """Oracle: torch's flip of the same draws without mirroring: turned, scaled, moved, and then mirrored."""
    mirrored = torch.tensor([True, False] * 4)
    for recipe in (AugmentRecipe(), AugmentRecipe(rotation_degrees=20, scale=0.1, shear=0.2, translate=0.1)):
        plain = augment(images, recipe, WHOLE, seeded())
        batch = augment(images, recipe, WHOLE, seeded(), mirrored=mirrored)
        assert torch.allclose(batch[mirrored], plain[mirrored].flip(3), atol=1e-2)
        assert torch.allclose(batch[~mirrored], plain[~mirrored], atol=1e-2)
        assert not torch.allclose(batch[mirrored], plain[mirrored], atol=0.1)


def test_alternate_mirrors_each_image_every_second_epoch():
    epochs = [alternate(1000, epoch, 7, torch.device("cpu")) for epoch in range(1, 5)]
    assert 400 < int(epochs[0].sum()) < 600
    assert torch.equal(epochs[0], ~epochs[1])
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], alternate(1000, 1, 8, torch.device("cpu")))


def test_as_shown_equals_network_input(images):
    """Oracle: augment itself, its normalisation undone by hand."""
    arrays = images.numpy()
    plain = as_shown(arrays, Recipe(input=SPEC))
    assert plain.dtype == np.uint8
    assert np.array_equal(plain, arrays[:, 2:46, 2:46])
    changes = AugmentRecipe(flip=True, translate=0.1, brightness=0.2)
    batch = augment(images, changes, SPEC, seeded(3), mirrored=alternate(8, 1, 3, torch.device("cpu")))
    expected = 255 * (batch[:, 0].numpy() * 0.25 + 0.5)
    shown = as_shown(arrays, Recipe(input=SPEC, augment=changes), seed=3)
    assert shown == pytest.approx(expected, abs=0.51)
    assert np.array_equal(shown, as_shown(arrays, Recipe(input=SPEC, augment=changes), seed=3))
    assert not np.array_equal(shown, as_shown(arrays, Recipe(input=SPEC, augment=changes), seed=4))


def test_translate_stays_within_its_bound():
    """Oracle: where a bright dot went. 10 % of 48 px is 4.8 px."""
    dot = torch.zeros(300, 48, 48, dtype=torch.uint8)
    dot[:, 24, 24] = 255
    moved = augment(dot, AugmentRecipe(translate=0.1), WHOLE, seeded())[:, 0]
    weight, positions = moved / moved.sum(dim=(1, 2), keepdim=True), torch.arange(48.0)
    rows, columns = (weight.sum(2) * positions).sum(1) - 24, (weight.sum(1) * positions).sum(1) - 24
    for way in (rows, columns):
        assert way.abs().max() <= 4.8 + 0.01
        assert way.min() < -4 < 4 < way.max()
    white = torch.full((20, 48, 48), 255, dtype=torch.uint8)
    assert augment(white, AugmentRecipe(translate=0.3, rotation_degrees=30), WHOLE, seeded()).min() == pytest.approx(1)


def test_rotation_scale_and_shear_stay_within_their_bounds():
    """Oracle: the angle of a bright line from the centre."""
    line = torch.zeros(300, 48, 48, dtype=torch.uint8)
    line[:, 23:25, 24:44] = 255
    turned = augment(line, AugmentRecipe(rotation_degrees=20), WHOLE, seeded())[:, 0].double()
    down, across = torch.meshgrid(torch.arange(48.0) - 23.5, torch.arange(48.0) - 23.5, indexing="ij")
    angle = torch.rad2deg(torch.atan2((turned * down).sum((1, 2)), (turned * across).sum((1, 2))))
    assert angle.abs().max() < 20.5
    assert angle.min() < -17 < 17 < angle.max()
    # Oracle: the area of a bright disc grows with the square of the zoom.
    down, across = torch.meshgrid(torch.arange(48) - 23.5, torch.arange(48) - 23.5, indexing="ij")
    disc = ((down**2 + across**2) < 100).to(torch.uint8).mul(255).repeat(300, 1, 1)
    zoom = (augment(disc, AugmentRecipe(scale=0.2), WHOLE, seeded())[:, 0].sum((1, 2)) / (disc[0].sum() / 255)).sqrt()
    assert 0.79 < zoom.min() < 0.84
    assert 1.16 < zoom.max() < 1.21
    # Oracle: how far a bright dot above the centre goes sideways: at most the fraction of its height, 20 px.
    dot = torch.zeros(300, 48, 48, dtype=torch.uint8)
    dot[:, 3:5, 23:25] = 255
    slanted = augment(dot, AugmentRecipe(shear=0.2), WHOLE, seeded())[:, 0].double()
    weight = slanted / slanted.sum(dim=(1, 2), keepdim=True)
    rows, columns = (weight.sum(way) @ torch.arange(48.0).double() - 23.5 for way in (2, 1))
    assert (rows, columns.min()) == (pytest.approx(-20 * torch.ones(300), abs=0.1), pytest.approx(-4, abs=0.1))
    assert columns.max() == pytest.approx(4, abs=0.1)


def test_brightness_and_contrast_stay_within_bounds_and_in_range(images):
    """Oracle: the factor, which is one an image where nothing is cut off."""
    plain = augment(images[:1].repeat(300, 1, 1), AugmentRecipe(), WHOLE, seeded())
    factors = augment(images[:1].repeat(300, 1, 1), AugmentRecipe(brightness_range=(0.2, 1.2)), WHOLE, seeded()) / plain
    assert factors.amax((1, 2, 3)) == pytest.approx(factors.amin((1, 2, 3)), abs=1e-4)
    assert 0.2 <= factors.min() < 0.22
    assert 1.18 < factors.max() <= 1.2
    recipe, many = AugmentRecipe(brightness=0.1, contrast=0.2), images[:1].repeat(300, 1, 1)
    changed, plain = augment(many, recipe, WHOLE, seeded()), augment(many, AugmentRecipe(), WHOLE, seeded())
    offsets, gains = changed.mean((1, 2, 3)) - plain.mean((1, 2, 3)), changed.std((1, 2, 3)) / plain.std((1, 2, 3))
    assert offsets.abs().max() <= 0.1 + 1e-3
    assert offsets.abs().max() > 0.09
    assert 0.79 < gains.min() < 0.83
    assert 1.17 < gains.max() < 1.21
    harsh = augment(many, AugmentRecipe(brightness=1.0), WHOLE, seeded())
    assert 0 <= harsh.min() <= harsh.max() <= 1


def test_random_erasing_greys_rectangles_in_its_fraction_of_images(images):
    many = images[:1].repeat(1000, 1, 1)
    erased = augment(many, AugmentRecipe(random_erasing=0.3), SPEC, seeded())
    changed = erased != augment(many, AugmentRecipe(), SPEC, seeded())
    assert 240 < int(changed.any(dim=(1, 2, 3)).sum()) < 360
    assert (erased[changed] == 0).all()
    assert changed.float().mean((1, 2, 3)).max() < 0.24


def test_mixup_blends_each_image_with_its_partner():
    """Oracle: Zhang et al. 2018, x = share * own + (1 - share) * partner's."""
    batch = torch.randn(6, 1, 8, 8)
    mixed, partner, share = mix(batch, AugmentRecipe(mixup=0.4), seeded(3), seeded(3))
    assert 0 <= share <= 1
    assert sorted(partner.tolist()) == list(range(6))
    assert torch.allclose(mixed, share * batch + (1 - share) * batch[partner], atol=1e-6)
    # Oracle: Yun et al. 2019: every pixel is one's own or the partner's, and the label follows the area.
    batch = torch.randn(6, 1, 20, 20)
    for seed in range(20):
        mixed, partner, share = mix(batch, AugmentRecipe(cutmix=1.0), seeded(seed), seeded(seed))
        own, pasted = mixed == batch, mixed == batch[partner]
        assert (own | pasted).all()
        apart = partner != torch.arange(6)
        if apart.any():
            assert pasted[apart].float().mean().item() == pytest.approx(1 - share, abs=1e-6)
        assert torch.equal(batch, torch.where(own, mixed, batch)), "the batch itself must not change"
    images, labels = torch.zeros(4000, 48, 48, dtype=torch.uint8), torch.zeros(4000, dtype=torch.int64)
    tables = {"mixup": 1.0, "mixup_probability": 0.5}

    def mixed(epoch, **keys):
        recipe = Recipe(batch_size=8, augment=AugmentRecipe(**{**tables, **keys}))
        return [batch.partner is not None for batch in epoch_batches(images, labels, recipe, epoch=epoch, mixing=True)]

    assert (np.mean(mixed(1)), mixed(1)) == (pytest.approx(0.5, abs=0.1), mixed(1))
    assert mixed(1) != mixed(2)
    assert all(mixed(1, mixup_probability=1.0))
    assert not any(mixed(1, mixup_probability=0.0))


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.2, 1.0])
def test_mix_weights_follow_the_beta_distribution(alpha):
    """Oracle: scipy's, in three parts of 0..1; 4,000 draws are within four standard errors of its shares."""
    generator, batch = seeded(), torch.zeros(2, 1, 8, 8)
    drawn = np.array([mix(batch, AugmentRecipe(mixup=alpha), generator, generator)[2] for _ in range(4000)])
    for low, high in ((0.0, 0.1), (0.1, 0.9), (0.9, 1.0)):
        expected = stats.beta(alpha, alpha).cdf(high) - stats.beta(alpha, alpha).cdf(low)
        found = ((drawn >= low) & (drawn < high)).mean() if high < 1 else (drawn >= low).mean()
        assert found == pytest.approx(expected, abs=4 * max(np.sqrt(expected * (1 - expected) / 4000), 1e-3))


def noise_of(count, side=48, seed=0):
    return torch.randint(0, 256, (count, 1, side, side), generator=seeded(seed)).float()


def corrupted(images, seed=0, **keys):
    return corrupt(images, AugmentRecipe(**keys), seeded(seed))


def test_corruptions_are_scipys_and_pillows_and_keep_grey_and_range():
    """Away from the border, where both see the same pixels."""
    image = noise_of(1)[0, 0]
    (matrix,) = blur_matrices(torch.tensor([1.3]), 48)
    ours = (matrix @ image @ matrix.T).numpy()
    assert np.abs(ours - gaussian_filter(image.numpy(), 1.3, truncate=12))[10:-10, 10:-10].max() < 0.05
    image, matrices = noise_of(1)[0, 0].numpy(), resolution_matrices(48)
    assert len(matrices) == 36, "12 to 47 pixels"
    small = Image.fromarray(image).resize((24, 24), Image.Resampling.BOX)
    theirs, matrix = np.asarray(small.resize((48, 48), Image.Resampling.BILINEAR)), matrices[24 - 12].numpy()
    assert np.abs(matrix @ image @ matrix.T - theirs).max() < 0.05
    grey = torch.full((50, 1, 44, 44), 90.0)
    assert torch.allclose(corrupted(grey, blur=1.0, low_resolution=1.0), grey, atol=1e-3)
    noisy = corrupted(noise_of(50), noise=1.0)
    assert 0 <= noisy.min() <= noisy.max() <= 255


@pytest.mark.parametrize("key", ["blur", "noise", "low_resolution"])
def test_corruptions_change_their_fraction_of_images(key):
    images = noise_of(1000)
    changed = (corrupted(images, **{key: 0.3}) != images).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.05)
    assert (corrupted(images, **{key: 1.0}) != images).flatten(1).any(1).float().mean() > 0.99


def test_augment_repeats_with_its_generator_and_draws_nothing_when_off(tiny_recipe):
    images, keys = noise_of(20), {"blur": 0.5, "noise": 0.5, "low_resolution": 0.5}
    assert torch.equal(corrupted(images, **keys), corrupted(images, **keys))
    assert not torch.equal(corrupted(images, **keys), corrupted(images, seed=1, **keys))
    first, second = seeded(), seeded()
    pixels, plain = images[:, 0].to(torch.uint8), AugmentRecipe(translate=0.1)
    augment(pixels, plain, tiny_recipe.input, first)
    augment(pixels, plain.model_copy(update={"blur": 0.0}), tiny_recipe.input, second)
    assert torch.equal(first.get_state(), second.get_state())
