"""``mien doctor``: what is installed here, what is used, and how to add what is missing."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from rich.table import Table

from mien.base.errors import MienError
from mien.cli.options import JsonOption, QuietOption
from mien.cli.output import show, show_json
from mien.faces.find import find_detector, is_built
from mien.inference.find_model import SHIPPED
from mien.inference.predictor import load
from mien.serve.built_page import STATIC
from mien.version import __version__

_SHOWN = 3
"""Missing packages of an extra that the table names; ``--json`` has all."""
_ELSEWHERE = "AzureExecutionProvider"  # sends images to a service; mien never uses it
_CORE = ("numpy", "Pillow", "onnxruntime", "opencv-python-headless", "pydantic", "typer", "rich")


@dataclass(frozen=True)
class Check:
    """One line of the answer.

    Attributes:
        name: what was looked at.
        found: what is there.
        advice: what to do about it; empty where nothing is missing.
    """

    name: str
    found: str
    advice: str = ""


def doctor(json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Show what is installed, which extras work, which model, detector and device are used, and what is missing."""
    parts = {"here": _here(), "extras": _extras(), "models": _models(), "faces": [_detector()], "page": [_page()]}
    if json:
        show_json({name: [vars(each) for each in checks] for name, checks in parts.items()})
        return
    table = Table("", "found", "to add it", box=None, pad_edge=False)
    for name, checks in parts.items():
        for check in checks:
            title = check.name if name != "extras" else f"extra {check.name}"
            table.add_row(title, _shortened(check.found), check.advice)
        table.add_section()
    show(table)


def _shortened(found: str) -> str:
    """For the table: of many missing packages the first ones."""
    first, *others = found.split(", ") if found.startswith("missing: ") else [found]
    if len(others) < _SHOWN:
        return found
    return f"{', '.join([first, *others[: _SHOWN - 1]])} and {len(others) - _SHOWN + 1} more"


def _here() -> list[Check]:
    import onnxruntime  # a fifth of a second, which `mien doctor --help` need not wait for

    packages = ", ".join(f"{name} {version(name)}" for name in _CORE)
    providers = [each for each in onnxruntime.get_available_providers() if each != _ELSEWHERE]
    return [
        Check("mien", f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"),
        Check("core", packages),
        Check("cores", str(os.cpu_count())),
        Check("runs models on", ", ".join(providers)),
        Check("trains on", _training_device()),
    ]


def _training_device() -> str:
    try:
        from mien.training.device import default_device
    except ModuleNotFoundError as error:
        return f"nothing: {error.name} is not installed"
    return default_device()


def _extras() -> list[Check]:
    """Each extra of the package, with the packages of it that are missing."""
    needed: dict[str, list[Requirement]] = {}
    for line in requires("mien") or ():
        requirement = Requirement(line)
        if extra := re.search(r"extra == ['\"]([\w-]+)['\"]", line):
            needed.setdefault(extra.group(1), []).append(requirement)
    return [_extra(name, needed) for name in needed if name not in {"all", "dev"}]


def _extra(name: str, needed: dict[str, list[Requirement]]) -> Check:
    problems = [problem for each in _with_nested(name, needed) if (problem := _problem(each))]
    if not problems:
        return Check(name, "works")
    return Check(name, f"missing: {', '.join(problems)}", f"pip install 'mien[{name}]'")


def _with_nested(name: str, needed: dict[str, list[Requirement]]) -> list[Requirement]:
    """The requirements of an extra; ``mien[train]`` among them stands for those of train."""
    flat = []
    for requirement in needed[name]:
        if requirement.name == "mien":
            flat += [each for extra in requirement.extras for each in _with_nested(extra, needed)]
        else:
            flat.append(requirement)
    return flat


def _problem(requirement: Requirement) -> str:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return requirement.name
    too_old = not requirement.specifier.contains(found, prereleases=True)
    return f"{requirement.name}{requirement.specifier} (found {found})" if too_old else ""


def _models() -> list[Check]:
    checks = []
    for name in SHIPPED:
        try:
            manifest = load(name).manifest
            checks.append(Check(f"model {name}", f"loads; {manifest.parameters:,} parameters, {manifest.precision}"))
        except MienError as error:
            checks.append(Check(f"model {name}", str(error), "install mien again"))
    return checks


def _detector() -> Check:
    name = find_detector().name
    if is_built():
        return Check("face detector", name)
    advice = "make detector, in a checkout with Node 20.19 or newer"
    return Check("face detector", f"{name}; mien's own is not built", advice)


def _page() -> Check:
    if (STATIC / "index.html").is_file():
        return Check("browser page", "built")
    return Check("browser page", "not built", "make web, in a checkout with Node 20.19 or newer")
