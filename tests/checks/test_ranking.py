"""Oracle: a sort and every pair."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.checks.ranking import AtDepth, ranking_worth


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_hits_and_area(rows):
    suspicion, evidence = np.array([row[0] for row in rows], dtype=float), np.array([row[1] for row in rows])
    found = ranking_worth(suspicion, evidence, depths=(1, 5, 100))
    ordered = sorted(range(len(rows)), key=lambda at: (-rows[at][0], at))
    wanted = [AtDepth(depth, sum(rows[at][1] for at in ordered[:depth])) for depth in (1, 5) if depth <= len(rows)]
    assert list(found.depths) == wanted
    assert (found.samples, found.positive) == (len(rows), int(evidence.sum()))
    pairs = [(one[0], other[0]) for one in rows for other in rows if one[1] and not other[1]]
    if pairs:
        assert found.auc == pytest.approx(np.mean([(a > b) + (a == b) / 2 for a, b in pairs]))
    else:
        assert math.isnan(found.auc)
