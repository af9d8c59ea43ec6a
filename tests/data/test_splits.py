import numpy as np
import pytest

from mien.data.splits import (
    CUT_ORIGIN,
    NO_CUT,
    canonical_split,
    cut_groups,
    cut_validation,
    group_identical,
    is_official,
    settle_splits,
)


@pytest.mark.parametrize(
    ("found", "split"),
    [("Training", "train"), ("train", "train"), ("PublicTest", "validation"), ("val", "validation"),
     ("Valid", "validation"), ("public_test", "validation"), ("PrivateTest", "test"), ("private", "test"),
     (" TEST ", "test"), ("happy", None), ("", None)],
)  # fmt: skip
def test_canonical_split_knows_common_names(found, split):
    assert canonical_split(found) == split


def test_is_official_needs_two_official_names():
    assert is_official(["Training", "PublicTest", "Training"])
    assert not any(is_official(words) for words in (["Training", "test"], ["Training"], []))


def test_cut_validation_ignores_the_order_of_images(noise):
    images, labels = noise(200), np.arange(200) % 4
    order = np.random.default_rng(1).permutation(200)
    assert np.array_equal(cut_validation(images, labels)[order], cut_validation(images[order], labels[order]))


@pytest.mark.parametrize("seed", range(20))
def test_cut_validation_keeps_classes_of_two_groups_in_both_splits(noise, seed):
    generator = np.random.default_rng(seed)
    group_of = generator.integers(0, 30, 60)
    images, labels = noise(30, side=8, seed=seed)[group_of], generator.integers(0, 8, 30)[group_of]
    validation = cut_validation(images, labels)
    for label in np.unique(labels):
        groups = np.unique(group_of[labels == label])
        assert set(validation[labels == label].tolist()) == ({True, False} if len(groups) > 1 else {False})
    assert not set(group_of[validation]) & set(group_of[~validation])


def test_settle_splits_cuts_only_a_missing_validation(noise):
    images, labels = noise(100, side=8), np.arange(100) % 2

    def settle(*names: str) -> tuple[dict[str, int], str]:
        split, origin = settle_splits(np.resize(np.array(names, dtype="<U10"), 100), "as given", images, labels)
        found, counts = np.unique(split, return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True)), origin

    # a class has 50 images: 15 % are 7.5
    assert settle("") == ({"train": 86, "validation": 14}, f"{CUT_ORIGIN}; there is no test split")
    # here one label takes train, one test: 15 % of 50
    sizes = {"train": 43, "validation": 7, "test": 50}
    assert settle("train", "test") == (sizes, f"as given; validation: {CUT_ORIGIN}")
    assert settle("train", "validation") == ({"train": 50, "validation": 50}, "as given")
    assert settle("test") == ({"test": 100}, "as given")
    assert settle("train") == ({"train": 86, "validation": 14}, f"as given; validation: {CUT_ORIGIN}")


@pytest.mark.parametrize(
    ("given", "origin"), [("", f"{NO_CUT}; there is no test split"), ("train", f"as given; validation: {NO_CUT}")]
)
def test_settle_splits_says_that_nothing_can_be_cut(given, origin):
    """Of each class one image, and one that is there twice."""
    images = np.array([[[1]], [[2]], [[2]]], dtype=np.uint8)
    split, said = settle_splits(np.full(3, given), "as given", images, np.array([0, 1, 1]))
    assert split.tolist() == ["train"] * 3
    assert said == origin


PIXELS = np.arange(60, dtype=np.uint8).reshape(60, 1, 1)


def test_cut_validation_repeats_a_stored_cut():
    """Oracle: the cuts of 0.1. A version that cuts otherwise would validate on what earlier runs were trained on."""
    labels = np.arange(60) % 3
    people = np.array([f"person {number // 4}" for number in range(60)])
    half = cut_groups(people, labels, share=0.5)
    cuts = [
        (cut_validation(PIXELS, labels), [9, 13, 23, 35, 36, 37, 49, 51, 56]),
        (cut_validation(PIXELS, labels, copies=np.arange(60) // 2), [8, 9, 22, 23, 36, 37, 48, 49]),
        (cut_groups(people, labels), [*range(16, 20), *range(24, 28)]),
        (half, [*range(8), *range(16, 20), *range(24, 28), *range(32, 36), *range(48, 60)]),
    ]
    for cut, expected in cuts:
        assert np.flatnonzero(cut).tolist() == expected
    assert group_identical(PIXELS[[3, 1, 3, 0]]).tolist() == [0, 1, 0, 2]


def test_cut_validation_fills_its_share():
    """Oracle: counted by hand. 15% of twenty is three; of five it is less than a face, so the group of two goes."""
    assert cut_validation(PIXELS[:20], np.zeros(20, np.int64)).sum() == 3
    for order in ([0, 0, 0, 1, 1], [1, 1, 1, 0, 0]):
        assert cut_validation(PIXELS[order], np.zeros(5, np.int64)).tolist() == [False, False, False, True, True]
