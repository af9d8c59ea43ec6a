"""Oracles: chance by hand, from a fixed number of recalls; the comparison itself."""

import json

import numpy as np
import pytest

from mien.evaluation.compare import compare_scores
from mien.evaluation.scores import Scores
from mien.report.blocks import Text
from mien.report.sections.comparison import Contest, comparison_section, comparison_table


@pytest.fixture
def contest():
    """Two classifiers of 30 rows of three classes, of which the third has none."""
    made = []
    for seed in (0, 1):
        probabilities = np.random.default_rng(seed).dirichlet(np.ones(3), 30)
        made.append(Scores(np.arange(30), np.arange(30) % 2, probabilities, ("a", "b", "c"), "validation", ""))
    return Contest("one", "value", *made, compare_scores(*made, resamples=20))


def test_chance_is_that_of_the_recalls_that_there_are(contest):
    words = " ".join(block.words for block in comparison_section(contest, None).blocks if isinstance(block, Text))
    assert "Of 2 recalls" in words, "the third class has no recall"
    assert "in 10 % of comparisons at most" in words, "1 - .95 ** 2 = .0975"


def test_the_tables_keys_do_not_depend_on_the_names(contest):
    line = json.loads(comparison_table(contest).to_json())[0]
    assert list(line) == ["figure", "first", "second", "difference", "p"]
    found = contest.comparison.accuracy
    assert (line["first"], line["second"], line["p"]) == (found.first, found.second, found.p_value)
    assert comparison_table(contest).caption == "First: one. Second: value."
