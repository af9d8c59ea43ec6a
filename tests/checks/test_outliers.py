"""Oracles: strange pictures that the test puts among faces; a count of every value."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mien.checks.outliers import outlier_scores, rarity


def test_what_is_no_face_comes_first(drawn):
    random = np.random.default_rng(0)
    checks = ((np.indices((48, 48)).sum(axis=0) // 6) % 2 * 255).astype(np.uint8)
    stripes = np.tile((np.arange(48) // 4 % 2 * 200).astype(np.uint8), (48, 1))
    noise = random.integers(0, 256, (8, 48, 48), dtype=np.uint8)
    strange = np.concatenate([checks[np.newaxis], stripes[np.newaxis], noise])
    scores = outlier_scores(np.concatenate([drawn[:600], strange]))
    assert set(np.argsort(-scores)[:2].tolist()) == {600, 601}
    assert roc_auc_score(np.arange(610) >= 600, scores) > 0.85, "noise is less strange than patterns"


def test_a_further_view_counts(drawn):
    view = np.zeros(300)
    view[7] = 1
    assert np.argmax(outlier_scores(drawn[:300], [view]) - outlier_scores(drawn[:300])) == 7


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20))
def test_rarity_is_the_share_at_least_as_high(values):
    wanted = [sum(other >= value for other in values) / len(values) for value in values]
    assert rarity(np.array(values, dtype=float)).tolist() == wanted
