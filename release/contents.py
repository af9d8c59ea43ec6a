"""What mien consists of besides its own code: the Python packages that it runs on, and what the page and detector hold.

Read by sbom.py and licences.py. Versions are those of the environment that `make` installs from constraints.txt.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, PackageMetadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]

CORE = "core"
"""Stands for "no extra" among the names of extras."""

NOT_OF_USERS = ("all", "dev")
"""Extras whose packages are all in another extra, or are for developers only."""

BUNDLED = {
    "onnxruntime-web": "runs the model in the page",
    "@vladmandic/face-api": "weights of the face detector",
    "xz-decompress": "unpacks onnxruntime in the page",
}
"""npm packages of which something is in the page or the detector. All others only build and test it."""

FACENET = ("facenet-pytorch", "2.6.0")
"""The PyPI package from whose weights the detector's check is made (web/scripts/make_face_check.py)."""


@dataclass(frozen=True)
class Package:
    """A Python package that is installed beside mien.

    Attributes:
        name: canonical name.
        version: the one that is installed here.
        licence: what its metadata says, an SPDX expression where it has one.
        extras: the extras of mien that need it, sorted, without those that bring all that
            another brings; :data:`CORE` alone where mien itself needs it.
        needs: canonical names of the packages that it needs in turn.
    """

    name: str
    version: str
    licence: str
    extras: tuple[str, ...]
    needs: tuple[str, ...]


def python_packages() -> list[Package]:
    """Each package that mien or one of its extras needs, by name.

    Raises:
        SystemExit: one of them is not installed here.
    """
    mien = _distribution("mien").metadata
    extras = [CORE, *(name for name in mien.get_all("Provides-Extra") or () if name not in NOT_OF_USERS)]
    wanted_by: dict[str, set[str]] = {}
    brings = {extra: _closure(extra) for extra in extras}
    for extra, names in brings.items():
        for name in names:
            wanted_by.setdefault(name, set()).add(extra)
    return [
        _package(name, {extra for extra in by if not any(brings[other] < brings[extra] for other in by)})
        for name, by in sorted(wanted_by.items())
    ]


def page_packages() -> dict[str, dict[str, str]]:
    """The entries of package-lock.json (``version``, ``integrity``, ``license``) of the :data:`BUNDLED` packages."""
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text(encoding="utf-8"))
    return {name: lock["packages"][f"node_modules/{name}"] for name in BUNDLED}


def licence(metadata: PackageMetadata) -> str:
    """The licence that a package's metadata names: its SPDX expression, else its classifiers, else its first line."""
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = metadata.get_all("Classifier") or []
    named = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License ::")]
    short = (metadata.get("License") or "").strip().split("\n")[0]
    return ", ".join(named) or short or "not stated"


def _package(name: str, extras: set[str]) -> Package:
    found = _distribution(name)
    needs = {needed for needed, _ in _requirements(name, frozenset())}
    return Package(name, found.version, licence(found.metadata), tuple(sorted(extras)), tuple(sorted(needs)))


def _closure(extra: str) -> set[str]:
    """The packages that mien with an extra needs, and all that those need."""
    pending = [("mien", frozenset({extra}))]
    seen = set(pending)
    while pending:
        new = [each for each in _requirements(*pending.pop()) if each not in seen]
        seen.update(new)
        pending += new
    return {name for name, _ in seen} - {"mien"}


@cache
def _requirements(name: str, extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """What a package with some extras needs here: each name, with the extras that are asked of it."""
    requirements = [Requirement(line) for line in _distribution(name).requires or ()]
    return [
        (canonicalize_name(each.name), frozenset(each.extras))
        for each in requirements
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


@cache
def _distribution(name: str) -> Distribution:
    # timm lies in a folder of its own: see the Makefile.
    found = next(iter(Distribution.discover(name=name, path=[*sys.path, f"{sys.prefix}/timm"])), None)
    if found is None:
        sys.exit(f"{name} is not installed here. Run: make .venv/.dev")
    return found
