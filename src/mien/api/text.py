"""Results as plain text and as HTML for notebooks."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from mien.evaluation.results import Evaluation
from mien.page.blocks import Column, Table


def metrics_table(evaluation: Evaluation) -> Table:
    """Headline metrics with intervals, as a table that a notebook shows."""
    rows = [(name.replace("_", " "), estimate) for name, estimate in evaluation.headline.items()]
    return Table("metrics", (Column("metric", "text"), Column("value")), rows)


def as_text(renderable: Any) -> str:
    """What rich would print, as plain text of at most 100 columns."""
    stream = io.StringIO()
    Console(file=stream, width=100, color_system=None).print(renderable)
    return stream.getvalue()


def as_html(renderable: Any) -> str:
    """What rich would print, as HTML for a notebook."""
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(renderable)
    return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")
