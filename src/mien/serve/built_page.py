"""The browser page: where the built one is, and copies of it with a model of one's choice."""

from __future__ import annotations

import json
from pathlib import Path

from mien.artifact import read_manifest
from mien.errors import RunError
from mien.files import write_bytes
from mien.inference.locate import find_model
from mien.run_folder import RunFolder

STATIC = Path(__file__).parent / "static"
"""What ``make web`` builds from web/; in a checkout without it there is no such folder."""

MODEL = "model.onnx"
MANIFEST = "model.json"
"""The page reads the model from the first, and the same manifest as in its metadata from the second."""

PAGE_MODEL = "fast-int8"
"""What the page reads with unless told otherwise: a quarter of the size, and on a CPU without a GPU's help fastest."""


def built_page() -> Path:
    """The folder of the built page. Raises :class:`RunError` where it has not been built."""
    if not (STATIC / "index.html").is_file():
        raise RunError(
            f"The browser page is not built: {STATIC} is missing. In a checkout: make web (needs Node 20.19+); "
            "then install mien again, but for an installation with -e."
        )
    return STATIC


def copy_page(destination: Path, model: Path) -> list[Path]:
    """Copy the built page into a folder, with a model: static files that any host can serve.

    Where the folder is that of the built page itself, only the model is put into it.

    Args:
        destination: the folder; its other files stay.
        model: an ``.onnx`` file of mien's.

    Returns:
        The files that were written.

    Raises:
        ModelError: no model of mien's.
        RunError: the page is not built, the folder is a file, or the file system refused.
    """
    page = built_page()
    of_model = model_files(model)
    if destination.is_file():
        raise RunError(f"{destination} is a file; name a folder for the page.")
    written: list[Path] = []
    if destination.resolve() != page.resolve():
        for source in sorted(page.rglob("*")):
            name = source.relative_to(page)
            if source.is_file() and str(name) not in of_model:
                write_bytes(destination / name, source.read_bytes())
                written.append(destination / name)
    for file, content in of_model.items():
        write_bytes(destination / file, content)
        written.append(destination / file)
    return written


def model_files(model: Path) -> dict[str, bytes]:
    """What the page reads of a model: its file and its manifest, by name. Raises :class:`ModelError`."""
    manifest = json.dumps(read_manifest(model).model_dump(mode="json"), ensure_ascii=False) + "\n"
    return {MODEL: model.read_bytes(), MANIFEST: manifest.encode()}


def for_the_page(model: Path, guarded: bool) -> Path:
    """The file that the page of a service reads with, which is open to all.

    Args:
        model: the service's.
        guarded: whether the service asks for a token. Its model is then nobody else's, and the page reads with the one
            that comes with mien.

    Returns:
        The int8 form beside a run's model, if any, else the model.
    """
    if guarded:
        return find_model(PAGE_MODEL)
    int8 = RunFolder(model.parent).model_int8
    return int8 if model.name == MODEL and int8.is_file() else model
