"""Templates become pages."""

from __future__ import annotations

from typing import Any

from mien.errors import needs_extra


def render(template: str, **values: Any) -> str:
    """Fill a template of the folder ``templates``.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    with needs_extra("report", "The report"):
        from jinja2 import Environment, PackageLoader, StrictUndefined
    # Names come from data and may hold anything: all is escaped but our own drawings.
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=PackageLoader("mien.report", "templates"),
    )
    return environment.get_template(template).render(**values)
