"""Oracles: the stored predictions, counted with numpy."""

import csv
import dataclasses
import json
import math
import re

import numpy as np
import pytest
from rich.console import Console

from mien.base.errors import DataError, StudyError
from mien.evaluation.named_metrics import Resampled
from mien.evaluation.paired_tests import RepeatedDifference, Spread, holm, spread
from mien.evaluation.predictions import VotePredictions
from mien.evaluation.results import Estimate
from mien.page.wording import Cell, metric_format, shown
from mien.runs.page import study_tables, write_study
from mien.runs.table import _adjusted, _as_known_now, _significantly_best, tabulate
from support import note_codes, page_codes, raises


def accuracy(predictions):
    return (predictions.probabilities.argmax(1) == predictions.labels).mean()


def printed(table):
    console = Console(width=160)
    with console.capture() as caught:
        console.print(study_tables(table))
    return caught.get()


@pytest.fixture(scope="module")
def table(done):
    return tabulate(done.study, done.runs, done.finished)


def test_rows_hold_mean_and_deviation_of_stored_predictions(done, table):
    base, five, merged, wild, lost = table.rows
    each = [accuracy(done.finished[done.runs[index].key].predictions()) for index in (0, 4)]
    assert base.metrics["accuracy"].mean == pytest.approx(np.mean(each))
    assert base.metrics["accuracy"].deviation == pytest.approx(np.std(each, ddof=1))
    assert (base.missing, base.failed) == (0, 0)
    assert five.metrics["accuracy"].mean == pytest.approx(accuracy(done.finished[done.runs[1].key].predictions()))
    assert np.isnan(five.metrics["recall.disgust"].mean)
    assert (merged.samples, wild.failed, wild.metrics, wild.samples) == (five.samples, 1, {}, 0)
    assert (lost.failed, lost.missing) == (1, 0)
    assert (base.samples, base.classes, five.classes) == (len(done.finished[done.runs[0].key].predictions()), 7, 5)
    predictions = done.finished[done.runs[1].key].predictions()
    positive = predictions.probabilities[:, [predictions.classes.index(name) for name in ("happy", "surprise")]].sum(1)
    truth = np.isin(predictions.labels, [predictions.classes.index("happy"), predictions.classes.index("surprise")])
    assert table.rows[2].metrics["accuracy"].mean == pytest.approx(((positive > 0.5) == truth).mean())


def test_a_table_notes_runs_no_better_than_the_largest_class(table, done, tmp_path):
    predictions, base = [done.finished[done.runs[index].key].predictions() for index in (0, 4)], table.rows[0]
    assert base.collapsed == sum(accuracy(each) <= np.bincount(each.labels).max() / len(each) for each in predictions)
    shown = dataclasses.replace(table, rows=(dataclasses.replace(base, collapsed=2), *table.rows[1:]))
    assert "no-better-than-one-class" in page_codes(write_study(tmp_path, shown, {}).page.read_text())


def test_a_comparison_uses_the_samples_that_all_variants_have(done, table):
    (compared,) = table.comparisons
    five = done.finished[done.runs[1].key].predictions()
    assert (compared.samples, list(compared.differences)) == (len(five), ["merged"])
    found = compared.differences["merged"]["accuracy"]
    assert found.seeds == 1
    # Seven classes merged, on the rows of the five alone.
    seven = done.finished[done.runs[0].key].predictions()
    inside = np.isin(seven.sample_ids, five.sample_ids)
    at = [seven.classes.index(name) for name in ("happy", "surprise")]
    negative = [seven.classes.index(name) for name in ("angry", "fear", "sad")]
    positive = seven.probabilities[inside][:, at].sum(1) > seven.probabilities[inside][:, negative].sum(1)
    right = (positive == np.isin(seven.labels[inside], at)).mean()
    # Both are of the one seed that both have, so that they differ by what is printed.
    assert found.baseline == pytest.approx(right)
    assert found.value == pytest.approx(table.rows[2].metrics["accuracy"].mean)
    assert found.difference.value == pytest.approx(found.value - found.baseline)
    both = done.study.comparisons[0].model_copy(update={"variants": ("base", "five"), "classes": ""})
    study = done.study.model_copy(update={"comparisons": (both,)})
    with raises(StudyError, "study-value", both.title):
        tabulate(study, done.runs, done.finished)


