"""Rendering: templates as HTML with embedded images of faces; texts, figures and tables as LaTeX."""

import base64
import re
from typing import Any

import numpy as np
from PIL import Image

from mien.base.arrays import Pixels
from mien.base.errors import needs_extra
from mien.base.images import encoded
from mien.page.wording import interval, shown

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


def table_environment(tabular: str, caption: str, label: str, letters: int) -> str:
    """Return a ``table`` with a caption above its ``tabular``, printed smaller the more letters its rows have.

    One of more than 84 letters, three for a gap, is scaled to the width of the text, by the package graphicx.
    """
    if letters > 84:
        tabular = f"\\resizebox{{\\linewidth}}{{!}}{{%\n{tabular}}}\n"
    size = "\\footnotesize\n" if letters > 76 else "\\small\n" if letters > 66 else ""
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
