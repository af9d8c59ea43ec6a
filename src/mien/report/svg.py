"""Drawings as SVG that stands inside a page, and as files for a paper: no pyplot, the same input the same bytes."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mien.errors import needs_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES = 4.2
"""As wide as a phone (4.2 inches are 403 CSS pixels), so that letters stay readable there."""

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Okabe & Ito (2008): told apart with any colour vision, on white and on black."""

INK = "#010203"
"""A colour that nothing else uses: it becomes ``currentColor``, which follows the page's light or dark scheme."""

LONGEST_NAME = 20
"""Longer names are shortened in figures; the tables have them whole."""

_PAPER_INK = "#16181d"
"""What becomes of INK in a file, which has no scheme to follow."""

_STYLE: Any = {
    "svg.fonttype": "none",  # letters as text: small, selectable, in the page's own font
    "text.usetex": False,
    "text.parse_math": False,  # a dollar sign in a class name is a dollar sign
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


_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


@dataclass(frozen=True, eq=False)
class Drawing:
    """One figure, drawn.

    Attributes:
        name: told apart from every other drawing's in the page; also the name of its files.
        svg: an ``<svg>`` element to stand inside a page, in the page's own colours.
    """

    name: str
    svg: str = field(repr=False)
    _figure: Figure = field(repr=False)
    _text: str = field(repr=False)

    def __html__(self) -> str:
        """What jinja puts into a page, without escaping."""
        return self.svg

    def _repr_svg_(self) -> str:
        """What a notebook shows: dark on white, because not every one of them says what its own colours are."""
        text = self.svg_file().decode("utf-8")
        return text[text.index("<svg") :]

    def svg_file(self) -> bytes:
        """A whole SVG file: dark letters on white."""
        return self._text.replace(INK, _PAPER_INK).encode("utf-8")

    def png_file(self, dots_per_inch: int = 200) -> bytes:
        """A PNG file: dark letters on white."""
        stream = io.BytesIO()
        with _style(self.name):
            # The layout was settled when the SVG was written; doing it again takes as long as the drawing.
            self._figure.set_layout_engine("none")
            self._figure.savefig(
                stream, format="png", dpi=dots_per_inch, facecolor="white", metadata={"Software": None}
            )
        return stream.getvalue()


def draw(
    name: str, paint: Callable[[Axes], None], *, height_inches: float, width_inches: float = WIDTH_INCHES
) -> Drawing:
    """Draw what ``paint`` draws on one pair of axes.

    Args:
        name: told apart from every other drawing's in the page; the element's ids begin with it.
        paint: draws on the axes that it is given.
        height_inches: height at natural size.
        width_inches: width at natural size.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    stream = io.StringIO()
    with _style(name):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
        paint(figure.subplots())
        figure.savefig(stream, format="svg", transparent=True, metadata=_NO_METADATA, dpi=150)
    whole = stream.getvalue()
    text = whole[whole.index("<svg") :].strip().replace(INK, "currentColor")
    # The page scales a drawing to the room there is, and needs to know how wide it is meant to be (CSS: 96 px an inch).
    text = re.sub(r'\bwidth="[^"]*"', f'style="--natural-width: {96 * width_inches:.0f}px"', text, count=1)
    # matplotlib counts ids from 1 in every figure; in one page they must differ.
    text = re.sub(r'(<[^>]*?\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    return Drawing(name, text, figure, _on_white(whole))


@contextmanager
def _style(name: str) -> Iterator[None]:
    with needs_extra("report", "The report"):
        import matplotlib
    # A fixed salt: the same figure, the same bytes.
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # A class name in a script that matplotlib's font lacks: the browser has a font for it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _on_white(svg: str) -> str:
    """Lay a white ground under a transparent SVG file: its letters would be unreadable on black."""
    head = re.search(r"<svg[^>]*>", svg)
    assert head is not None
    return f'{svg[: head.end()]}\n <rect width="100%" height="100%" fill="#ffffff"/>{svg[head.end() :]}'


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """A name that leaves room for the figure: of a longer one the beginning and the end, which tell names apart.

    >>> short("surprise"), short("an expression of great surprise", 12)
    ('surprise', 'an expr…rise')
    """
    # matplotlib leaves what begins with an underscore out of legends.
    name = f" {name}" if name.startswith("_") else name
    return name if len(name) <= longest else f"{name[: longest - 1 - longest // 3]}…{name[-(longest // 3) :]}"


def legend_above(axes: Axes, columns: int, **style: Any) -> None:
    """A legend above the axes, in as many columns as its longest label leaves room for, at most ``columns``."""
    labels = axes.get_legend_handles_labels()[1]
    if labels:
        axes.legend(
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=_fitting(labels, columns),
            **{"handlelength": 1.6, "columnspacing": 1.2, **style},
        )


def legend_inches(labels: Sequence[str], columns: int) -> float:
    """What :func:`legend_above` takes of the height."""
    return 0.16 * -(-len(labels) // _fitting(labels, columns))


def _fitting(labels: Sequence[str], columns: int) -> int:
    # A line of WIDTH_INCHES holds about 60 letters; beside each label stands its sign, as wide as five.
    return max(1, min(columns, 60 // (max(map(len, labels), default=0) + 5)))


def readable_on(colour: Sequence[float]) -> str:
    """Black or white, whichever has more contrast on an RGB colour in 0..1 (WCAG 2.2, relative luminance)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"
