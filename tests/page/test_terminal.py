"""Tables in a terminal. Oracle: every word and figure of the table, looked for in what rich prints."""

import io

from rich.console import Console

from mien.evaluation.results import Estimate
from mien.page.blocks import Column, Table
from mien.page.terminal import rich_table


def lines(table, width):
    file = io.StringIO()
    Console(file=file, width=width).print(rich_table(table))
    return file.getvalue().splitlines()


def test_a_figure_has_its_interval_and_nothing_is_a_dash():
    columns = (Column("told [by]", "text"), Column("AUC"), Column("share", "percent"))
    rows = [("light", Estimate(0.5, 0.4, 0.6), 0.1), ("edges", None, None)]
    head, _, light, edges = lines(Table("t", columns, rows), 80)
    assert head.split("  ")[0].strip() == "told [by]"
    assert "95% interval" in head
    assert light.split() == ["light", "0.500", "0.400–0.600", "10.0%"]
    assert edges.split() == ["edges", "–", "–"]
    assert light.index("0.500") + len("0.500") == head.index("AUC") + len("AUC"), "figures stand to the right"
