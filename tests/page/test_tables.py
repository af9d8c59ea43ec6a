"""Oracles: csv, json, pandas and html.parser read back what was put in; texts by hand."""

import csv
import io
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from mien.base.errors import DataError
from mien.base.labels import EXPRESSIONS
from mien.evaluation.estimates import break_down, evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate
from mien.page.page import Column, Table
from mien.page.terminal import as_text, evaluation_text, group_text, least_width, rich_table, subsets_table
from mien.page.wording import Cell, interval, shown, with_interval
from mien.video.timeline import clock
from support import raises


@pytest.mark.parametrize(("value", "form", "text", "around"), [
    (Estimate(0.5, 0.25, 0.75), "percent", "50.0%", "25.0–75.0%"),
    (Estimate(-0.012, -0.02, 0.01), "points", "-1.2", "-2.0 to +1.0"),
    (Cell(Estimate(-0.0001, -0.02, 0.01), "signed"), "percent", "+0.000", "-0.020 to +0.010"),
    (Estimate(0.5, math.nan, math.nan), "percent", "50.0%", ""),
    (0.7154, "decimal", "0.715", ""),
    (-0.0001, "points", "+0.0", ""),
    (None, "percent", "–", ""),
    (math.nan, "signed", "–", ""),
    (1234, "count", "1,234", ""),
    (1.5e-5, "number", "1.5e-05", ""),
    (0.001, "p", "0.001", ""),
    (0.0009, "p", "< 0.001", ""),
])  # fmt: skip
def test_a_value_has_one_format(value, form, text, around):
    assert (shown(value, form), interval(value, form)) == (text, around)
    assert with_interval(value, form) == (f"{text} [{around}]" if around else text)


def test_csv_and_json_hold_values_and_intervals():
    columns = (Column("class", "text"), Column("share", "percent"), Column("rows", "count"))
    first = ('a, "b"', Cell(Estimate(0.5, 0.25, math.nan), "points"), 1234)
    table = Table("t", columns, [first, ("c", None, 0), ("d", math.nan, 7)])
    lines = list(csv.reader(io.StringIO(table.to_csv().decode())))
    head, first = ["class", "share", "share low", "share high", "rows"], ['a, "b"', "0.5", "0.25", "", "1234"]
    assert lines == [head, first, ["c", "", "", "", "0"], ["d", "", "", "", "7"]]
    content = json.loads(table.to_json())
    assert content[0] == {"class": 'a, "b"', "share": {"value": 0.5, "low": 0.25, "high": None}, "rows": 1234}
    assert content[2]["share"] is None
    assert Table("t", columns, []).to_csv() == b"class,share,rows\n"


def test_save_chooses_the_form_by_the_suffix(tmp_path):
    columns = Column("class_1", "text"), Column("share", "percent", "p(|)")
    table = Table("t", columns, [("a & b|<c>", Estimate(0.5, 0.25, 0.75))])
    for suffix, expected in (
        (".md", "| class_1 | p(\\|) |\n| :--- | ---: |\n| a & b\\|<c> | 50.0% [25.0–75.0%] |\n"),
        (
            ".tex",
            "\\begin{tabular}{lr}\n\\toprule\nclass\\_1 & p($|$) \\\\\n\\midrule\n"
            "a \\& b$|$$<$c$>$ & 50.0\\% [25.0--75.0\\%] \\\\\n\\bottomrule\n\\end{tabular}\n",
        ),
        (".csv", table.to_csv().decode()),
        (".json", table.to_json().decode()),
    ):
        table.save(tmp_path / f"t{suffix}")
        assert (tmp_path / f"t{suffix}").read_text(encoding="utf-8") == expected
    frame = table.to_pandas()
    assert frame.columns.tolist() == ["class_1", "share", "share low", "share high"]
    assert frame.iloc[0].tolist() == ["a & b|<c>", 0.5, 0.25, 0.75]
    with raises(DataError, "out-path", "t.xlsx"):
        table.save(tmp_path / "t.xlsx")


