"""Rendering of pages: templates as HTML, with images of faces inside."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.base.errors import needs_extra
from mien.page.charts.svg import import_matplotlib

LARGEST_PX = 96
"""Larger faces are scaled down: a page shows hundreds."""


def render(template: str, **values: Any) -> str:
    """Fill a template of the folder ``templates``.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    with needs_extra("report", "The report"):
        from jinja2 import Environment, PackageLoader, StrictUndefined
    # Names come from data and may hold anything: everything is escaped except charts.
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=PackageLoader("mien.page", "templates"),
    )
    return environment.get_template(template).render(**values)


def import_page_packages() -> None:
    """Import what pages with charts need. Inside ``needs_extra`` it names a missing package before long work."""
    import jinja2  # noqa: F401

    import_matplotlib()


def data_address(image: npt.NDArray[np.uint8], largest_px: int = LARGEST_PX) -> str:
    """A PNG of an image, uint8 (H, W) or RGB (H, W, 3), as ``data:image/png;base64,...``; scaled down if larger."""
    picture: Any = Image.fromarray(np.ascontiguousarray(image))
    if max(picture.size) > largest_px:
        picture.thumbnail((largest_px, largest_px))
    if picture.mode == "RGB":
        # A palette of 64 colours is enough for a small face, at a third of the bytes.
        picture = picture.quantize(64)
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
