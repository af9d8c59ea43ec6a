"""A matplotlib figure as JSON for Plotly: its named curves and points, each with its numbers under the pointer.

A chart is drawn once, with matplotlib. What is here reads the finished figure, so that both have the same places,
ranges, colours and names. Names are escaped, because Plotly takes text for a kind of HTML.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}

_MARKERS = {"o": "circle", "s": "square", "x": "x-thin"}

_TITLE_PX = 11

Trace = dict[str, Any]


def plot_json(figure: Figure) -> str:
    """The figure as JSON with ``data``, ``layout`` and ``ratio`` (width : height); ``""`` without anything named."""
    panels = figure.axes
    across, up = (
        next((name for name in names if name), "")
        for names in ([each.get_xlabel() for each in panels], [each.get_ylabel() for each in panels])
    )
    hover = f"{escape(across)} %{{x}}<br>{escape(up)} %{{y}}<extra>%{{fullData.name}}</extra>"
    traces: list[Trace] = []
    layout: dict[str, Any] = {"annotations": []}
    for number, axes in enumerate(panels, start=1):
        x, y = ("x", "y") if number == 1 else (f"x{number}", f"y{number}")
        traces += [{**each, "xaxis": x, "yaxis": y} for each in _traces(axes, hover)]
        place = axes.get_position()
        layout[f"xaxis{x[1:]}"] = _axis(axes.xaxis, axes.get_xlim(), (place.x0, place.x1), y, first="x")
        layout[f"yaxis{y[1:]}"] = _axis(axes.yaxis, axes.get_ylim(), (place.y0, place.y1), x, first="y")
        if title := axes.get_title("left"):
            layout["annotations"].append(_title(title, place.x0, place.y1))
    if not any("name" in trace for trace in traces):
        return ""
    top = round(panels[0].get_position().y1, 4)
    layout["legend"] = {"orientation": "h", "x": 0.5, "xanchor": "center", "y": top, "yanchor": "bottom"}
    layout |= {"showlegend": len(panels) == 1, "hovermode": _hover_mode(traces)}
    width, height = figure.get_size_inches()
    return json.dumps({"data": traces, "layout": layout, "ratio": round(width / height, 4)})


def _traces(axes: Axes, hover: str) -> Iterator[Trace]:
    """Bands first, then curves with their intervals, then clouds of points."""
    from matplotlib.collections import PathCollection, PolyCollection

    for band in axes.collections:
        if isinstance(band, PolyCollection) and band.get_paths():
            yield {
                "type": "scatter", "mode": "lines", **_points(band.get_paths()[0].vertices), "fill": "toself",
                "fillcolor": _hex(band.get_facecolor()[0]), "line": {"width": 0}, "hoverinfo": "skip",
                "showlegend": False,
            }  # fmt: skip
    with_lines: list[Any] = [each for each in axes.containers if getattr(each, "lines", None)]
    containers = {each.lines[0]: each for each in with_lines}
    for line in axes.lines:
        points = np.array(line.get_xydata(), dtype=np.float64)
        if line.get_transform() == axes.get_xaxis_transform():  # axvline
            points[:, 1] = axes.get_ylim()
        container = containers.get(line)
        label = str((container or line).get_label()).strip()
        if not len(points):
            continue
        trace = _line(line, points)
        if container is not None:
            trace |= _intervals(container, points)
        named = {"name": escape(label), "hovertemplate": hover}
        # matplotlib's sign for a line that the legend leaves out.
        yield trace | ({"hoverinfo": "skip", "showlegend": False} if label.startswith("_") else named)
    for cloud in axes.collections:
        if isinstance(cloud, PathCollection) and not str(cloud.get_label()).startswith("_"):
            yield {
                "type": "scatter", "mode": "markers", **_points(cloud.get_offsets()),
                "marker": {"color": _hex(cloud.get_facecolor()[0]), "size": 5},
                "name": escape(str(cloud.get_label()).strip()), "hovertemplate": "%{fullData.name}<extra></extra>",
            }  # fmt: skip


def _line(line: Line2D, points: npt.NDArray[np.float64]) -> Trace:
    dash, symbol = _DASHES.get(str(line.get_linestyle())), _MARKERS.get(str(line.get_marker()))
    alpha = line.get_alpha()
    colour = _hex(line.get_color(), 1.0 if alpha is None else alpha)
    mode = "+".join((["lines"] if dash else []) + (["markers"] if symbol else [])) or "lines"
    stroke = {"color": colour, "width": line.get_linewidth(), "dash": dash or "solid"}
    trace: Trace = {"type": "scatter", "mode": mode, **_points(points), "line": stroke}
    if line.get_drawstyle() == "steps-post":
        stroke["shape"] = "hv"
    if symbol:
        hollow = "-open" if line.get_markerfacecolor() == "none" or line.get_fillstyle() == "none" else ""
        edge = {"color": colour, "width": 1.5 if symbol == "x-thin" else 0}
        trace["marker"] = {
            "symbol": symbol + hollow, "color": colour, "size": 1.4 * line.get_markersize(),
            **({} if hollow else {"line": edge}),
        }  # fmt: skip
    return trace


def _intervals(container: ErrorbarContainer, points: npt.NDArray[np.float64]) -> Trace:
    """The intervals of an errorbar, from the ends of its bars."""
    ways = [way for way, has in enumerate((container.has_xerr, container.has_yerr)) if has]
    found: Trace = {}
    for way, bars in zip(ways, container.lines[2], strict=True):
        ends = np.array([path.vertices for path in bars.get_paths()], dtype=np.float64)[:, :, way]
        found["error_x" if way == 0 else "error_y"] = {
            "type": "data", "symmetric": False, "array": _rounded(ends[:, 1] - points[:, way]),
            "arrayminus": _rounded(points[:, way] - ends[:, 0]), "thickness": 1, "width": 0,
        }  # fmt: skip
    return found


def _axis(
    axis: Axis, limits: tuple[float, float], domain: tuple[float, float], anchor: str, *, first: str
) -> Mapping[str, Any]:
    """One axis; all panels follow the zoom of the ``first``."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter

    style = axis.get_tick_params()
    shown = bool(len(axis.get_ticklocs())) and bool(style.get("labelbottom", style.get("labelleft", True)))
    lines = axis.get_gridlines()
    has_grid = bool(lines) and lines[0].get_visible()
    found: dict[str, Any] = {
        "range": _rounded(limits), "domain": _rounded(domain), "anchor": anchor, "showticklabels": shown,
        "title": {"text": escape(axis.get_label_text())}, "showgrid": has_grid, "zeroline": False,
    }  # fmt: skip
    if anchor[1:]:
        found["matches"] = first
    # Names that were given with their places are written by a function, without places by a list.
    has_places = isinstance(axis.get_major_locator(), FixedLocator)
    if isinstance(axis.get_major_formatter(), FuncFormatter if has_places else FixedFormatter):
        names = [escape(tick.get_text()).replace("\n", "<br>") for tick in axis.get_ticklabels()]
        found |= {"tickvals": _rounded(axis.get_ticklocs()), "ticktext": names}
    return found


