"""Oracle: what can be reached in a table of who is beside whom."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mien.base.arrays import evenly, join_groups
from mien.evaluation.calibration import assign_folds


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30))
def test_join_groups_equals_connected_components(pairs):
    people, copies = (np.array(column) for column in zip(*pairs, strict=True))
    found = join_groups(len(pairs), people, None, copies)
    together = [[a == c or b == d for c, d in pairs] for a, b in pairs]
    for k, i, j in itertools.product(range(len(pairs)), repeat=3):
        together[i][j] = together[i][j] or (together[i][k] and together[k][j])
    assert (found[:, None] == found[None, :]).tolist() == together
    folds = assign_folds(found)
    for either in (people, copies):
        assert all(len(np.unique(folds[either == each])) == 1 for each in np.unique(either))
    assert join_groups(3, None, None).tolist() == [0, 1, 2]


def test_evenly_keeps_both_ends_and_never_more():
    assert evenly(np.arange(100), 4).tolist() == [0, 33, 66, 99]
    assert [evenly(np.arange(count), 3).tolist() for count in range(4)] == [[], [0], [0, 1], [0, 1, 2]]
