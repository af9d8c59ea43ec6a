"""Steps of a build of the package beyond copying files: the browser page, and the README as a package index shows it.

A wheel or an sdist holds the page. It is taken as `make web` built it; where it is missing, it is built by the same
make rule (make, Node and the network are needed). Without those, the build goes on without it and says so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

REPOSITORY = "MIEN_REPOSITORY"
"""Environment variable: the address of the repository, https://HOST/OWNER/NAME, to which links in the metadata lead."""

BUILT = "src/mien/serve/static/index.html"
TOOLS = ("make", "node", "npm")

WITHOUT = (
    "This package has no browser page: {why}. Everything else works. To have it, install make and Node 20.19 or newer, "
    "run `make web` in the checkout, then build or install again."
)


class PageHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds the page where it is missing."""

    def dependencies(self) -> list[str]:
        """List the packages that `make web` imports; nothing where it need not or cannot run."""
        if self._built() or self._missing_tools():
            return []
        return self.metadata.core.dependencies

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what is missing. An editable install sees what is built later, so it is left as it is."""
        del build_data
        if version == "editable" or self._built():
            return
        missing = self._missing_tools()
        why = f"{', '.join(missing)} not found" if missing else self._make()
        if why:
            self.app.display_warning(WITHOUT.format(why=why))

    def _built(self) -> bool:
        return (Path(self.root) / BUILT).is_file()

    def _missing_tools(self) -> list[str]:
        return [name for name in TOOLS if not shutil.which(name)]

    def _make(self) -> str:
        """Why `make web` failed; empty where it did not."""
        # The packages that make would install into .venv are in this build's own environment.
        command = ["make", "web", "--old-file=.venv/.core", f"PY={sys.executable}"]
        self.app.display_info("Building the browser page: " + " ".join(command))
        done = subprocess.run(command, cwd=self.root, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode == 0 and self._built():
            return ""
        last = [line for line in done.stderr.splitlines() if line.strip()][-3:]
        return "`make web` failed: " + " | ".join(last)


class ReadmeHook(MetadataHookInterface):
    """Gives the metadata a README whose links work outside of the repository, and the project's addresses."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set ``readme`` and ``urls``. Without :data:`REPOSITORY` no address is known, and links become plain text."""
        repository = os.environ.get(REPOSITORY, "").rstrip("/")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        tree = f"{repository}/blob/v{metadata['version']}/" if repository else ""
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute_links(text, tree)}
        metadata["urls"] = addresses(repository, tree)


def addresses(repository: str, tree: str) -> dict[str, str]:
    """The project's addresses by their labels; none without a repository."""
    if not repository:
        return {}
    return {
        "Source": repository,
        "Documentation": f"{tree}docs/index.md",
        "Issues": f"{repository}/issues",
        "Changelog": f"{tree}CHANGELOG.md",
    }


def absolute_links(text: str, tree: str) -> str:
    """Markdown with links to files of the repository made absolute.

    Args:
        text: Markdown with links relative to the repository's root.
        tree: the address of that root, with ``/blob/`` in it, ending in a slash. If empty, links become their text and
            images are dropped.

    >>> absolute_links("[a](docs/a.md#b) ![c](c.png) [d](https://d) [e](#e)", "https://h/o/n/blob/v1/")
    '[a](https://h/o/n/blob/v1/docs/a.md#b) ![c](https://h/o/n/raw/v1/c.png) [d](https://d) [e](#e)'
    >>> absolute_links("[a](docs/a.md#b) ![c](c.png) [d](https://d) [e](#e)", "")
    'a  [d](https://d) [e](#e)'
    """
    raw = tree.replace("/blob/", "/raw/")

    def link(match: re.Match[str]) -> str:
        mark, words, target = match.groups()
        if "://" in target or target.startswith("#"):
            return match[0]
        if not tree:
            return "" if mark else words
        return f"{mark}[{words}]({raw if mark else tree}{target})"

    def image(match: re.Match[str]) -> str:
        return f'{match[1]}src="{raw}{match[2]}"' if tree else ""

    text = re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", link, text)
    # An HTML image: the whole tag goes where there is no address to give it.
    return re.sub(r'(<img )src="(?!https?:)([^"]+)"', image, text) if tree else re.sub(r"<img [^>]*>\n?", "", text)
