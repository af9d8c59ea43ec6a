"""Oracles: the SVG as XML; the figure of matplotlib; WCAG's contrast; Pillow; equal bytes of equal input."""

import base64
import io
import math
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mien.base.errors import DataError
from mien.evaluation.curves import precision_recall_curves, roc_curves
from mien.page.chart import COLOURS, INK, MAX_POINTS, ink_on, make_chart, shorten
from mien.page.plots import (
    class_chart,
    confusion_chart,
    coverage_chart,
    face_sheet,
    precision_recall_chart,
    roc_chart,
    runs_chart,
    training_chart,
)
from support import raises

HISTORY = [
    {"epoch": epoch, "train_loss": 2 / epoch, "train_accuracy": 0.1 * epoch,
     "validation_loss": 1.0, "validation_accuracy": accuracy}
    for epoch, accuracy in ((1, 0.2), (2, 0.6), (3, 0.6), (4, None), (5, math.nan))
]  # fmt: skip

CHARTS = {
    "loss": lambda: training_chart(HISTORY, "loss", 2),
    "accuracy": lambda: training_chart(HISTORY, "accuracy", 2),
    "confusion": lambda: confusion_chart(np.array([[1234, 1], [0, 0]]), ("sad $x$", "<happy> & 喜"), {(0, 1): "k"}),
    "bars": lambda: class_chart({"train": [2345, 0], "test": [0, 0]}, ("sad $x$", "<happy> & 喜")),
}


def words(chart) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(chart.svg).iter() if node.tag.endswith("}text")]


def line():
    return make_chart("line", lambda axes: axes.plot([0, 1], [0, 1], label="a") and None, height_inches=2)


@pytest.mark.parametrize("name", CHARTS)
def test_svg_is_one_element_with_text_and_equal_bytes(name):
    chart = CHARTS[name]()
    svg, style = chart.svg, files("mien.page").joinpath("templates/style.css").read_text()
    assert svg == CHARTS[name]().svg
    assert ElementTree.fromstring(svg).tag.endswith("}svg")
    assert svg.startswith("<svg")
    assert INK in svg
    assert all(f'"{each}: {INK}"' in style for each in ("stroke", "fill")), "which gives it the page's colour"
    assert f'id="{chart.name}-background"' in svg
    assert words(chart)
    assert not re.search(r"\d{4}-\d\d-\d\d|<metadata|Matplotlib v|<image|_blank", svg)


def test_ids_are_unique_on_a_page_and_references_resolve():
    page = "".join(draw().svg for draw in CHARTS.values())
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    references = {one or other for one, other in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page)}
    assert references - set(ids) == {"confusion-k"}, "which the page has"

    def logarithmic(axes):
        axes.plot([1, 2], [1, 2], label="a")
        axes.set_xscale("log")

    for draw in (lambda axes: axes.plot([0, 1]), lambda axes: axes.bar([0, 1], [1, 2]), logarithmic):
        assert make_chart("c", draw, height_inches=2).curves() == {}


def test_files_are_dark_on_white_and_pdf_embeds_truetype(tmp_path):
    chart = CHARTS["bars"]()
    pixels = np.asarray(Image.open(io.BytesIO(chart.file("png"))).convert("RGB"))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels.min(axis=2).min() < 80
    pdf = chart.file("pdf")
    assert b"/Type0" in pdf
    assert b"/Type3" not in pdf
    again = CHARTS["bars"]()
    assert (chart.file("png"), pdf) == (again.file("png"), again.file("pdf"))
    chart.save(tmp_path / "chart.PDF")
    assert (tmp_path / "chart.PDF").read_bytes() == pdf
    with raises(DataError, "out-path", "chart.gif"):
        chart.save(tmp_path / "chart.gif")


