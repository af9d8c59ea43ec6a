"""Oracle: scikit-learn's StratifiedGroupKFold."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from mien.data.dataset import Dataset
from mien.errors import DataError
from mien.runs.folds import deal_groups, stratified_folds
from support import raises


def unevenness(labels, fold_of, count):
    held = np.stack([np.bincount(labels[fold_of == fold], minlength=labels.max() + 1) for fold in range(count)])
    return (held / held.sum(axis=0)).std(axis=0).mean()


def test_classes_are_spread_as_evenly_as_scikit_learn_does():
    random = np.random.default_rng(1)
    groups, labels = random.integers(0, 60, 900), random.choice(5, 900, p=[0.05, 0.15, 0.2, 0.25, 0.35])
    ours = deal_groups(groups, labels, 5)
    theirs = np.zeros(900, dtype=np.int64)
    for fold, (_, inside) in enumerate(StratifiedGroupKFold(5).split(labels, labels, groups)):
        theirs[inside] = fold
    assert unevenness(labels, ours, 5) <= 1.1 * unevenness(labels, theirs, 5)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=80), st.integers(2, 6))
def test_a_group_is_in_one_fold_and_no_fold_is_empty(groups, count):
    groups = np.array(groups)
    if len(np.unique(groups)) < count:
        return
    fold_of = deal_groups(groups, np.arange(len(groups)) % 3, count)
    assert all(len(np.unique(fold_of[groups == group])) == 1 for group in groups)
    assert np.array_equal(np.unique(fold_of), np.arange(count))


def people(groups, labels):
    images = np.random.default_rng(0).integers(0, 256, (len(groups), 48, 48), dtype=np.uint8)
    split = np.where(np.arange(len(groups)) % 5 == 1, "validation", "train")
    return Dataset.from_arrays(images, labels, split=split, groups=groups)


def test_no_group_is_trained_on_and_predicted():
    groups = np.arange(60) // 3
    faces = people(groups, ["happy", "sad"] * 30)
    folds = stratified_folds(faces, faces.groups, 4)
    predicted = []
    for fold in range(folds.count):
        held_out, training = folds.held_out(fold), folds.training(fold)
        parts = [held_out, *(training.of_split(split) for split in ("train", "validation"))]
        owners = [set(each.columns["group"].tolist()) for each in parts]
        assert not owners[0] & owners[1]
        assert not owners[0] & owners[2]
        assert not owners[1] & owners[2]
        assert sum(map(len, parts)) == len(faces), "validation is trained on, too"
        predicted += held_out.rows.tolist()
    assert sorted(predicted) == list(range(60))


def test_more_folds_than_groups_and_a_class_of_one_group_are_refused():
    faces = people([0, 0, 1, 1, 2, 2], ["happy", "sad"] * 3)
    with raises(DataError, "folds-range"):
        stratified_folds(faces, faces.groups, 4)
    faces = people(["a", "a", "b", "b"], ["happy", "sad", "sad", "sad"])
    with raises(DataError, "group-holds-class") as caught:
        stratified_folds(faces, faces.groups, 2)
    assert "'a'" in str(caught.value)
