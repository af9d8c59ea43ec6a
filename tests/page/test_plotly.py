"""Oracle: what matplotlib was given; Plotly's names of the same things."""

import json

import numpy as np

from mien.page.charts.svg import INK, make_chart, make_panels

NASTY = "<a href='//x.org'>a</a>"


def figure(draw, **more):
    return json.loads(make_chart("c", draw, height_inches=2, **more).plot)


def test_a_named_curve_has_its_numbers_and_what_has_no_name_is_quiet():
    def draw(axes):
        axes.plot([0, 1], [0, 1], color=INK, linestyle=":")
        axes.errorbar(
            [1, 2, 3], [0.2, np.nan, 0.4], yerr=[[0.1] * 3, [0.3] * 3], marker="s", color="#0072b2", label=NASTY
        )
        axes.fill_between([0, 1], [0, 0], [1, 1], alpha=0.2)
        axes.axvline(2, linestyle=":", label="kept")
        axes.set(xlim=(0, 4), ylim=(1, 0), xlabel="across", ylabel="up")

    found = figure(draw)
    band, chance, curve, kept = found["data"]
    assert [each["hoverinfo"] for each in (band, chance)] == ["skip", "skip"]
    assert chance["line"] == {"color": f"{INK}ff", "width": 1.5, "dash": "dot"}
    assert (curve["x"], curve["y"]) == ([1, 2, 3], [0.2, None, 0.4])
    assert curve["error_y"]["array"][0] == 0.3
    assert curve["error_y"]["arrayminus"][0] == 0.1
    assert curve["name"] == "&lt;a href=&#x27;//x.org&#x27;&gt;a&lt;/a&gt;"
    assert curve["hovertemplate"].startswith("across %{x}<br>up %{y}")
    assert (kept["x"], kept["y"]) == ([2, 2], [1, 0])
    assert found["layout"]["yaxis"]["range"] == [1, 0]
    assert found["layout"]["hovermode"] == "closest"


def test_curves_over_the_same_places_are_read_together():
    def draw(axes):
        axes.plot([0, 1], [0, 1], label="train")
        axes.plot([0, 1], [1, 2], label="validation")

    assert figure(draw)["layout"]["hovermode"] == "x unified"


def test_a_chart_without_names_stays_a_drawing():
    assert make_chart("c", lambda axes: axes.plot([0, 1]), height_inches=2).plot == ""
    assert make_chart("c", lambda axes: axes.bar([0, 1], [1, 2]), height_inches=2).plot == ""


def test_panels_share_their_scale_and_have_their_titles():
    def panel(name):
        def draw(axes):
            axes.plot([0, 1], [0, 1], label=name)
            axes.set_title(name)

        return draw

    names = ["a", "b", "c", "d", "e"]
    found = json.loads(make_panels("p", [panel(name) for name in names], columns=3, height_inches=3).plot)
    assert [each["text"] for each in found["layout"]["annotations"]] == names
    assert [each["xaxis"] for each in found["data"]] == ["x", "x2", "x3", "x4", "x5"]
    assert all(found["layout"][f"xaxis{number}"]["matches"] == "x" for number in range(2, 6))
    shown = [found["layout"][f"xaxis{number}"]["showticklabels"] for number in ("", 2, 3, 4, 5)]
    assert shown == [False, False, True, True, True], "below the third there is no panel"


def test_names_of_an_axis_stand_at_their_places():
    def draw(axes):
        axes.plot([3, 4], [0, 1], "o", label="mean")
        axes.set_yticks([0, 1], ["base", NASTY])
        axes.set_xticks([3, 4])

    layout = figure(draw)["layout"]
    assert (layout["yaxis"]["tickvals"], layout["yaxis"]["ticktext"][0]) == ([0, 1], "base")
    assert "<a" not in layout["yaxis"]["ticktext"][1]
    assert "ticktext" not in layout["xaxis"]