def test_save_sets_size_font_caption_and_label(tmp_path):
    """Oracles: the width and height that the SVG states, its fonts, and LaTeX by hand."""
    chart = line()
    chart.save(tmp_path / "a.svg", width_cm=8, font="STIXGeneral", caption="50% of it.", label="fig:mine")
    svg = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert [float(svg.attrib[key][:-2]) for key in ("width", "height")] == pytest.approx([226.77, 107.99], abs=0.01)
    fonts = [node.attrib["style"] for node in svg.iter() if node.tag.endswith("}text")]
    assert fonts
    assert all("font-family: 'STIXGeneral'" in each for each in fonts)
    text = "\\begin{figure}\n\\centering\n\\includegraphics{a}\n\\caption{50\\% of it.}\n\\label{fig:mine}\n"
    assert (tmp_path / "a.tex").read_text() == f"{text}\\end{{figure}}\n"
    assert chart.css_px == 403, "the chart keeps its size"
    assert "STIX" not in chart.svg, "and its font"
    chart.save(tmp_path / "b.svg", width_cm=8, height_cm=8)
    assert 'height="226.77' in (tmp_path / "b.svg").read_text()
    assert not (tmp_path / "b.tex").exists()


def test_save_rejects_an_unknown_font_and_a_size_of_0(tmp_path):
    for font, hint in (("DejaVu San", "'DejaVu Sans'"), ("Wingbat", "get_font_names")):
        with raises(DataError, "font-missing", hint):
            line().save(tmp_path / "a.pdf", font=font)
    for size in ({"width_cm": 0}, {"height_cm": math.nan}):
        with raises(DataError, "options", "500 cm"):
            line().save(tmp_path / "a.pdf", **size)
    assert not any(tmp_path.iterdir())


def test_chart_uses_changed_rcparams_and_changes_of_its_figure():
    import matplotlib.style

    with matplotlib.style.context("dark_background"), matplotlib.rc_context({"font.size": 13, "font.family": "serif"}):
        chart = line()
    axes = chart.figure.axes[0]
    assert (axes.xaxis.label.get_size(), axes.xaxis.label.get_family()[0]) == (13, "serif")
    assert axes.xaxis.label.get_color() == INK, "dark on white"
    assert line().figure.axes[0].xaxis.label.get_size() == 9
    axes.set_title("mine")
    assert "mine" in words(chart)


def test_runs_chart_gives_seeds_of_a_variant_one_colour_and_name():
    other = [{**each, "validation_accuracy": 0.5} for each in HISTORY[:2]]
    chart = runs_chart({"sgd / 1": HISTORY, "sgd / 2": other, "adam / 1": other, "none / 1": []})
    assert list(chart.curves()["panels"][0]["curves"]) == ["sgd", "adam"]
    assert [each.get_color() for each in chart.figure.axes[0].lines] == [COLOURS[0], COLOURS[0], COLOURS[1]]
    rates = [{**each, "learning_rate": 0.1 / each["epoch"]} for each in HISTORY]
    found = training_chart(rates, "learning_rate", None).curves()
    assert (found["x"], found["y"]) == ("epoch", "learning rate")
    ((values),) = found["panels"][0]["curves"].values()
    assert values == [[1, 0.1], [2, 0.05], [3, 0.03333], [4, 0.025], [5, 0.02]]
    with raises(DataError, "metric-unknown", "learning_rat", "'learning_rate'"):
        training_chart(rates, "learning_rat", None)
    with raises(DataError, "metric-unknown"):
        runs_chart({"a": HISTORY}, "accuracy_of_train")


def test_confusion_chart_has_counts_percentages_and_names():
    found = words(CHARTS["confusion"]())
    assert {"100%", "1,234", "0%", "1", "sad $x$", "<happy> & 喜"} <= set(found)
    assert found.count("–") == 2  # the class without samples
    assert {"75%", "25%", "50%"} <= set(words(confusion_chart(np.array([[3, 1, 0], [0, 5, 5], [2, 2, 4]]), "abc")))
    # Five confident samples that are wrong, before 95 that are right.
    accuracy = np.maximum(np.arange(1, 101) - 5, 0) / np.arange(1, 101)
    assert coverage_chart(np.arange(1, 101) / 100, accuracy).figure.axes[0].get_ylim() == (0, 101)


