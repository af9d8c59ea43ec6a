"""Where a model is, from what a user calls it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path

from mien.artifact import INT8
from mien.errors import ModelError
from mien.run_folder import RunFolder

SHIPPED = ("default", "fast")
"""Models that come inside the package, each a run folder under ``mien/shipped``."""


def is_shipped(name: str | os.PathLike[str]) -> bool:
    """Whether this is what a model is called that comes with mien, in either form."""
    return os.fspath(name).removesuffix(INT8) in SHIPPED


def find_run(name: str | os.PathLike[str]) -> RunFolder:
    """The run folder of a shipped model's name or of a path. Touches nothing on disk."""
    if is_shipped(name):
        return RunFolder(Path(str(resources.files("mien") / "shipped" / os.fspath(name).removesuffix(INT8))))
    return RunFolder(Path(name))


def find_trained(name: str | os.PathLike[str]) -> RunFolder:
    """The run folder whose weights are to be worked on: :func:`find_run`, but for an int8 form.

    Raises:
        ModelError: an int8 form is named, which can only answer; or what a shipped model's name was meant to be.
    """
    if is_shipped(name) and os.fspath(name).endswith(INT8):
        whole = os.fspath(name).removesuffix(INT8)
        raise ModelError(f"{os.fspath(name)} holds 8-bit weights, which can only be run; give {whole}.")
    run = find_run(name)
    if not run.path.exists() and (meant := _meant(name, SHIPPED)):
        raise ModelError(f"There is no run at {name}.{meant}")
    return run


def find_run_of_model(name: str | os.PathLike[str]) -> RunFolder | None:
    """The run that a model is of, also where its ``.onnx`` file is named; None where it is in no run folder."""
    run = find_run(name)
    run = RunFolder(run.path.parent) if run.path.is_file() else run
    return run if run.is_run else None


def find_model(name: str | os.PathLike[str]) -> Path:
    """The ``.onnx`` file of a shipped model, a run folder, or the file itself.

    Raises:
        ModelError: there is no such file, or the run has no exported model.
    """
    run = find_run(name)
    if is_shipped(name) and os.fspath(name).endswith(INT8):
        if not run.model_int8.is_file():
            raise ModelError(f"The model {run.path.name} does not come in int8; take {run.path.name} as it is.")
        return run.model_int8
    if not run.path.exists():
        known = [*SHIPPED, *(f"{each}{INT8}" for each in SHIPPED if find_run(each).model_int8.is_file())]
        given = f"Give a run folder, a .onnx file, or: {', '.join(known)}."
        raise ModelError(f"There is no model at {name}. {given}{_meant(name, known)}")
    if run.path.is_file():
        return run.path
    if not run.model.is_file():
        if run.best.is_file():
            raise ModelError(f"{run.path} has no model.onnx yet. Write it with: mien export {run.path}")
        raise ModelError(f"{run.path} holds no model: neither model.onnx nor a finished epoch to export.")
    return run.model


def _meant(name: str | os.PathLike[str], known: Sequence[str]) -> str:
    """Which shipped model a name that is none may mean; ``""`` for a path, though it may end like one: runs/fast."""
    close = get_close_matches(os.fspath(name), known, n=1) if Path(name).name == os.fspath(name) else []
    return f" Did you mean '{close[0]}'?" if close else ""
