"""``mien doctor``: show what is installed and used, and how to add what is missing."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from itertools import chain

from packaging.requirements import Requirement

from mien.base.errors import MienError
from mien.base.processes import available_cores
from mien.base.progress import track
from mien.cli.output import show_rows
from mien.faces.find import find_detector
from mien.inference.find_model import SHIPPED
from mien.inference.predictor import load
from mien.page.wording import counted
from mien.serve.built_page import STATIC
from mien.version import __version__

_CORE = ("numpy", "Pillow", "pydantic", "typer", "rich")

Check = tuple[str, str, str]
"""One row of the table: the subject, what is installed, and how to add what is missing (else empty)."""


def doctor(*, json: bool = False) -> None:
    """Show what is installed, which extras work, which model, detector and device are used, and what is missing."""
    checks = track(chain(_here(), _extras(), _models(), _faces_and_page()), None, "checking", "parts")
    show_rows([dict(zip(("name", "found", "to_add_it"), each, strict=True)) for each in checks], json)


def _here() -> Iterator[Check]:
    # Importing this takes a fifth of a second, which `mien doctor --help` should not need.
    import onnxruntime

    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield "mien", f"{__version__}, {system}, {counted(available_cores(), 'core')}", ""
    # Another package may provide onnxruntime, such as onnxruntime-gpu (docs/predict.md).
    runtime = f"onnxruntime {onnxruntime.__version__}"
    yield "core", ", ".join([*(f"{name} {version(name)}" for name in _CORE), runtime]), ""
    providers = set(onnxruntime.get_available_providers()) - {"AzureExecutionProvider"}  # it sends images to a server
    yield "runs models on", ", ".join(sorted(providers)), ""
    try:
        from mien.training.device import default_device

        yield "trains on", default_device(), ""
    except ModuleNotFoundError as error:
        yield "trains on", f"nothing: {error.name} is not installed", ""


def _extras() -> Iterator[Check]:
    """Yield each extra of the package, with its missing packages."""
    for name in sorted({*metadata("mien").get_all("Provides-Extra", ())} - {"all", "test", "dev"}):
        missing = [problem for each in _packages_of(name) if (problem := _problem(each))]
        advice = f"pip install 'mien[{name}]'" if missing else ""
        yield f"extra {name}", f"missing: {', '.join(missing)}" if missing else "works", advice


def _packages_of(name: str) -> Iterator[Requirement]:
    """Yield the packages that an extra requires; ``mien[train]`` in it is replaced by the requirements of train."""
    for each in map(Requirement, requires("mien") or ()):
        if each.marker is not None and each.marker.evaluate({"extra": name}):
            nested = [_packages_of(extra) for extra in each.extras] if each.name == "mien" else [[each]]
            yield from chain.from_iterable(nested)


def _problem(requirement: Requirement) -> str:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return requirement.name
    too_old = not requirement.specifier.contains(found, prereleases=True)
    return f"{requirement.name}{requirement.specifier} (found {found})" if too_old else ""


def _models() -> Iterator[Check]:
    for name in SHIPPED:
        try:
            manifest = load(name).manifest
            yield f"model {name}", f"loads; {manifest.parameters:,} parameters, {manifest.precision}", ""
        except MienError as error:
            yield f"model {name}", str(error), "install mien again"


def _faces_and_page() -> Iterator[Check]:
    try:
        yield "face detector", find_detector().name, ""
    except MienError as error:
        yield "face detector", str(error), "install mien again"
    if (STATIC / "index.html").is_file():
        yield "browser page", "built", ""
    else:
        yield "browser page", "not built", "make web, in a checkout with Node 20.19 or newer"
