"""Drawings as SVG text to stand inside a page: no file, no script, no pyplot, the same input the same text."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mien.errors import needs_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES = 4.2
"""As wide as a phone (4.2 inches are 403 CSS pixels), so that letters stay readable there."""

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Okabe & Ito (2008): told apart with any colour vision, on white and on black."""

INK = "#010203"
"""A colour that nothing else uses: it becomes ``currentColor``, which follows the page's light or dark scheme."""

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


def draw(name: str, paint: Callable[[Axes], None], *, height_inches: float, width_inches: float = WIDTH_INCHES) -> str:
    """Return what ``paint`` draws on one pair of axes as an ``<svg>`` element.

    Args:
        name: told apart from every other drawing's in the page; the element's ids begin with it.
        paint: draws on the axes that it is given.
        height_inches: height at natural size.
        width_inches: width at natural size.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    with needs_extra("report", "The report"):
        import matplotlib
        from matplotlib.figure import Figure
    stream = io.StringIO()
    # A fixed salt and no metadata: the same figure, the same bytes.
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # A class name in a script that matplotlib's font lacks: the browser has a font for it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
        paint(figure.subplots())
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    text = stream.getvalue()
    text = text[text.index("<svg") :].strip().replace(INK, "currentColor")
    # The page scales a drawing to the room there is, and needs to know how wide it is meant to be (CSS: 96 px an inch).
    text = re.sub(r'\bwidth="[^"]*"', f'style="--natural-width: {96 * width_inches:.0f}px"', text, count=1)
    # matplotlib counts ids from 1 in every figure; in one page they must differ.
    return re.sub(r'(<[^>]*?\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)


def readable_on(colour: Sequence[float]) -> str:
    """Black or white, whichever has more contrast on an RGB colour in 0..1 (WCAG 2.2, relative luminance)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"
