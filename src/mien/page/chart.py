"""Charts: figures of matplotlib, as SVG in pages and as SVG, PNG and PDF files. The same input gives the same bytes.

matplotlib's SVG is used as it is. Its dark letters and lines (:data:`INK`) get the colours of the page by
``templates/style.css``, which also hides the white background.
"""

import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.base.arrays import evenly
from mien.base.errors import DataError, nearest, needs_extra
from mien.base.files import write_bytes
from mien.page.wording import figure_environment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

WIDTH_INCHES = 4.2
"""Width of a chart: as wide as a phone (403 CSS pixels), where its text must be readable."""

COLOURS: tuple[str, ...] = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Colours of Okabe & Ito (2008), which are distinct for colour-blind people, on white and on black."""

INK = "#16181d"
"""Colour of letters and lines; the stylesheet knows it, and makes it light on a dark page."""

MAX_POINTS = 200
"""The page shows the values of at most so many points of a curve at the pointer."""

LONGEST_NAME = 20
"""Longest name in charts; longer ones are shortened. Tables show full names."""

_STYLE: Any = {
    **{"font.size": 9, "legend.frameon": False, "legend.fontsize": "small", "grid.alpha": 0.15, "grid.linewidth": 0.6},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6, "axes.axisbelow": True},
    **{"axes.titlesize": "large", "axes.titlelocation": "left"},
}
"""Defaults. A key of ``matplotlib.rcParams`` that was changed before the chart was made has the changed value."""

_FIXED: Any = {
    "svg.fonttype": "none",  # store letters as text: small, selectable, in the page's own font
    "pdf.fonttype": 42,  # TrueType, because publishers refuse Type 3
    "text.usetex": False,
    "text.parse_math": False,  # keep dollar signs in class names
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
}
"""Always so: a dark style of a notebook would be unreadable on a white page."""

_MORE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS")
"""Fonts on Linux, Windows and macOS for writing systems that matplotlib's default font lacks."""

_NAMELESS: dict[str, Any] = {
    "svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
    "png": dict.fromkeys(("Software",)),
    "pdf": dict.fromkeys(("CreationDate", "Creator", "Producer")),
}
"""No metadata for each form of file, because matplotlib's would differ between two of them."""


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart.

    Attributes:
        name: name of the chart and its files; unique within a page.
        figure: figure of matplotlib. Changes of it are in what is saved later.
    """

    name: str
    figure: "Figure" = field(repr=False)

    @property
    def svg(self) -> str:
        """The ``<svg>`` element: dark on white."""
        return svg_element(self.file("svg"))

    def _repr_svg_(self) -> str:
        return self.svg

    @property
    def css_px(self) -> int:
        """Natural width in CSS pixels."""
        return round(96 * float(self.figure.get_size_inches()[0]))

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        width_cm: float | None = None,
        height_cm: float | None = None,
        font: str | None = None,
        caption: str = "",
        label: str = "",
    ) -> None:
        """Write the chart to a ``.svg``, ``.png`` or ``.pdf`` file, whole or not at all.

        Fonts are embedded in PDF as TrueType; SVG keeps text as text.

        Args:
            path: file to write.
            width_cm: width; letters keep their size. Default: 10.7 cm, wider for wide charts.
            height_cm: height; by default in proportion to the width.
            font: family of all letters, such as that of the document, ``"Times New Roman"``.
            caption: sentence below the figure. With it or a label, a ``.tex`` file beside ``path`` includes the figure.
            label: name for references; default: ``fig:`` and the chart's name.

        Raises:
            DataError: another suffix (``out-path``), no such font (``font-missing``), no size above 0
                (``options``).
            RunError: a file cannot be written.
        """
        file = Path(path)
        write_bytes(file, self.file(check_chart_name(file), width_cm=width_cm, height_cm=height_cm, font=font))
        if caption or label:
            text = figure_environment(file.stem, caption, label or f"fig:{self.name}")
            write_bytes(file.with_suffix(".tex"), text.encode())

    def file(
        self, form: str, *, width_cm: float | None = None, height_cm: float | None = None, font: str | None = None
    ) -> bytes:
        """Return a complete file, ``"svg"``, ``"png"`` or ``"pdf"``; arguments as in :meth:`save`."""
        stream = io.BytesIO()
        with _style(self.name, font), _changed(self.figure, width_cm, height_cm, font):
            self.figure.savefig(stream, format=form, facecolor="white", dpi=200, metadata=_NAMELESS[form])
        if form != "svg":
            return stream.getvalue()
        # matplotlib numbers elements anew in every chart, but ids must be unique in a page. Nothing refers to these.
        text = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", stream.getvalue().decode("utf-8"))
        return text.replace(' target="_blank"', "").encode("utf-8")

    def curves(self) -> dict[str, Any]:
        """Return the named curves with their values for the page's script; empty without any. Call it after drawing.

        Each pair of linear axes has a ``box``: the limits of x, their position in the SVG, and the same for y.
        """
        width, height = 72 * self.figure.get_size_inches()
        panels = []
        for axes in self.figure.axes:
            lines = _named_lines(axes)
            if lines and {axes.get_xscale(), axes.get_yscale()} == {"linear"}:
                place = axes.get_position()
                across, up = (place.x0 * width, place.x1 * width), ((1 - place.y0) * height, (1 - place.y1) * height)
                box = [float(f"{each:.5g}") for each in (*axes.get_xlim(), *across, *axes.get_ylim(), *up)]
                panels.append({"box": box, "curves": {name: _points(line) for name, line in lines}})
        # Small multiples have labels only at the edges.
        x = next((each.get_xlabel() for each in self.figure.axes if each.get_xlabel()), "")
        y = next((each.get_ylabel() for each in self.figure.axes if each.get_ylabel()), "")
        return {"x": x, "y": y, "panels": panels} if panels else {}


def svg_element(file: bytes) -> str:
    """Return the ``<svg>`` element of an SVG file."""
    text = file.decode("utf-8")
    return text[text.index("<svg") :].strip()


def check_chart_name(file: Path) -> str:
    """Return the form of a chart's file, such as ``"svg"``. Raises :class:`DataError` (``out-path``)."""
    form = file.suffix.lower().removeprefix(".")
    if form not in _NAMELESS:
        raise DataError(f"A chart is saved as .svg, .png or .pdf; found {file.name}.", code="out-path")
    return form


