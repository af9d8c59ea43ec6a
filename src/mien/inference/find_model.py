"""Find a model's files by its name or path."""

import os
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path

from mien.base.errors import ModelError
from mien.base.images import IMAGE_SUFFIXES
from mien.base.model_file import INT8
from mien.base.run_folder import RunFolder

_SHIPPED = resources.files("mien") / "shipped"
SHIPPED: tuple[str, ...] = tuple(
    sorted(
        (entry.name for entry in _SHIPPED.iterdir() if (entry / "model.int8.onnx").is_file()),
        key=lambda name: (name != "default", name),
    )
)
"""Names of the built-in models, the default first. Built-in models are run folders in ``mien/shipped``. The wheel holds
``best`` in int8 alone."""


def is_shipped(name: str | os.PathLike[str]) -> bool:
    """Return whether this is the name of a built-in model, with or without ``-int8``. A :class:`Path` is never one."""
    return isinstance(name, str) and name.removesuffix(INT8) in SHIPPED


def is_shipped_run(run: RunFolder) -> bool:
    """Return whether a run folder is that of a built-in model."""
    return run.path in {find_run(name).path for name in SHIPPED}


def find_run(name: str | os.PathLike[str]) -> RunFolder:
    """Return the run folder of a built-in model's name, or at a path. The files are not opened."""
    if is_shipped(name):
        return RunFolder(Path(str(_SHIPPED / os.fspath(name).removesuffix(INT8))))
    return RunFolder(Path(name))


def find_trained(name: str | os.PathLike[str]) -> RunFolder:
    """Return the run folder of a model with trainable weights, as :func:`find_run` does but without int8.

    Raises ModelError: an int8 model (``model-int8``), a built-in model without trainable weights
    (``model-not-trainable``), a folder of folds, or a misspelt name of a built-in model (``model-missing``).
    """
    run, text = find_run(name), os.fspath(name)
    if is_shipped(name) and text.endswith(INT8):
        words = f"{text} has 8-bit weights, which cannot be trained or exported; use {text.removesuffix(INT8)}."
        raise ModelError(words, code="model-int8")
    if is_shipped(name) and not run.best.is_file():
        words = f"The trainable weights of {text} are in mien's repository, not in this package. Use {SHIPPED[0]}."
        raise ModelError(words, code="model-not-trainable")
    _check_folder(run, name, "Give a run folder", SHIPPED)
    return run


def find_run_of_model(name: str | os.PathLike[str]) -> RunFolder | None:
    """Return the run folder that a model or its ``.onnx`` file belongs to; None if it is in no run folder."""
    run = find_run(name)
    run = RunFolder(run.path.parent) if run.path.is_file() else run
    return run if run.is_run else None


def find_model(name: str | os.PathLike[str]) -> Path:
    """Return the path of a model's ``.onnx`` file, from a built-in name, a run folder or the file itself.

    Raises ModelError: no such model (``model-missing``), a run without exported model (``model-not-exported``), or
    another file of a run or an image (``model-other-file``).
    """
    run = find_run(name)
    if is_shipped(name) and (os.fspath(name).endswith(INT8) or not run.model.is_file()):
        return run.model_int8
    _check_folder(run, name, "Give a run folder, a .onnx file", [*SHIPPED, *(f"{each}{INT8}" for each in SHIPPED)])
    if run.path.is_file():
        # Weights and images are common mistakes; other files fail on opening.
        if (suffix := run.path.suffix.lower()) in {".safetensors", *IMAGE_SUFFIXES}:
            what = "is an image" if suffix in IMAGE_SUFFIXES else "holds weights"
            words = f"{run.path} {what}; it is not a model file. Give a .onnx file or a run folder"
            raise ModelError(f"{words}, such as {run.path.parent}.", code="model-other-file")
        return run.path
    if run.model.is_file():
        return run.model
    if run.best.is_file():
        words = f"{run.path} has no model.onnx yet. Export it with: mien export {run.path}"
        raise ModelError(words, code="model-not-exported")
    raise ModelError(f"{run.path} contains no model: no model.onnx or best.safetensors.", code="model-missing")


def _check_folder(run: RunFolder, name: str | os.PathLike[str], given: str, known: Sequence[str]) -> None:
    """Raise ModelError (``model-missing``) if there is nothing at the path, or a folder of folds."""
    if not run.path.exists():
        close = get_close_matches(os.fspath(name), known, n=1) if Path(name).name == os.fspath(name) else []
        meant = f" Did you mean the built-in model '{close[0]}'?" if close else ""
        raise ModelError(f"There is no model at {name}. {given}, or: {', '.join(known)}.{meant}", code="model-missing")
    folds = [] if run.is_run else [fold for fold in sorted(run.path.glob("fold-*")) if RunFolder(fold).is_run]
    if folds:
        words = f"{run.path} holds the runs of {len(folds)} folds. Give one of them, such as {folds[0]}."
        raise ModelError(words, code="model-missing")
