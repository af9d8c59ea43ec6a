"""Rendering of templates as HTML with embedded images of faces."""

import base64
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.base.errors import needs_extra
from mien.base.images import encoded
from mien.page.chart import import_matplotlib
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


def import_page_packages() -> None:
    """Import the packages for pages with charts. Use it in ``needs_extra``, to find missing ones before long work."""
    import jinja2  # noqa: F401

    import_matplotlib()


def data_address(image: npt.NDArray[np.uint8], largest_px: int = MAX_PX) -> str:
    """Encode an image, uint8 (H, W) or RGB (H, W, 3), as a PNG ``data:`` address; large images are reduced."""
    picture: Any = Image.fromarray(np.ascontiguousarray(image))
    if max(picture.size) > largest_px:
        picture.thumbnail((largest_px, largest_px))
    if picture.mode == "RGB":
        # 64 colours are enough for a small face, and take a third of the bytes.
        picture = picture.quantize(64)
    return "data:image/png;base64," + base64.b64encode(encoded(picture, optimize=True)).decode("ascii")
