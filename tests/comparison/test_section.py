"""Oracles: chance by hand, from a fixed number of recalls; the comparison itself."""

import json
import re

import numpy as np
import pytest

from mien.comparison.section import PairwiseComparison, comparison_section, comparison_table
from mien.evaluation.paired_tests import compare_predictions
from mien.evaluation.predictions import Predictions
from mien.page.blocks import Text


@pytest.fixture
def pair():
    """Two classifiers of 30 rows of three classes, of which the third has none."""
    made = []
    for seed in (0, 1):
        probabilities = np.random.default_rng(seed).dirichlet(np.ones(3), 30)
        made.append(Predictions(np.arange(30), np.arange(30) % 2, probabilities, ("a", "b", "c"), "validation", ""))
    return PairwiseComparison("one", "value", *made, compare_predictions(*made, resamples=20))


def test_chance_is_that_of_the_recalls_that_there_are(pair):
    words = " ".join(block.words for block in comparison_section(pair, None).blocks if isinstance(block, Text))
    (sentence,) = re.findall(r"[^.]* recall of [^.]*?0\.05[^.]*\.", words)
    assert re.findall(r"(?<![.\d])\d+%?(?!\.)", sentence) == ["2", "10%"], "two have a recall; 1 - .95 ** 2 = .0975"


def test_the_tables_keys_do_not_depend_on_the_names(pair):
    line = json.loads(comparison_table(pair).to_json())[0]
    assert list(line) == ["metric", "first", "second", "difference", "p"]
    found = pair.comparison.accuracy
    assert (line["first"], line["second"], line["p"]) == (found.first, found.second, found.p_value)
    assert re.findall("one|value", comparison_table(pair).caption) == ["one", "value"], "the first, the second"
