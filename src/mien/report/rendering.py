"""Templates become pages."""

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
    # Names come from data and may hold anything: all is escaped but our own drawings.
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_keep_together,
        loader=PackageLoader("mien.report", "templates"),
    )
    return environment.get_template(template).render(**values)


_READ_AS_ONE = re.compile(r"(?<=\d) (?=%)|(?<=±) (?=\d)|(?<=\(\d) (?=\w+\))")
"""The space of ``61 %``, of ``± 0.3`` and of ``(7 classes)``."""


def _keep_together(value: Any) -> Any:
    """Let no line end within what is read as one; leave what is not text as it is."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return _READ_AS_ONE.sub("\N{NO-BREAK SPACE}", value) if is_text else value