def test_p_values_are_corrected_over_a_whole_comparison(table):
    """Oracle: Holm's method by hand on the four p-values of two variants and two metrics."""

    def differing(p_value):
        return RepeatedDifference(0.5, 0.6, Estimate(0.1, 0.0, 0.2), p_value, 3)

    given = {"a": {"x": 0.01, "y": 0.5}, "b": {"x": 0.02, "y": 0.03}}
    rows = _adjusted({name: {x: differing(p) for x, p in row.items()} for name, row in given.items()})
    assert {name: {x: each.adjusted_p_value for x, each in row.items()} for name, row in rows.items()} == {
        "a": {"x": pytest.approx(0.04), "y": pytest.approx(0.5)},
        "b": {"x": pytest.approx(0.06), "y": pytest.approx(0.06)},
    }
    (compared,) = table.to_dict()["comparisons"]
    found = [each for entry in compared["variants"] for each in entry["differences"].values()]
    known = [each for each in found if each["p_value"] is not None]
    assert [each["adjusted_p_value"] for each in known] == pytest.approx(holm([each["p_value"] for each in known]))
    interval = Estimate(0.612, 0.6, 0.62)
    assert shown(Spread((0.61, 0.614), 0.612, 0.0028, interval), "percent") == "61.2 ± 0.3%"
    assert shown(Spread((0.612,), 0.612, math.nan, interval), "percent") == "61.2%"
    assert shown(Spread((0.5, 0.6), 0.55, 0.0707, interval), "decimal") == "0.550 ± 0.071"
    assert shown(Spread((math.nan, math.nan), math.nan, math.nan, interval), "decimal") == "–"


def test_a_table_uses_votes_and_groups_of_the_data(done, faces):
    """Oracles: people who saw the label; of two groups, a quarter of the draws is one of them twice."""
    parts = {"columns": {"part": (faces.rows % 2).astype(str)}, "group_column": "part"}
    votes = 10 * np.eye(len(faces.classes), dtype=np.int64)[faces.labels]
    given = dataclasses.replace(faces, votes=votes, vote_classes=faces.classes, **parts)
    study = done.study.model_copy(update={"metrics": ("accuracy", "majority_accuracy"), "comparisons": ()})
    found = tabulate(study, done.runs, done.finished, given).rows[0].metrics
    assert found["majority_accuracy"].mean == pytest.approx(found["accuracy"].mean)
    runs = [done.finished[done.runs[index].key].predictions() for index in (0, 4)]
    halves = [np.mean([accuracy(run.subset(run.sample_ids % 2 == part)) for run in runs]) for part in (0, 1)]
    interval = found["accuracy"].interval
    assert (interval.low, interval.high) == pytest.approx(tuple(sorted(halves)))
    stored = dataclasses.replace(runs[0], votes=VotePredictions(np.ones((len(runs[0]), 7)), faces.classes))
    assert (_as_known_now(stored, given).votes.counts.argmax(1) == stored.labels).all()
    # Ids that another file gave to the same faces match no run: it counts as it is kept.
    other = dataclasses.replace(given, rows=faces.rows + 1)
    assert np.isnan(tabulate(study, done.runs, done.finished, other).rows[0].metrics["majority_accuracy"].mean)


def test_a_table_notes_missing_runs(done, tmp_path):
    table = tabulate(done.study, done.runs, {done.runs[0].key: done.finished[done.runs[0].key]})
    assert [row.missing for row in table.rows] == [1, 1, 1, 1, 1]
    (compared,) = table.comparisons
    assert (compared.samples, compared.absent) == (0, ("merged",))
    page = write_study(tmp_path, table, {}).page.read_text()
    codes, incomplete = page_codes(page), [row for row in table.rows if row.missing]
    assert (codes.count("runs-missing"), codes.count("comparison-incomplete")) == (len(incomplete), 1)
    assert codes[-1] == "comparison-empty"
    assert re.search(r'data-code="runs-missing">[^<]*\b1\b[^<]*\bbase\.<', page)
    assert write_study(tmp_path, tabulate(done.study, done.runs, {}), {}).page_bytes > 1000


def test_page_and_files_hold_the_values_of_the_table(table, tmp_path, charts):
    written = write_study(tmp_path, table, {"data": "rendered"})
    page = written.page.read_text()
    for words in ("A small study", "Does it run?", "five, merged", "50.0%", "failed in training", "Crosses"):
        assert words in page
    assert {file.name for file in written.files} >= {"variants.csv", "runs.json", "variants-accuracy.svg"}
    content = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert content["variants"][0]["metrics"]["accuracy"]["mean"] == table.rows[0].metrics["accuracy"].mean
    assert content["comparisons"][0]["samples"] == table.comparisons[0].samples


