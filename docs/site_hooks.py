"""What the site does with links that leave docs/: they name a file of the repository, which the site does not hold."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)#]*)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to files beside docs/ become their names in code."""
    if page.file.src_uri.count("/"):
        return markdown
    return _OUTSIDE.sub(lambda link: f"{link[1]} (`{link[2]}`)", markdown)
