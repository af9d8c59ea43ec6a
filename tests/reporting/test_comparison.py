"""Oracle: the comparison itself."""

import json
import re

import numpy as np
import pytest

from mien.evaluation.predictions import Predictions
from mien.reporting.comparison import compare_predictions, comparison_subsets_table, comparison_table, short_names


@pytest.fixture
def pair():
    """Two classifiers of 30 rows of three classes, of which the third has none."""
    made = []
    for seed in (0, 1):
        probabilities = np.random.default_rng(seed).dirichlet(np.ones(3), 30)
        made.append(Predictions(np.arange(30), np.arange(30) % 2, probabilities, ("a", "b", "c"), "validation", ""))
    return compare_predictions(*made, resamples=20, names=("one", "value"))


def test_comparison_table_has_keys_independent_of_names(pair):
    line = json.loads(comparison_table(pair).to_json())[0]
    assert list(line) == ["metric", "first", "second", "difference", "p"]
    found = pair.accuracy
    assert (line["first"], line["second"], line["p"]) == (found.first, found.second, found.p_value)
    assert re.findall("one|value", comparison_table(pair).caption) == ["value", "one"], "the second minus the first"


def test_comparison_tables_have_model_names_as_headings(pair):
    assert [column.head for column in comparison_table(pair).columns] == ["", "one", "value", "", ""]
    assert [column.head for column in comparison_subsets_table(pair).columns][2:] == [
        f"{metric}, {name}" for metric in ("accuracy", "macro-F1") for name in ("one", "value")
    ]


@pytest.mark.parametrize(
    ("first", "second", "heads"),
    [
        ("runs/mine", "runs/quick", ("runs/mine", "runs/quick")),
        ("/a/long/way/down/from/runs/mine", "/a/long/way/down/from/runs/quick", ("mine", "quick")),
        ("/a/long/way/of/mine/scores.npz", "/a/long/way/of/quick/scores.npz", ("mine", "quick")),
        ("C:\\a\\long\\way\\down\\to\\mine", "C:\\a\\long\\way\\down\\to\\quick", ("mine", "quick")),
        ("a" * 12 + "b" * 30 + "c" * 11, "quick", ("a" * 12 + "…" + "c" * 11, "quick")),
        ("default", "default", ("1: default", "2: default")),
        ("x" * 50 + "1" + "y" * 50, "x" * 50 + "2" + "y" * 50, tuple(f"{n}: {'x' * 12}…{'y' * 11}" for n in (1, 2))),
    ],
)
def test_short_names_are_short_and_different(first, second, heads):
    assert short_names(first, second) == heads
