"""Charts as SVG inside a page, and as SVG, PNG and PDF files. The same input gives the same bytes."""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.base.errors import DataError, needs_extra
from mien.base.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

WIDTH_INCHES = 4.2
"""Width of a chart: as wide as a phone (403 CSS pixels), where its text must be readable."""

COLOURS: tuple[str, ...] = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Colours of Okabe & Ito (2008), which are distinct for colour-blind people, on white and on black."""

INK = "#010203"
"""Unique placeholder colour that becomes ``currentColor``, which follows the page's light or dark scheme."""

MOST_POINTS = 200
"""For at most so many points of a curve, the page shows the values at the pointer."""

LONGEST_NAME = 20
"""Longest name in charts; longer ones are shortened. Tables show full names."""

_PAPER_INK = "#16181d"
"""Colour that replaces INK in files, because files have no colour scheme."""

_STYLE: Any = {
    "svg.fonttype": "none",  # store letters as text: small, selectable, in the page's own font
    "text.usetex": False,
    "text.parse_math": False,  # keep dollar signs in class names
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.6,
}


_MORE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS")
"""Fonts on Linux, Windows and macOS for writing systems that matplotlib's default font lacks (PNG, PDF)."""

_MADE_BY = {
    "svg": ("Date", "Creator", "Format", "Type"),
    "png": ("Software",),
    "pdf": ("CreationDate", "Creator", "Producer"),
}
"""Metadata that matplotlib would write into each form of file, and that would differ between two of them."""


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart, rendered as SVG.

    Attributes:
        name: name of the chart and its files; unique within a page.
        svg: an ``<svg>`` element for the page, in the page's colours.
    """

    name: str
    svg: str = field(repr=False)
    _figure: Figure = field(repr=False)
    _text: str = field(repr=False)

    def __html__(self) -> str:
        """Return the SVG, which jinja inserts without escaping."""
        return self.svg

    def _repr_svg_(self) -> str:
        """Return the SVG for a notebook: dark on white, because the notebook's colours are unknown."""
        text = self.file("svg").decode("utf-8")
        return text[text.index("<svg") :]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the chart to a ``.svg``, ``.png`` or ``.pdf`` file, whole or not at all.

        Raises DataError for another suffix, RunError if the file cannot be written.
        """
        write_bytes(path, self.file(check_chart_name(Path(path))))

    def file(self, form: str) -> bytes:
        """Return a complete file, ``"svg"``, ``"png"`` or ``"pdf"``: dark letters on white."""
        if form == "svg":
            return self._text.replace(INK, _PAPER_INK).encode("utf-8")
        stream = io.BytesIO()
        with _style(self.name):
            from matplotlib import font_manager, text

            fonts = ["sans-serif", *sorted({*_MORE_FONTS} & {*font_manager.get_font_names()}, key=_MORE_FONTS.index)]
            for each in self._figure.findobj(text.Text):
                each.set_fontfamily(fonts)
            # The layout was computed for the SVG; computing it again would take as long as drawing.
            self._figure.set_layout_engine("none")
            nameless: Any = dict.fromkeys(_MADE_BY[form])
            self._figure.savefig(stream, format=form, facecolor="white", dpi=200, metadata=nameless)
        return stream.getvalue()


def check_chart_name(file: Path) -> str:
    """Return the form of a chart's file, such as ``"svg"``. Raises :class:`DataError` (``chart-suffix``)."""
    form = file.suffix.lower().removeprefix(".")
    if form not in _MADE_BY:
        raise DataError(f"A chart is saved as .svg, .png or .pdf; found {file.name}.", code="chart-suffix")
    return form


def make_chart(
    name: str, draw: Callable[[Axes], None], *, height_inches: float, width_inches: float = WIDTH_INCHES
) -> Chart:
    """Make a chart with one pair of axes, on which ``draw`` draws; its natural size is in inches.

    ``name`` is unique within a page, and the prefix of its elements' ids. Raises MissingExtraError without matplotlib.
    """
    return make_panels(name, [draw], columns=1, height_inches=height_inches, width_inches=width_inches)


