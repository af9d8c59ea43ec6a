"""How values and texts are written in a terminal, on pages and in files: formats, templates, images, LaTeX."""

import base64
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from mien.base.arrays import Pixels
from mien.base.errors import needs_extra
from mien.base.images import encoded

# Importing this at run time would double the imports of `mien predict`.
if TYPE_CHECKING:
    from mien.base.recipe_tables import StoppingRecipe
    from mien.evaluation.results import Estimate, MetricInfo

Format: TypeAlias = Literal["text", "count", "percent", "points", "decimal", "signed", "fixed", "p", "number"]
UNDEFINED = "–"
"""Text for an undefined metric, such as the recall of a class without samples."""


def percent(fraction: float, digits: int = 1) -> str:
    """Format a fraction: 0.715 -> ``"71.5%"``; NaN -> a dash."""
    return UNDEFINED if math.isnan(fraction) else f"{100 * fraction:.{digits}f}%"


_FORMATTERS: dict[Format, Callable[[Any], str]] = {
    "text": str,
    "count": lambda value: f"{value:,}",
    "percent": percent,
    "points": lambda value: f"{round(100 * value, 1) + 0.0:+.1f}",  # no -0.0
    "decimal": lambda value: f"{value:.3f}",
    "signed": lambda value: f"{round(value, 3) + 0.0:+.3f}",
    "fixed": lambda value: f"{value:.2f}",
    "p": lambda value: "< 0.001" if value < 0.001 else f"{value:.3f}",
    "number": lambda value: f"{value:.4g}" if isinstance(value, float) else str(value),
}


class Cell(NamedTuple):
    """A value with a format of its own, in a column whose rows are different metrics."""

    value: Any
    format: Format


def shown(value: Any, form: Format = "decimal") -> str:
    """Format a value, or an estimate without its interval; None and NaN are a dash.

    A spread is its mean with the standard deviation, ``"61.2 ± 0.4%"``; one run is ``"61.2%"``.
    """
    value, form = value if isinstance(value, Cell) else (value, form)
    if hasattr(value, "deviation"):
        mean, deviation = shown(value.mean, form), shown(value.deviation, form)
        return mean if UNDEFINED in {mean, deviation} else f"{mean.removesuffix('%')} ± {deviation}"
    value = getattr(value, "value", value)
    return UNDEFINED if value is None or (isinstance(value, float) and math.isnan(value)) else _FORMATTERS[form](value)


def interval(value: Any, form: Format = "decimal") -> str:
    """Format the interval of an estimate: ``"70.1–73.0%"``, ``"-2.0 to +1.0"``; ``""`` if there is none."""
    value, form = value if isinstance(value, Cell) else (value, form)
    if not hasattr(value, "low") or math.isnan(value.low) or math.isnan(value.high):
        return ""
    low, high = shown(value.low, form).removesuffix("%"), shown(value.high, form)
    return f"{low} to {high}" if form in {"points", "signed"} else f"{low}–{high}"


def with_interval(value: Any, form: Format = "decimal") -> str:
    """Format a value and its interval, if there is one: ``"71.0% [69.5–72.5%]"``."""
    around = interval(value, form)
    return f"{shown(value, form)} [{around}]" if around else shown(value, form)


def share_text(share: "Estimate") -> str:
    """Format a fraction with its interval, if there is one, in percent: ``71.0% [69.5–72.5%]``."""
    return with_interval(share, "percent")


def metric_format(metric: "MetricInfo") -> Format:
    """Return the format of a metric's values."""
    return "percent" if metric.percent else "decimal"


