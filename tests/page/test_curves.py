"""Oracles: the names that the script of the page reads, and what matplotlib was asked for."""

import re

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text

from mien.evaluation.calibration import CoverageCurve
from mien.evaluation.curves import precision_recall_curves, roc_curves
from mien.page.charts.curves import coverage_chart, precision_recall_chart, roc_chart


@pytest.mark.parametrize("kind", ["roc", "precision-recall"])
def test_every_class_with_rows_has_its_panel(kind):
    """Three classes, of which the last has no row."""
    labels, probabilities = np.arange(40) % 2, np.random.default_rng(0).dirichlet(np.ones(3), 40)
    if kind == "roc":
        svg = roc_chart(roc_curves(labels, probabilities, resamples=20), ("a", "b", "c")).svg
        expected = ["a", "b", "macro average", "micro average"]
    else:
        svg = precision_recall_chart(precision_recall_curves(labels, probabilities), ("a", "b", "c")).svg
        expected = ["a", "b"]
    assert re.findall(r'data-name="([^"]*)"', svg) == expected


@pytest.mark.parametrize("names", [("negative", "positive"), ("a sad expression", "an angry expression")])
def test_titles_of_panels_do_not_touch(names):
    """Oracle: matplotlib's own boxes of the titles, and the width of the figure."""
    labels, probabilities = np.arange(40) % 2, np.random.default_rng(0).dirichlet(np.ones(2), 40)
    figure = roc_chart(roc_curves(labels, probabilities, resamples=20), names)._figure
    titles = [each.get_window_extent() for each in figure.findobj(Text) if re.search(r"\d\.\d{3}$", each.get_text())]
    first, second, third, _ = titles
    assert first.x1 < second.x0 < second.x1 < third.x0 < third.x1 < figure.bbox.x1


def test_the_surest_rows_are_not_cut_off_where_they_are_wrong(monkeypatch):
    """Five sure rows that are wrong, before 95 that are right."""
    limits, set_ylim = [], Axes.set_ylim
    monkeypatch.setattr(
        Axes, "set_ylim", lambda self, *ends, **named: (limits.append(ends), set_ylim(self, *ends, **named))
    )
    accuracy = np.maximum(np.arange(1, 101) - 5, 0) / np.arange(1, 101)
    coverage_chart(CoverageCurve(np.arange(1, 101) / 100, accuracy, np.zeros(100))).svg_file()
    assert (0, 101) in limits