def test_latex_has_minus_signs_the_best_in_bold_caption_and_label(tmp_path):
    rows = [("a-b", -0.196), ("-.5 c", 0.25)]
    table = Table("t", (Column("x", "text"), Column("y", "signed")), rows, "50% of it.", best=frozenset({(1, "y")}))
    expected = (
        "\\begin{table}\n\\centering\n\\caption{50\\% of it.}\n\\label{tab:t}\n\\smallskip\n"
        "\\begin{tabular}{lr}\n\\toprule\nx & y \\\\\n\\midrule\na-b & $-$0.196 \\\\\n"
        "$-$.5 c & \\textbf{+0.250} \\\\\n\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )
    assert table.to_latex() == expected
    table.save(tmp_path / "t.tex", caption="61 ± 1.", label="tab:mine")
    expected = expected.replace("50\\% of it.", "61 $\\pm$ 1.").replace("tab:t", "tab:mine")
    assert (tmp_path / "t.tex").read_text() == expected


def test_a_long_row_has_intervals_below_their_values():
    """Oracle: the lines as LaTeX sets them. A row of two such columns fits a page."""
    columns = (Column("model", "text"), *(Column(f"mean F{n}", "percent") for n in range(12)))
    row = ("cross_entropy-of-seed-0", *[Estimate(0.5, 0.25, 0.75)] * 12)
    long, short = (Table("t", columns[:n], [row[:n]], "T.").to_latex() for n in (5, 3))
    lines = (" & mean" * 4, "cross\\_entropy-" + " & 50.0\\%" * 4, "of-seed-0" + " & \\scriptsize 25.0--75.0" * 4)
    assert all(f"{line} \\\\\n" in long for line in lines)
    assert as_text(rich_table(Table("t", columns, [row]))).count("25.0–75.0%") == 12, "no column is cut off"
    assert "cross\\_entropy-of-seed-0 & 50.0\\% [25.0--75.0\\%] & 50.0\\% [25.0--75.0\\%] \\\\\n" in short


def test_an_empty_row_of_a_long_table_is_a_row_in_latex():
    """Oracle: a line of LaTeX for each row, and a gap only between rows."""
    columns = tuple(Column(f"a long heading {n}", "text") for n in range(9))
    lines = Table("t", columns, [("",) * 9, ("x",) * 9, ("",) * 9]).to_latex().splitlines()
    empty, gap = " & " * 8 + " \\\\", "\\addlinespace"
    body = lines[lines.index("\\midrule") + 1 : lines.index("\\bottomrule")]
    assert [line for line in body if line != gap] == [empty, " & ".join("x" * 9) + " \\\\", empty]
    assert body[-1] != gap


def test_measuring_a_table_leaves_it_as_it_is():
    table = rich_table(Table("t", (Column("x", "text"),), [("a",)]))
    table.columns[0].width = 7
    assert (least_width(table, 80), table.columns[0].width) == (80, 7)
    assert as_text(rich_table(Table("t", (), []))).strip() == ""


class Cells(HTMLParser):
    """The text of each cell, and all elements."""

    def __init__(self):
        super().__init__()
        self.lines, self.elements = [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        if tag == "tr":
            self.lines.append([])
        elif tag in {"td", "th"}:
            self.lines[-1].append("")

    def handle_data(self, data):
        if self.lines and self.lines[-1]:
            self.lines[-1][-1] += data.strip()


def test_notebook_shows_every_row_and_no_name_as_markup():
    columns = (Column("class", "text"), Column("share", "percent"))
    table = Table("t", columns, [("<img src=x>", Estimate(0.5, 0.25, 0.75)), ("b", None)], "Of <all> rows.", shown=0)
    page = Cells()
    page.feed(table._repr_html_())
    assert page.lines == [["class", "share"], ["<img src=x>", "50.0%25.0–75.0%"], ["b", "–Of <all> rows."]]
    assert "img" not in page.elements
    assert "tables/" not in table._repr_html_()
    columns = (Column("told [by]", "text"), Column("AUC"), Column("share", "percent"))
    rows = [("light", Estimate(0.5, 0.4, 0.6), 0.1), ("edges", None, None)]
    head, _, light, edges = terminal(rich_table(Table("t", columns, rows))).splitlines()
    assert head.split() == ["told", "[by]", "AUC", "95%", "interval", "share"]
    assert [light.split(), edges.split()] == [["light", "0.500", "0.400–0.600", "10.0%"], ["edges", "–", "–"]]
    assert light.index("0.500") + len("0.500") == head.index("AUC") + len("AUC"), "numbers are right-aligned"
    many = Table("t", (columns[0], *(Column(f"metric {each}") for each in range(5))), [("light", *[rows[0][1]] * 5)])
    assert [line.split()[0] for line in terminal(rich_table(many)).splitlines()[-2:]] == ["light", "0.400–0.600"]


def terminal(renderable) -> str:
    file = io.StringIO()
    Console(width=80, file=file).print(renderable)
    return file.getvalue()


def perfect(classes, rows: int = 70, present: int | None = None) -> Predictions:
    labels = np.arange(rows) % (present or len(classes))
    return Predictions(np.arange(rows), labels, np.eye(len(classes))[labels], tuple(classes), "test", "")


@pytest.mark.parametrize("count", [2, 7, 9, 40])
def test_terminal_needs_80_columns(count):
    names = EXPRESSIONS if count == 7 else [f"number {index}" for index in range(count)]
    text = terminal(evaluation_text(evaluate_predictions(perfect(names), resamples=5)))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    confusion = text[text.index("onfusion") :].rstrip().splitlines()
    if count == 40:
        assert "too wide" in text
    else:
        assert len(confusion) == 3 + count
    if count == 9:
        assert re.search(r"true class +1 +2 +3", text)
        assert "4 number 3" in text


def test_terminal_shows_names_dashes_and_times_as_they_are():
    predictions = perfect(("[red]a[/red]", "[/b]"))
    assert "[red]a[/red]" in terminal(evaluation_text(evaluate_predictions(predictions, resamples=5)))
    parts = break_down("x", predictions, np.array(["[i]x", "y"] * 35), resamples=5).parts
    text = terminal(group_text(subsets_table(parts, "[u]column"), "[u]column", None))
    assert "By [u]column" in text
    assert "[i]x" in text
    text = terminal(evaluation_text(evaluate_predictions(perfect(("a", "b", "c"), 1, 1), resamples=5)))
    assert "test: 1 sample\n" in text.replace(" \n", "\n")
    assert re.search(r"Macro-AUC +– ", text)
    assert re.search(r"\nc +0\.0% +– +– +– +0", text)
    assert [clock(each) for each in (59.94, 59.96, 60)] == ["59.9 s", "1:00", "1:00"]