def p_text(p_value: float) -> str:
    """Format a p-value with "p": 0.0123 -> ``"p = 0.012"``, 0.00001 -> ``"p < 0.001"``."""
    text = shown(p_value, "p")
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def counted(number: int, noun: str) -> str:
    """Format a number of things: ``"1 face"``, ``"1,234 faces"``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration_text(seconds: float, *, units: bool = False) -> str:
    """Format a duration as ``m:ss`` or ``h:mm:ss``, or with units.

    >>> duration_text(75.4), duration_text(3600), duration_text(75.4, units=True), duration_text(3600, units=True)
    ('1:15', '1:00:00', '1 min 15 s', '1 h 0 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if units:
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def kept_epoch_text(epoch: int, epochs: int, stopping: "StoppingRecipe") -> str:
    """Say which epoch is kept and why: ``"9, the last of 9"``, ``"7, the best of 24 by validation loss"``."""
    if stopping.keep == "last":
        return f"{epoch}, the last of {epochs}"
    return f"{epoch}, the best of {epochs} by validation {stopping.metric.replace('_', '-')}"


def initial(text: str) -> str:
    """Return a text with a capital first letter: ``"macro-F1"`` -> ``"Macro-F1"``."""
    return text[:1].upper() + text[1:]


MAX_PX = 96
"""Largest side of a face in pixels. Larger faces are reduced, because a page shows hundreds."""


def render(template: str, **values: Any) -> str:
    """Fill in a template from the folder ``templates``. Raises MissingExtraError without jinja2."""
    with needs_extra("report", "The report"):
        from jinja2 import Environment, PackageLoader, StrictUndefined
    # Names come from data and may contain any text, so everything except charts is escaped.
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=PackageLoader("mien.page", "templates"),
    )
    return environment.get_template(template).render(shown=shown, interval=interval, **values)


def data_address(image: Pixels, largest_px: int = MAX_PX) -> str:
    """Encode an image, uint8 (H, W) or RGB (H, W, 3), as a PNG ``data:`` address; large images are reduced."""
    picture: Any = Image.fromarray(np.ascontiguousarray(image))
    if max(picture.size) > largest_px:
        picture.thumbnail((largest_px, largest_px))
    if picture.mode == "RGB":
        # 64 colours are enough for a small face, and take a third of the bytes.
        picture = picture.quantize(64)
    return "data:image/png;base64," + base64.b64encode(encoded(picture, optimize=True)).decode("ascii")


_ESCAPES = str.maketrans(
    {each: f"\\{each}" for each in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "±": r"$\pm$"}
    | {"×": r"$\times$", "…": r"\dots{}"}
    | {each: f"${each}$" for each in "<>|"}
)
"""Replacements of characters with a special meaning in LaTeX, and of some that its fonts lack."""


def escape(text: str) -> str:
    """Escape a text for LaTeX, with a proper minus sign before numbers."""
    return re.sub(r"(?<![\w\-])-(?=\.?\d)", "$-$", text.translate(_ESCAPES))


def figure_environment(file: str, caption: str, label: str) -> str:
    """Return a ``figure`` that includes a file, named without its suffix."""
    return _floating("figure", f"\\includegraphics{{{file}}}\n", caption, label, below=True)


MAX_LETTERS, _NAME_LETTERS = 84, 20
"""How many small letters a line of a page has, with three for a gap between two columns; and a name in a long row."""


def two_lines(value: Any, form: Format) -> tuple[str, str]:
    """Return a value as LaTeX, and what is below it in a long row: its interval, or the second half of a long name."""
    text, below = shown(value, form), interval(value, form).removesuffix("%")
    cuts = [match.end() for match in re.finditer("[-_/ ]", text)] if len(text) > _NAME_LETTERS else []
    cut = min(cuts, key=lambda at: abs(2 * at - len(text)), default=len(text))
    return escape(text[:cut]), f"\\scriptsize {escape(below)}" if below else escape(text[cut:])


def table_environment(tabular: str, caption: str, label: str, letters: int) -> str:
    """Return a ``table`` with a caption above its ``tabular``, printed smaller the more letters its rows have.

    One of more than :data:`MAX_LETTERS` has narrow gaps. If it is still too wide, the package graphicx scales it.
    """
    size = "\\footnotesize\n" if letters > 76 else "\\small\n" if letters > 66 else ""
    if letters > MAX_LETTERS:
        size = "\\footnotesize\\setlength{\\tabcolsep}{3pt}\n"
        tabular = f"\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n{tabular}}}\n"
    return _floating("table", f"\\smallskip\n{size}{tabular}", caption, label, below=False)


def _floating(kind: str, body: str, caption: str, label: str, *, below: bool) -> str:
    about = f"\\caption{{{escape(caption)}}}\n\\label{{{label}}}\n"
    parts = (body, about) if below else (about, body)
    return f"\\begin{{{kind}}}\n\\centering\n{''.join(parts)}\\end{{{kind}}}\n"


def slug(name: str) -> str:
    """Return a name for labels: letters, digits and hyphens.

    >>> slug("runs/My run: validation")
    'runs-my-run-validation'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
