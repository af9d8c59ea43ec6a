"""Oracles: the stored scores, counted with numpy."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mien.experiments.study_page import study_tables, write_study
from mien.experiments.study_table import Training, tabulate, write_table
from mien.report.study_wording import figure_text


def accuracy(scores):
    return (scores.probabilities.argmax(1) == scores.labels).mean()


@pytest.fixture(scope="module")
def table(done):
    return tabulate(done.study, done.plan, done.finished, resamples=50)


def test_rows_hold_mean_and_spread_of_the_stored_scores(done, table):
    base, five, merged, wild, lost, elsewhere = table.rows
    each = [accuracy(done.finished[done.runs[index].key].scores()) for index in (0, 4)]
    assert base.figures["accuracy"].mean == pytest.approx(np.mean(each))
    assert base.figures["accuracy"].deviation == pytest.approx(np.std(each, ddof=1))
    assert (base.missing, base.failed) == (0, 0)
    took = [done.finished[done.runs[index].key].record.seconds for index in (0, 4)]
    assert base.training == (Training("cpu", 1, 2, pytest.approx(np.mean(took))),)
    assert five.figures["accuracy"].mean == pytest.approx(accuracy(done.finished[done.runs[1].key].scores()))
    assert np.isnan(five.figures["recall.disgust"].mean)
    assert merged.training == ()
    assert merged.rows == five.rows
    assert (wild.failed, wild.figures, wild.rows) == (1, {}, 0)
    assert (lost.failed, lost.missing) == (1, 0)
    assert (elsewhere.failed, elsewhere.missing, elsewhere.figures) == (0, 0, {})
    assert (base.rows, base.classes, five.classes) == (len(done.finished[done.runs[0].key].scores()), 7, 5)


def test_a_merged_row_is_the_sum_of_probabilities(done, table):
    scores = done.finished[done.runs[1].key].scores()
    positive = scores.probabilities[:, [scores.classes.index("happy"), scores.classes.index("surprise")]].sum(1)
    truth = np.isin(scores.labels, [scores.classes.index("happy"), scores.classes.index("surprise")])
    assert table.rows[2].figures["accuracy"].mean == pytest.approx(((positive > 0.5) == truth).mean())


def test_a_comparison_is_on_the_rows_that_all_have(done, table):
    (compared,) = table.comparisons
    five = done.finished[done.runs[1].key].scores()
    assert compared.rows == len(five)
    (merged,) = compared.entries
    found = merged.differences["accuracy"]
    assert (merged.name, found.seeds) == ("merged", 1)
    # Seven classes merged, on the rows of the five alone.
    seven = done.finished[done.runs[0].key].scores()
    inside = np.isin(seven.rows, five.rows)
    at = [seven.classes.index(name) for name in ("happy", "surprise")]
    negative = [seven.classes.index(name) for name in ("angry", "fear", "sad")]
    positive = seven.probabilities[inside][:, at].sum(1) > seven.probabilities[inside][:, negative].sum(1)
    right = (positive == np.isin(seven.labels[inside], at)).mean()
    # Both are of the one seed that both have, so that they differ by what is printed.
    assert found.baseline == pytest.approx(right)
    assert found.value == pytest.approx(table.rows[2].figures["accuracy"].mean)
    assert found.difference.value == pytest.approx(found.value - found.baseline)


def test_what_is_not_finished_is_missing_and_said(done, tmp_path):
    half = {done.runs[0].key: done.finished[done.runs[0].key]}
    table = tabulate(done.study, done.plan, half, resamples=10)
    assert [row.missing for row in table.rows] == [1, 1, 1, 1, 1, 0]
    (compared,) = table.comparisons
    assert (compared.rows, compared.absent) == (0, ("merged",))
    page = write_study(tmp_path, table, {}).page.read_text()
    assert "Not finished: 1 of the runs of base." in page
    assert "There are not yet two variants" in page
    nothing = tabulate(done.study, done.plan, {}, resamples=10)
    assert write_study(tmp_path, nothing, {}).page_bytes > 1000


def test_page_and_files_say_what_the_table_says(table, tmp_path):
    written = write_study(tmp_path, table, {"data": "rendered"})
    page = written.page.read_text()
    for words in (
        "A small study",
        "Does it run?",
        "five, merged",
        "50.0\xa0%",
        "could not be trained to the end",
        "Crosses",
    ):
        assert words in page
    assert {file.name for file in written.files} >= {"variants.csv", "runs.json", "variants-accuracy.svg"}
    write_table(tmp_path / "study.json", table)
    content = json.loads((tmp_path / "study.json").read_text())
    assert content["variants"][0]["figures"]["accuracy"]["mean"] == table.rows[0].figures["accuracy"].mean
    assert content["comparisons"][0]["rows"] == table.comparisons[0].rows


@pytest.mark.parametrize(("width", "header"), [(160, "(theirs)"), (110, "(theirs)"), (70, "ours")])
def test_the_terminal_shows_every_variant_whole(table, width, header):
    """Broken into lines where it must be, but no figure is cut and no column lost."""
    from rich.console import Console

    console = Console(width=width)
    with console.capture() as caught:
        console.print(study_tables(table))
    shown = caught.get()
    for words in ("base", header, "training", "1 thread", "five, merged"):
        assert words in shown
    for row in table.rows:
        for name, found in row.figures.items():
            assert figure_text(name, found.mean).removesuffix(" %").removesuffix("\xa0%") in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
