"""Oracles: csv, json and html.parser read back what was put in."""

import csv
import io
import json
import math
from html.parser import HTMLParser

import pytest

from mien.base.errors import DataError
from mien.evaluation.results import Estimate
from mien.page.blocks import Column, Table
from support import raises


def test_files_hold_values_and_intervals():
    columns = (Column("class", "text"), Column("share", "percent"), Column("rows", "count"))
    table = Table("t", columns, [('a, "b"', Estimate(0.5, 0.25, math.nan), 1234), ("c", None, 0), ("d", math.nan, 7)])
    lines = list(csv.reader(io.StringIO(table.to_csv().decode())))
    assert lines == [
        ["class", "share", "share low", "share high", "rows"],
        ['a, "b"', "0.5", "0.25", "", "1234"],
        ["c", "", "", "", "0"],
        ["d", "", "", "", "7"],
    ]
    content = json.loads(table.to_json())
    assert content[0] == {"class": 'a, "b"', "share": {"value": 0.5, "low": 0.25, "high": None}, "rows": 1234}
    assert content[2]["share"] is None


def test_a_table_is_saved_by_the_suffix_of_its_file(tmp_path):
    """Oracles: the four texts by hand, and pandas."""
    table = Table(
        "t", (Column("class_1", "text"), Column("share", "percent", "p(|)")), [("a & b|<c>", Estimate(0.5, 0.25, 0.75))]
    )
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
    with raises(DataError, "table-suffix", "t.xlsx"):
        table.save(tmp_path / "t.xlsx")


def test_latex_has_true_minus_signs_the_best_in_bold_and_a_caption():
    rows = [("a-b", -0.196), ("-.5 c", 0.25)]
    table = Table("t", (Column("x", "text"), Column("y", "signed")), rows, "50% of it.", best=frozenset({(1, "y")}))
    assert table.to_latex() == (
        "\\begin{table}\n\\centering\n\\caption{50\\% of it.}\n\\label{tab:t}\n"
        "\\begin{tabular}{lr}\n\\toprule\nx & y \\\\\n\\midrule\na-b & $-$0.196 \\\\\n"
        "$-$.5 c & \\textbf{+0.250} \\\\\n\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def test_what_stands_in_the_page():
    share, points = Column("s", "percent"), Column("p", "points")
    assert (share.show(0.5), share.interval(Estimate(0.5, 0.25, 0.75))) == ("50.0%", "25.0–75.0%")
    assert (points.show(-0.012), points.interval(Estimate(0, -0.02, 0.01))) == ("-1.2", "-2.0 to +1.0")
    assert share.interval(0.5) == share.interval(Estimate(0.5, math.nan, math.nan)) == ""
    assert share.show(None) == share.show(math.nan) == "–"


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


def test_a_notebook_shows_every_row_and_no_name_as_markup():
    columns = (Column("class", "text"), Column("share", "percent"))
    table = Table("t", columns, [("<img src=x>", Estimate(0.5, 0.25, 0.75)), ("b", None)], "Of <all> rows.", shown=0)
    page = Cells()
    page.feed(table._repr_html_())
    assert page.lines == [["class", "share"], ["<img src=x>", "50.0%25.0–75.0%"], ["b", "–Of <all> rows."]]
    assert "img" not in page.elements
    assert "tables/" not in table._repr_html_()


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0123, "0.012"), (0.001, "0.001"), (0.0009, "< 0.001"), (0.0, "< 0.001")]
)
def test_no_p_value_is_shown_as_nothing(value, shown):
    assert Column("p", "p").show(value) == shown