def _title(text: str, x: float, y: float) -> dict[str, Any]:
    return {
        "text": escape(text), "x": round(x, 4), "y": round(y, 4), "xref": "paper", "yref": "paper", "xanchor": "left",
        "yanchor": "bottom", "showarrow": False, "font": {"size": _TITLE_PX},
    }  # fmt: skip


def _hover_mode(traces: list[Trace]) -> str:
    """All numbers at one place if the curves share their places, otherwise those of the nearest point."""
    named = [trace for trace in traces if trace.get("hovertemplate")]
    curves = all(trace["xaxis"] == "x" and "lines" in trace["mode"] for trace in named)
    shared = len(named[0]["x"]) > 1 and all(trace["x"] == named[0]["x"] for trace in named)
    return "x unified" if curves and shared else "closest"


def _points(points: npt.ArrayLike) -> dict[str, list[float | None]]:
    across, up = np.asarray(points, dtype=np.float64).T
    return {"x": _rounded(across), "y": _rounded(up)}


def _rounded(values: npt.ArrayLike) -> list[float | None]:
    """Four digits after the point are more than a screen shows; JSON has no NaN."""
    return [round(float(each), 4) if np.isfinite(each) else None for each in np.ravel(values)]


def _hex(colour: Any, alpha: float | None = None) -> str:
    from matplotlib.colors import to_hex

    return to_hex(colour if alpha is None else (colour, alpha), keep_alpha=True)
