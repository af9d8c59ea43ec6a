"""Oracles: the names that the script of the page reads, and what matplotlib was asked for."""

import re

import numpy as np
import pytest
from matplotlib.axes import Axes

from mien.evaluation.curves import precision_recall_curves, roc_curves
from mien.page.charts.curves import coverage_chart, precision_recall_chart, roc_chart


@pytest.mark.parametrize("kind", ["roc", "precision-recall"])
def test_every_class_with_rows_has_its_panel(kind):
    """Three classes, of which the last has no row."""
    labels, probabilities = np.arange(40) % 2, np.random.default_rng(0).dirichlet(np.ones(3), 40)
    names = ("a", "an angry expression", "c")
    if kind == "roc":
        chart = roc_chart(roc_curves(labels, probabilities, resamples=20), names)
        expected = [*names[:2], "macro average", "micro average"]
    else:
        chart = precision_recall_chart(precision_recall_curves(labels, probabilities), names)
        expected = list(names[:2])
    assert re.findall(r'data-name="([^"]*)"', chart.svg) == expected
    chart._figure.draw_without_rendering()
    for axes in chart._figure.axes:
        assert axes.get_tightbbox().x1 < axes.bbox.x1 + 12, "a title ends with its panel, a tick's number soon after"


def test_the_surest_rows_are_not_cut_off_where_they_are_wrong(monkeypatch):
    """Five sure rows that are wrong, before 95 that are right."""
    limits, set_ylim = [], Axes.set_ylim
    monkeypatch.setattr(
        Axes, "set_ylim", lambda self, *ends, **named: (limits.append(ends), set_ylim(self, *ends, **named))
    )
    coverage_chart(np.arange(1, 101) / 100, np.maximum(np.arange(1, 101) - 5, 0) / np.arange(1, 101)).file("svg")
    assert (0, 101) in limits
