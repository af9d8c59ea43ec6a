"""Balanced faces, their order and their batches. Oracles: counts and members by hand; the full-size batch, shrunk."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mien.base.recipe import Recipe
from mien.base.recipe_tables import BalanceRecipe
from mien.data.dataset import Dataset
from mien.training.batches import balanced_indices, balanced_order, count_steps, epoch_batches

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