@pytest.mark.parametrize(
    ("seeds", "expected"), [((1, 1), {"one-seed"}), ((2, 1), {"one-seed", "two-seeds"}), ((3, 3), set())]
)
def test_a_comparison_notes_variants_of_few_seeds(table, tmp_path, seeds, expected):
    (compared,) = table.comparisons
    differences = {
        f"variant {at}": {
            name: dataclasses.replace(found, seeds=count) for name, found in compared.differences["merged"].items()
        }
        for at, count in enumerate(seeds)
    }
    shown = dataclasses.replace(table, comparisons=(dataclasses.replace(compared, differences=differences),))
    assert {"one-seed", "two-seeds"} & set(note_codes(printed(shown))) == expected
    assert {"one-seed", "two-seeds"} & set(page_codes(write_study(tmp_path, shown, {}).page.read_text())) == expected


def test_the_terminal_shows_every_value(table):
    words = printed(table).replace("±", " ").replace("%", " ").split()
    named = [(name, each.mean) for row in table.rows for name, each in row.metrics.items()]
    named += [each for row in table.rows for each in row.variant.published.items()]
    figures = [shown(Cell(value, metric_format(table.metrics[name]))) for name, value in named]
    (compared,) = table.comparisons
    figures += [f"{100 * found['accuracy'].difference.value:+.1f}" for found in compared.differences.values()]
    for figure in (figure.replace("%", "").strip() for figure in figures):
        assert figure in words or f"({figure}" in words, figure
    assert "…" not in printed(table)


def test_tables_in_files_hold_numbers_and_every_metric_of_every_run(done, table, tmp_path):
    """Oracle: the stored predictions."""
    write_study(tmp_path, table, {})
    files = [tmp_path / "tables" / name for name in ("variants.csv", "runs.csv")]
    variants, runs = (list(csv.DictReader(file.read_text().splitlines())) for file in files)
    assert float(variants[0]["accuracy"]) == table.rows[0].metrics["accuracy"].mean
    assert float(variants[0]["accuracy deviation"]) == table.rows[0].metrics["accuracy"].deviation
    assert float(variants[0]["accuracy, published"]) == 0.5
    for (run, kept), line in zip(table.runs, runs, strict=True):
        assert (line["variant"], int(line["seed"])) == (run.variant, run.recipe.seed)
        assert bool(kept.record.failed) == bool(line["failed"]) == (not line["accuracy"])
        if line["accuracy"]:
            assert float(line["accuracy"]) == pytest.approx(accuracy(kept.predictions()))


def test_only_a_significantly_better_variant_is_best(table):
    """Oracles: by hand. Three runs on 1000 resamples; equal variants, one clearly better one, and too few seeds."""
    drawn = np.random.default_rng(0)

    def runs(mean, seeds=3):
        values = mean + drawn.normal(0, 0.001, (seeds, 1))
        return {at: Resampled(each, each + drawn.normal(0, 0.002, (1000, 1)), 500) for at, each in enumerate(values)}

    def best(**variants):
        rows = [
            dataclasses.replace(
                table.rows[0],
                variant=table.rows[0].variant.model_copy(update={"name": name}),
                metrics={"accuracy": spread([*each.values()], ["accuracy"])[0]},
            )
            for name, each in variants.items()
        ]
        return _significantly_best([table.metrics["accuracy"]], rows, variants)

    assert best(a=runs(0.6), b=runs(0.7), c=runs(0.5)) == {"accuracy": "b"}
    assert (best(a=runs(0.7), b=runs(0.7), c=runs(0.5)), best(a=runs(0.6, 1), b=runs(0.7, 1))) == ({}, {})


def test_a_study_measures_a_users_own_metric(done, tmp_path):
    code = "def sure(labels, probabilities):\n    return probabilities.max(axis=1).mean()\nruns = sure\n"
    (tmp_path / "parts.py").write_text(code)
    metrics = ("kappa", f"{tmp_path / 'parts.py'}:sure")
    table = tabulate(done.study.model_copy(update={"metrics": metrics}), done.runs, done.finished)
    sure = [done.finished[done.runs[index].key].predictions().probabilities.max(axis=1).mean() for index in (0, 4)]
    assert table.rows[0].metrics["sure"].mean == pytest.approx(np.mean(sure))
    assert list(table.comparisons[0].differences["merged"]) == ["kappa", "sure"]
    # A metric may have the name of another column.
    named = done.study.model_copy(update={"metrics": (f"{tmp_path / 'parts.py'}:runs",)})
    write_study(tmp_path, tabulate(named, done.runs, done.finished), {})
    (tmp_path / "parts.py").write_text("def sure(labels, probabilities):\n    raise ValueError('no')\n")
    with raises(DataError, "own-part", "sure"):
        tabulate(done.study.model_copy(update={"metrics": metrics}), done.runs, done.finished)
