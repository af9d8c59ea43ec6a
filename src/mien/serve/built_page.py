"""The built browser page: its folder, its model files, and copies of it with other models."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from mien.base.errors import ModelError, RunError
from mien.base.files import write_bytes
from mien.base.model_file import read_manifest
from mien.base.run_folder import SHIPPED, find_model

STATIC: Path = Path(__file__).parent / "static"
"""Folder that ``make web`` builds from web/. The folder is missing in a checkout without a built page."""

MODEL = "model.onnx"
MANIFEST = "model.json"
"""Files of the page's first model and its manifest."""

MODELS = "models.json"
"""File with the names of all models of the page, in their order."""

PAGE_MODEL = "default"
"""Default model of the page; ``mien.load()`` has the same default."""

FAST_MODEL = "fast"
"""Model for slow devices: a third of the size, faster, and less accurate."""


def built_page() -> Path:
    """Return the folder of the built page. Raises :class:`RunError` (``page-not-built``)."""
    if not (STATIC / "index.html").is_file():
        words = f"The browser page is not built: {STATIC} is missing. In a checkout: make web, then install again."
        raise RunError(words, code="page-not-built")
    return STATIC


def copy_page(destination: Path, models: Sequence[Path], *, overwrite: bool = False) -> list[Path]:
    """Copy the built page and models into a folder, as static files for any web host, and return the paths.

    Other files in the folder are kept, except models of an earlier copy. The page starts with the first model and
    offers the others. For the folder of the built page itself, only the models are written.

    Raises ModelError: not a model of mien, or a model of colour images (``page-grey-only``); RunError: the page is not
    built (``page-not-built``), the folder is a file (``out-path``), has a page (``file-exists``), or cannot be written.
    """
    page = built_page()
    of_models = {
        name: content if isinstance(content, bytes) else content.read_bytes()
        for name, content in page_files(models).items()
    }
    if destination.is_file():
        raise RunError(f"{destination} is a file; name a folder for the page.", code="out-path")
    files: dict[str, bytes] = {}
    if destination.resolve() != page.resolve():
        if (destination / "index.html").exists() and not overwrite:
            words = f"{destination} has an index.html already. Choose another folder, or add --overwrite."
            raise RunError(words, code="file-exists")
        files = {str(each.relative_to(page)): each.read_bytes() for each in sorted(page.rglob("*")) if each.is_file()}
    files |= of_models
    for name, data in files.items():
        write_bytes(destination / name, data)
    # Models of an earlier copy: a host would still publish them.
    for name in {each.name for each in destination.glob("model-*.*")} - of_models.keys():
        if re.fullmatch(r"model-\d+\.(onnx|json)", name):
            (destination / name).unlink()
    return [destination / name for name in files]


def page_files(models: Sequence[Path]) -> dict[str, Path | bytes]:
    """Return the page's files by name: models (the second is ``model-2.onnx``), manifests, and the models' list."""
    manifests = [read_manifest(model) for model in models]
    files: dict[str, Path | bytes] = {MODELS: _as_json([manifest.full_name for manifest in manifests])}
    for number, (model, manifest) in enumerate(zip(models, manifests, strict=True), start=1):
        if manifest.input.channels != 1:
            raise ModelError(f"{model} needs colour images; the page supports grey ones only.", code="page-grey-only")
        suffix = "." if number == 1 else f"-{number}."
        files[MODEL.replace(".", suffix)] = model
        files[MANIFEST.replace(".", suffix)] = _as_json(manifest.model_dump(mode="json"))
    return files


def _as_json(content: object) -> bytes:
    return (json.dumps(content, ensure_ascii=False) + "\n").encode()


def service_models(model: Path, guarded: bool) -> list[Path]:
    """Return the models that the service's page, which anyone can open, offers: first its own, then mien's. One for
    colour, or of a service with a token (``guarded``), is not published: then the page starts with
    :data:`PAGE_MODEL`.
    """
    first = find_model(PAGE_MODEL) if guarded or read_manifest(model).input.channels != 1 else model
    return [first, *(each for each in map(find_model, SHIPPED) if each.resolve() != first.resolve())]
