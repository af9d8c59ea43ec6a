"""Hooks of the site for links that leave docs/, and its search."""

from __future__ import annotations

import re
from typing import Any

SOUGHT = ("training.md", "extend.md", "explain.md", "evaluation.md", "data.md")
"""Pages that the search puts first."""

UNSOUGHT = ("predictions.md", "cli.md", "lab-notebook.md")
"""Pages that repeat everybody's words. The search leaves the first out and puts the others last."""


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to files beside docs/, which the site does not hold, become their names in code."""
    name = page.file.src_uri
    if name in SOUGHT:
        page.meta["search"] = {"boost": 4}
    elif name in UNSOUGHT:
        page.meta["search"] = {"exclude": True} if name == UNSOUGHT[0] else {"boost": 0.25}
    up = page.file.src_uri.count("/") + 1
    outside = rf"\[([^\]]+)\]\((?:\.\./){{{up}}}(?!\.)([^)#]*)(?:#[^)]*)?\)"
    return re.sub(outside, lambda link: f"{link[1]} (`{link[2]}`)", markdown)
