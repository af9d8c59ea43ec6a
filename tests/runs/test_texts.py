"""Oracle: the words themselves."""

from __future__ import annotations

import math

import pytest

from mien.evaluation.named_metrics import METRICS
from mien.evaluation.results import Estimate
from mien.evaluation.seed_variance import Spread
from mien.runs.texts import duration, metric_name, spread_text


def test_every_figure_has_a_name():
    assert all(metric_name(each) for each in METRICS)
    assert metric_name("recall.disgust") == "recall of disgust"
    assert metric_name("f1.happy") == "F1 of happy"


def test_a_spread_shows_its_deviation_only_where_there_is_one():
    interval = Estimate(0.612, 0.6, 0.62)
    assert spread_text("accuracy", Spread((0.61, 0.614), 0.612, 0.0028, interval)) == "61.2 ± 0.3%"
    assert spread_text("accuracy", Spread((0.612,), 0.612, math.nan, interval)) == "61.2%"
    assert spread_text("macro_f1", Spread((0.5, 0.6), 0.55, 0.0707, interval)) == "0.550 ± 0.071"
    assert spread_text("macro_f1", Spread((math.nan, math.nan), math.nan, math.nan, interval)) == "–"


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 s"), (500, "8 min"), (10000, "2.8 h")])
def test_durations(seconds, words):
    assert duration(seconds) == words