def make_panels(
    name: str,
    draws: Sequence[Callable[[Axes], None]],
    *,
    columns: int,
    height_inches: float,
    width_inches: float = WIDTH_INCHES,
) -> Chart:
    """Make a chart of small multiples with the same scale, one panel for each of ``draws``; see :func:`make_chart`."""
    stream = io.StringIO()
    with _style(name):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
        panels = figure.subplots(-(-len(draws) // columns), columns, sharex=True, sharey=True, squeeze=False).ravel()
        for index, (panel, draw) in enumerate(zip(panels, draws, strict=False)):
            draw(panel)
            panel.label_outer()
            # The last row of panels may be incomplete, so some columns are shorter.
            if index + columns >= len(draws):
                panel.tick_params(axis="x", labelbottom=True)
        for panel in panels[len(draws) :]:
            panel.remove()
        # All axes and named curves get an id in the SVG, under which their data is added.
        for number, axes in enumerate(figure.axes):
            axes.set_gid(f"axes-{number}")
            for index, (_, line) in enumerate(_curves(axes)):
                line.set_gid(f"curve-{number}-{index}")
        figure.savefig(stream, format="svg", transparent=True, metadata=dict.fromkeys(_MADE_BY["svg"]), dpi=150)
    whole = stream.getvalue()
    text = whole[whole.index("<svg") :].strip().replace(INK, "currentColor")
    # The page scales charts and needs the natural width (CSS: 96 px per inch).
    text = re.sub(r'\bwidth="[^"]*"', f'style="--natural-width: {96 * width_inches:.0f}px"', text, count=1)
    # matplotlib numbers ids from 1 in every chart, but ids must be unique in a page. Links lead to the page's faces.
    text = re.sub(r'(<[^>]*?\bid="|href="#|url\(#)', rf"\g<1>{name}-", text).replace(' target="_blank"', "")
    # In a file, a white background: its dark text would be unreadable on black.
    on_white = re.sub(r"<svg[^>]*>", r'\g<0>\n <rect width="100%" height="100%" fill="#ffffff"/>', whole, count=1)
    return Chart(name, _with_data(text, name, figure), figure, on_white)


def _curves(axes: Axes) -> list[tuple[str, Line2D]]:
    """Return the named lines, including those of error bars. matplotlib's own names begin with an underscore."""
    from matplotlib.container import ErrorbarContainer

    names = {line: str(line.get_label()) for line in axes.lines}
    bars = [each for each in axes.containers if isinstance(each, ErrorbarContainer)]
    names |= {each.lines[0]: str(each.get_label()) for each in bars}
    return [(name.strip(), line) for line, name in names.items() if not name.startswith("_")]


def _with_data(svg: str, name: str, figure: Figure) -> str:
    """Add the values of named curves to the SVG as ``data-`` attributes, for the page's script.

    Axes get ``data-box``: the limits of x, their position in the SVG, and the same for y. Curves get their name and at
    most :data:`MOST_POINTS` points. Non-linear axes and their curves get no data.
    """
    width, height = 72 * figure.get_size_inches()
    found: dict[str, dict[str, str]] = {}
    for number, axes in enumerate(figure.axes):
        curves = _curves(axes)
        if not curves or {axes.get_xscale(), axes.get_yscale()} != {"linear"}:
            continue
        place = axes.get_position()
        ends = place.x0 * width, place.x1 * width, *axes.get_ylim(), (1 - place.y0) * height, (1 - place.y1) * height
        found[f"axes-{number}"] = {"box": " ".join(f"{each:.5g}" for each in (*axes.get_xlim(), *ends))}
        for index, (label, line) in enumerate(curves):
            points = np.asarray(line.get_xydata(), dtype=np.float64)
            points = points[np.isfinite(points).all(axis=1)]
            if not len(points):
                continue
            points = points[np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).astype(np.int64))]
            words = " ".join(f"{x:.4g},{y:.4g}" for x, y in points)
            found[f"curve-{number}-{index}"] = {"name": label, "points": words}
    if not found:
        return svg
    for key, values in found.items():
        svg = svg.replace(f'id="{name}-{key}"', f'id="{name}-{key}"{_data_attributes(values)}', 1)
    labels = ([each.get_xlabel() for each in figure.axes], [each.get_ylabel() for each in figure.axes])
    x, y = (next((label for label in names if label), "") for names in labels)
    return svg.replace("<svg", f"<svg{_data_attributes({'x': x, 'y': y})}", 1)


def _data_attributes(values: Mapping[str, str]) -> str:
    return "".join(f' data-{key}="{escape(value)}"' for key, value in values.items())


def import_matplotlib() -> None:
    """Import matplotlib despite an invalid ``MPLBACKEND``, as notebooks pass it on. Use it in ``needs_extra``."""
    if sys.modules.get("matplotlib"):
        return
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib

        if backend:
            with suppress(ValueError):
                matplotlib.rcParams["backend"] = backend
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


@contextmanager
def _style(name: str) -> Iterator[None]:
    with needs_extra("report", "A chart"):
        import_matplotlib()
        import matplotlib

    # A fixed salt gives the same bytes for the same chart.
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # matplotlib's font may lack the letters of a class name, but browsers have fonts for them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def shorten(name: str, longest: int = LONGEST_NAME) -> str:
    """Shorten a name for a chart: keep the beginning and the end.

    >>> shorten("surprise"), shorten("an expression of great surprise", 12)
    ('surprise', 'an expr…rise')
    """
    # matplotlib omits names that begin with an underscore from legends.
    name = f" {name}" if name.startswith("_") else name
    return name if len(name) <= longest else f"{name[: longest - 1 - longest // 3]}…{name[-(longest // 3) :]}"


def legend_above(axes: Axes, columns: int, **style: Any) -> None:
    """Add a legend above the axes with at most ``columns`` columns, fewer if labels are long."""
    labels = axes.get_legend_handles_labels()[1]
    if labels:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=_fitting(labels, columns),
            **{"handlelength": 1.6, "columnspacing": 1.2, **style},
        )


def legend_inches(labels: Sequence[str], columns: int) -> float:
    """Return the height of :func:`legend_above` in inches."""
    return 0.16 * -(-len(labels) // _fitting(labels, columns))


def _fitting(labels: Sequence[str], columns: int) -> int:
    # A line of WIDTH_INCHES holds about 60 letters; a label's marker is as wide as five letters.
    return max(1, min(columns, 60 // (max(map(len, labels), default=0) + 5)))


def readable_on(colour: Sequence[float]) -> str:
    """Return black or white, whichever contrasts more with an RGB colour in 0..1 (WCAG 2.2, relative luminance)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"
