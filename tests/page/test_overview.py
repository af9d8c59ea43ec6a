"""Oracles: the SVG as XML holds each number drawn; WCAG's contrast; the same input gives the same text."""

import io
import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError
from mien.page.charts.overview import class_chart, confusion_chart, runs_chart, training_chart
from mien.page.charts.svg import COLOURS, INK, MOST_POINTS, make_chart, readable_on
from support import raises

HISTORY = [
    {"epoch": epoch, "train_loss": 2 / epoch, "train_accuracy": 0.1 * epoch,
     "validation_loss": 1.0, "validation_accuracy": accuracy}
    for epoch, accuracy in ((1, 0.2), (2, 0.6), (3, 0.6), (4, None), (5, math.nan))
]  # fmt: skip

CHARTS = {
    "loss": lambda: training_chart(HISTORY, "loss", 2).svg,
    "accuracy": lambda: training_chart(HISTORY, "accuracy", 2).svg,
    "confusion": lambda: confusion_chart(np.array([[1234, 1], [0, 0]]), ("sad $x$", "<happy> & 喜")).svg,
    "bars": lambda: class_chart({"train": [2345, 0], "test": [0, 0]}, ("sad $x$", "<happy> & 喜")).svg,
}


def words(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("}text")]


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_one_svg_element_and_always_the_same(name):
    svg = CHARTS[name]()
    assert svg == CHARTS[name]()
    assert svg.startswith("<svg")
    assert svg.endswith("</svg>")
    assert ElementTree.fromstring(svg).tag.endswith("}svg")
    assert INK not in svg
    assert "currentColor" in svg
    assert "natural-width" in svg
    assert "<image" not in svg
    assert not re.search(r"\d{4}-\d\d-\d\d|<metadata|Matplotlib v", svg)


def test_ids_differ_between_charts_and_references_are_met():
    page = "".join(draw() for draw in CHARTS.values())
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page)
    assert references
    assert {one or other for one, other in references} <= set(ids)


def test_the_files_are_dark_on_white_whatever_the_page_is(tmp_path, monkeypatch):
    chart = class_chart({"train": [2345, 0], "test": [0, 0]}, ("sad", "⌚"))
    text = chart.file("svg").decode()
    assert ElementTree.fromstring(text.encode()).tag.endswith("}svg")
    assert 'fill="#ffffff"' in text
    assert INK not in text
    assert "currentColor" not in text
    png = chart.file("png")
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels.min(axis=2).min() < 80
    again = class_chart({"train": [2345, 0], "test": [0, 0]}, ("sad", "⌚"))
    assert (png, chart.file("pdf")) == (again.file("png"), again.file("pdf"))
    monkeypatch.setattr("mien.page.charts.svg._MORE_FONTS", ("STIXGeneral", "no such font"))
    assert again.file("png") != png, "matplotlib's STIX has the clock that its DejaVu lacks"
    chart.save(tmp_path / "chart.PDF")
    assert (tmp_path / "chart.PDF").read_bytes().startswith(b"%PDF")
    with raises(DataError, "chart-suffix", "chart.gif"):
        chart.save(tmp_path / "chart.gif")


def test_any_metric_of_the_history_is_drawn_and_no_other():
    rates = [{**line, "learning_rate": 0.1 / line["epoch"]} for line in HISTORY]
    svg = training_chart(rates, "learning_rate", None).svg
    assert "learning rate" in words(svg)
    assert 'data-points="1,0.1 2,0.05 3,0.03333 4,0.025 5,0.02"' in svg
    with raises(DataError, "metric-unknown", "learning_rat", "'learning_rate'"):
        training_chart(rates, "learning_rat", None)
    with raises(DataError, "metric-unknown"):
        runs_chart({"a": HISTORY}, "accuracy_of_train")


def test_runs_are_lines_and_the_seeds_of_a_variant_share_colour_and_name():
    """Oracle: the names and numbers that the page's script reads."""
    other = [{**line, "validation_accuracy": 0.5} for line in HISTORY[:2]]
    svg = runs_chart({"sgd / 1": HISTORY, "sgd / 2": other, "adam / 1": other, "none / 1": []}).svg
    assert {"sgd", "adam"} <= set(words(svg))
    assert "none" not in words(svg)
    assert re.findall(r'data-name="([^"]*)"', svg) == ["sgd", "adam"]
    assert svg.count(f"stroke: {COLOURS[0]}") > svg.count(f"stroke: {COLOURS[1]}")


def test_the_heat_map_says_counts_shares_and_names():
    found = words(CHARTS["confusion"]())
    assert {"100%", "1,234", "0%", "1", "sad $x$", "<happy> & 喜"} <= set(found)
    assert found.count("–") == 2  # the class without rows
    shares = words(confusion_chart(np.array([[3, 1, 0], [0, 5, 5], [2, 2, 4]]), "abc").svg)
    for share in ("75%", "25%", "50%"):
        assert share in shares


def test_letters_on_any_colour_of_the_map_have_contrast_4_5():
    from matplotlib import colormaps

    def luminance(colour):
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    for share in np.linspace(0, 1, 101):
        colour = colormaps["Blues"](share)[:3]
        letters = [int(readable_on(colour)[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        dark, light = sorted((luminance(colour), luminance(letters)))
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_a_named_curve_has_its_numbers_at_the_place_where_it_is_drawn():
    """Oracle: the path that matplotlib drew, in the units of the SVG, against box and points."""
    name = "<a href='//x.org'>a</a>"

    def draw(axes):
        axes.plot([0, 1], [0, 1], color=INK, linestyle=":")
        axes.errorbar([1, 2, 3], [0.2, np.nan, 0.4], yerr=0.1, label=name)
        axes.plot(np.linspace(0, 4, 1000), np.zeros(1000), label="long")
        axes.set(xlim=(0, 4), ylim=(1, 0), xlabel="across", ylabel="up")

    svg = ElementTree.fromstring(make_chart("c", draw, height_inches=2).svg)
    assert (svg.attrib["data-x"], svg.attrib["data-y"]) == ("across", "up")
    (axes,) = (node for node in svg.iter() if "data-box" in node.attrib)
    x0, x1, left, right, y0, y1, bottom, top = map(float, axes.attrib["data-box"].split())
    long, bars = sorted(
        (node for node in svg.iter() if "data-points" in node.attrib), key=lambda each: -len(each.attrib["data-points"])
    )
    assert (bars.attrib["data-name"], bars.attrib["data-points"]) == (name, "1,0.2 3,0.4")
    assert len(long.attrib["data-points"].split()) == MOST_POINTS
    path = next(node.attrib["d"] for node in long.iter() if node.tag.endswith("}path"))
    drawn = [float(each) for each in re.findall(r"[-\d.]+", path)]
    ends = [[float(each) for each in long.attrib["data-points"].split()[at].split(",")] for at in (0, -1)]
    placed = [
        value for x, y in ends
        for value in (left + (x - x0) / (x1 - x0) * (right - left), bottom + (y - y0) / (y1 - y0) * (top - bottom))
    ]  # fmt: skip
    assert [*drawn[:2], *drawn[-2:]] == pytest.approx(placed, abs=0.01)


def test_a_chart_without_names_or_with_another_scale_has_no_data():
    def logarithmic(axes):
        axes.plot([1, 2], [1, 2], label="a")
        axes.set_xscale("log")

    for draw in (lambda axes: axes.plot([0, 1]), lambda axes: axes.bar([0, 1], [1, 2]), logarithmic):
        assert "data-" not in make_chart("c", draw, height_inches=2).svg