def make_chart(
    name: str, draw: "Callable[[Axes], None]", *, height_inches: float, width_inches: float = WIDTH_INCHES
) -> Chart:
    """Make a chart with one pair of axes, on which ``draw`` draws. Raises MissingExtraError without matplotlib."""
    return make_panels(name, [draw], columns=1, height_inches=height_inches, width_inches=width_inches)


def make_panels(
    name: str,
    draws: "Sequence[Callable[[Axes], None]]",
    *,
    columns: int,
    height_inches: float,
    width_inches: float = WIDTH_INCHES,
) -> Chart:
    """Make a chart of small multiples with the same scale, one panel for each of ``draws``; see :func:`make_chart`."""
    with _style(name):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
        figure.patch.set_gid(f"{name}-background")
        panels = figure.subplots(-(-len(draws) // columns), columns, sharex=True, sharey=True, squeeze=False).ravel()
        for index, (panel, draw) in enumerate(zip(panels, draws, strict=False)):
            panel.patch.set_visible(False)
            draw(panel)
            panel.label_outer()
            # The last row of panels may be incomplete, so some columns are shorter.
            if index + columns >= len(draws):
                panel.tick_params(axis="x", labelbottom=True)
        for panel in panels[len(draws) :]:
            panel.remove()
    return Chart(name, figure)


def _named_lines(axes: "Axes") -> "list[tuple[str, Line2D]]":
    """Return the named lines, including those of error bars. matplotlib's own names begin with an underscore."""
    from matplotlib.container import ErrorbarContainer

    names = {line: str(line.get_label()) for line in axes.lines}
    bars = [each for each in axes.containers if isinstance(each, ErrorbarContainer)]
    names |= {each.lines[0]: str(each.get_label()) for each in bars}
    return [(name.strip(), line) for line, name in names.items() if not name.startswith("_")]


def _points(line: "Line2D") -> list[list[float]]:
    points = np.asarray(line.get_xydata(), dtype=np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    return [[float(f"{value:.4g}") for value in point] for point in evenly(points, MAX_POINTS)]


@contextmanager
def _changed(figure: "Figure", width_cm: float | None, height_cm: float | None, font: str | None) -> Iterator[None]:
    from matplotlib import font_manager
    from matplotlib.text import Text

    if any(each is not None and not 0 < each < 500 for each in (width_cm, height_cm)):
        raise DataError("The size of a chart is above 0 and below 500 cm.", code="options")
    if font is not None and font not in (names := font_manager.get_font_names()):
        hint = near if "?" in (near := nearest(font, names)) else " See matplotlib.font_manager.get_font_names()."
        raise DataError(f"There is no font '{font}' on this machine.{hint}", code="font-missing")
    width, height = map(float, figure.get_size_inches())
    across = width_cm / 2.54 if width_cm else width if height_cm is None else width * height_cm / 2.54 / height
    figure.set_size_inches(across, height_cm / 2.54 if height_cm else height * across / width)
    if font is not None:
        figure.draw_without_rendering()  # this makes the labels of all ticks
    former = [(text, text.get_fontfamily()) for text in figure.findobj(Text)] if font is not None else []
    for text, families in former:
        text.set_fontfamily([str(font), *families])
    try:
        yield
    finally:
        figure.set_size_inches(width, height)
        for text, families in former:
            text.set_fontfamily(families)


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


def import_page_packages() -> None:
    """Import the packages for pages with charts. Use it in ``needs_extra``, to find missing ones before long work."""
    import jinja2  # noqa: F401

    import_matplotlib()


@contextmanager
def _style(name: str, font: str | None = None) -> Iterator[None]:
    with needs_extra("report", "A chart"):
        import_matplotlib()
        from matplotlib import font_manager, rc_context, rcParams, rcParamsDefault

    own = {key: value for key, value in _STYLE.items() if rcParams[key] == rcParamsDefault[key]}
    more = sorted({*_MORE_FONTS} & {*font_manager.get_font_names()}, key=_MORE_FONTS.index)
    families = [*([] if font is None else [font]), *rcParams["font.family"], *more]
    # A fixed salt gives the same bytes for the same chart.
    fixed = {**_FIXED, "font.family": list(dict.fromkeys(families)), "svg.hashsalt": name}
    with rc_context({**own, **fixed}), warnings.catch_warnings():
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


def legend_above(axes: "Axes", columns: int, **style: Any) -> None:
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


def ink_on(colour: Sequence[float]) -> str:
    """Return black or white, whichever contrasts more with an RGB colour in 0..1 (WCAG 2.2, relative luminance)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"