@pytest.mark.parametrize("kind", ["roc", "precision-recall"])
def test_each_class_with_samples_has_a_panel(kind):
    """Three classes, of which the last has no sample."""
    labels, probabilities = np.arange(40) % 2, np.random.default_rng(0).dirichlet(np.ones(3), 40)
    names = ("a", "an angry expression", "c")
    if kind == "roc":
        chart = roc_chart(roc_curves(labels, probabilities, resamples=20), names)
        expected = [*names[:2], "macro average", "micro average"]
    else:
        chart, expected = precision_recall_chart(precision_recall_curves(labels, probabilities), names), list(names[:2])
    assert [name for each in chart.curves()["panels"] for name in each["curves"]] == expected
    chart.figure.draw_without_rendering()
    for axes in chart.figure.axes:
        assert axes.get_tightbbox().x1 < axes.bbox.x1 + 12, "a title ends with its panel, a tick's number soon after"


def test_face_sheet_keeps_every_pixel(faces):
    colour, found = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8), []
    for node in ElementTree.fromstring(face_sheet([*faces.images[:4], colour], [""] * 5, columns=3).svg).iter():
        if node.tag.endswith("}image"):
            (address,) = (value for name, value in node.attrib.items() if name.endswith("href"))
            found.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")))
    assert len(found) == 5
    for pixels, image in zip(found, faces.images[:4], strict=False):
        assert (pixels == image[:, :, np.newaxis]).all()
    assert np.array_equal(found[4], colour)


def test_letters_on_any_colour_of_the_map_have_contrast_4_5():
    from matplotlib import colormaps

    def luminance(colour):
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    for share in np.linspace(0, 1, 101):
        colour = colormaps["Blues"](share)[:3]
        letters = [int(ink_on(colour)[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        dark, light = sorted((luminance(colour), luminance(letters)))
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_curves_are_where_they_are_drawn():
    """Oracle: the longest path that matplotlib drew, in the units of the SVG, against box and points."""

    def draw(axes):
        axes.plot([0, 1], [0, 1], color=INK, linestyle=":")
        axes.errorbar([1, 2, 3], [0.2, np.nan, 0.4], yerr=0.1, label="bars")
        axes.plot(np.linspace(0, 4, 1000), np.linspace(0, 4, 1000) % 0.5, label="long")
        axes.set(xlim=(0, 4), ylim=(1, 0), xlabel="across", ylabel="up")

    chart = make_chart("c", draw, height_inches=2)
    nodes = ElementTree.fromstring(chart.svg).iter()
    paths = [node.attrib.get("d", "") for node in nodes if node.tag.endswith("}path")]
    drawn = [float(each) for each in re.findall(r"[-\d.]+", max(paths, key=len))]
    assert (chart.curves()["x"], chart.curves()["y"]) == ("across", "up")
    (found,) = chart.curves()["panels"]
    x0, x1, left, right, y0, y1, bottom, top = found["box"]
    assert found["curves"]["bars"] == [[1, 0.2], [3, 0.4]]
    long = found["curves"]["long"]
    assert len(long) == MAX_POINTS
    placed = [
        value for x, y in (long[0], long[-1])
        for value in (left + (x - x0) / (x1 - x0) * (right - left), bottom + (y - y0) / (y1 - y0) * (top - bottom))
    ]  # fmt: skip
    assert [*drawn[:2], *drawn[-2:]] == pytest.approx(placed, abs=0.02)


@given(st.text(max_size=80), st.integers(3, 40))
def test_shorten_keeps_both_ends_of_a_long_name(name, longest):
    found = shorten(name, longest)
    # A space before it, because matplotlib leaves out of legends what begins with an underscore.
    name = f" {name}" if name.startswith("_") else name
    if len(name) <= longest:
        assert found == name
    else:
        assert len(found) == longest
        start, end = found.split("…")[0], found[len(found) - longest // 3 :]
        assert (name[: len(start)], name[-len(end) :]) == (start, end)


@pytest.mark.parametrize("backend", ["module://gone.backend", "nonsense", "svg"])
def test_chart_is_drawn_despite_an_invalid_backend(backend):
    """A notebook passes its MPLBACKEND on to what it starts. It stays as it was for programs started from here."""
    script = (
        "from mien.page.chart import make_chart; import os\n"
        "make_chart('a', lambda axes: axes.plot([1, 2]), height_inches=2).file('png')\n"
        "print(os.environ['MPLBACKEND'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "MPLBACKEND": backend}, text=True, capture_output=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == backend
