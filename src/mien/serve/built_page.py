"""The built browser page: its folder, what it reads of a model, and copies of it with chosen models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mien.base.errors import ModelError, RunError, arg
from mien.base.files import write_bytes
from mien.base.model_file import read_manifest
from mien.inference.find_model import SHIPPED, find_model

STATIC: Path = Path(__file__).parent / "static"
"""Folder that ``make web`` builds from web/. In a checkout where it was not built, the folder is missing."""

MODEL = "model.onnx"
MANIFEST = "model.json"
"""Files of the page: the model and its manifest."""

MODELS = "models.json"
"""File of the page: the names of all models that it offers, the one above first."""

PAGE_MODEL = "default"
"""The page's model, unless one is chosen: the file that ``mien.load()`` takes."""

FAST_MODEL = "fast"
"""The page offers this one to slow devices: a third of the size, faster, and less often right."""


def built_page() -> Path:
    """The folder of the built page. Raises :class:`RunError` (``page-not-built``)."""
    if not (STATIC / "index.html").is_file():
        raise RunError(
            f"The browser page is not built: {STATIC} is missing. In a checkout: make web (needs Node 20.19+); "
            "then install mien again, unless it was installed with -e.",
            code="page-not-built",
        )
    return STATIC


def copy_page(destination: Path, models: Sequence[Path], *, overwrite: bool = False) -> list[Path]:
    """Copy the built page and models into a folder, as static files for any web host.

    If it is the folder of the built page itself, only the models are written.

    Args:
        destination: the folder. Its other files are kept.
        models: ``.onnx`` files that mien exported. The page starts with the first and offers the others.
        overwrite: replace a page that is there.

    Returns:
        The files that were written.

    Raises:
        ModelError: not a model of mien, or one of images in colour (``page-grey-only``).
        RunError: the page is not built (``page-not-built``), the folder is a file (``folder-is-file``) or has a page
            (``file-exists``), or the file system refused.
    """
    page = built_page()
    of_models = {
        name: content if isinstance(content, bytes) else content.read_bytes()
        for name, content in page_files(models).items()
    }
    if destination.is_file():
        raise RunError(f"{destination} is a file; name a folder for the page.", code="folder-is-file")
    files: dict[str, bytes] = {}
    if destination.resolve() != page.resolve():
        if (destination / "index.html").exists() and not overwrite:
            raise RunError(
                f"{destination} has an index.html already. Choose another folder, or replace it with "
                f"{arg('overwrite', True)}.",
                code="file-exists",
            )
        files = {str(each.relative_to(page)): each.read_bytes() for each in sorted(page.rglob("*")) if each.is_file()}
    files |= of_models
    for name, data in files.items():
        write_bytes(destination / name, data)
    return [destination / name for name in files]


def page_files(models: Sequence[Path]) -> dict[str, Path | bytes]:
    """The page's files of some models by name: each model's file, its manifest, and the list of all.

    The files of the second model are ``model-2.onnx`` and ``model-2.json``. Raises :class:`ModelError`.
    """
    manifests = [read_manifest(model) for model in models]
    for model, manifest in zip(models, manifests, strict=True):
        if manifest.input.channels != 1:
            raise ModelError(
                f"{model} sees images in colour; the browser page works with grey models alone.", code="page-grey-only"
            )
    files: dict[str, Path | bytes] = {MODELS: _as_json([manifest.full_name for manifest in manifests])}
    for number, (model, manifest) in enumerate(zip(models, manifests, strict=True), start=1):
        suffix = "." if number == 1 else f"-{number}."
        files[MODEL.replace(".", suffix)] = model
        files[MANIFEST.replace(".", suffix)] = _as_json(manifest.model_dump(mode="json"))
    return files


def _as_json(content: object) -> bytes:
    return (json.dumps(content, ensure_ascii=False) + "\n").encode()


def service_models(model: Path, guarded: bool) -> list[Path]:
    """The model files that the page of a service offers: the service's own to start with, and those of mien.

    The page is open to all, so where the service asks for a token (``guarded``), its own model is not given away, and
    the page starts with :data:`PAGE_MODEL`; and so it does where the service's model sees images in colour.
    """
    first = find_model(PAGE_MODEL) if guarded or read_manifest(model).input.channels != 1 else model
    return [first, *(each for each in map(find_model, SHIPPED) if each.resolve() != first.resolve())]
