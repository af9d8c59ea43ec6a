"""Templates rendered as HTML."""

from __future__ import annotations

import re
from typing import Any

from mien.errors import needs_extra


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
        finalize=_keep_together,
        loader=PackageLoader("mien.page", "templates"),
    )
    return environment.get_template(template).render(**values)


_UNBREAKABLE = re.compile(r"(?<=±) (?=\d)|(?<=\(\d) (?=\w+\))|(?<=\d) (?=s\b)")
"""The space of ``± 0.3``, of ``(7 classes)`` and of ``2.9 s``."""


def _keep_together(value: Any) -> Any:
    """Replace spaces at which no line may end; values that are not text stay as they are."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return _UNBREAKABLE.sub("\N{NO-BREAK SPACE}", value) if is_text else value


def import_page_packages() -> None:
    """Import what pages with charts need. Inside ``needs_extra`` it names a missing package before long work."""
    import jinja2  # noqa: F401
    import matplotlib  # noqa: F401
