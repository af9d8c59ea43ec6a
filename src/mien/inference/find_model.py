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
    if is_shipped(name) and os.fspath(name).endswith(INT8):
        whole = os.fspath(name).removesuffix(INT8)
        raise ModelError(
            f"{os.fspath(name)} has 8-bit weights, which cannot be trained or exported; use {whole}.", code="model-int8"
        )
    run = find_run(name)
    if is_shipped(name) and not run.best.is_file():
        raise ModelError(
            f"This package does not contain the trainable weights of {os.fspath(name)}; they are in "
            f"mien's repository. Use {SHIPPED[0]}.",
            code="model-not-trainable",
        )
    if not run.path.exists():
        hint = _meant(name, SHIPPED) or f" Built-in models: {', '.join(SHIPPED)}."
        raise ModelError(f"There is no run folder or built-in model {name}.{hint}", code="model-missing")
    _check_not_folds(run)
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
    if not run.path.exists():
        known = [*SHIPPED, *(f"{each}{INT8}" for each in SHIPPED)]
        given = f"Give a run folder, a .onnx file, or: {', '.join(known)}."
        raise ModelError(f"There is no model at {name}. {given}{_meant(name, known)}", code="model-missing")
    if run.path.is_file():
        # Weights and images are common mistakes; other files fail on opening.
        suffix = run.path.suffix.lower()
        if suffix == ".safetensors" or suffix in IMAGE_SUFFIXES:
            what = "is an image" if suffix in IMAGE_SUFFIXES else "holds weights"
            is_of_run = suffix == ".safetensors" and RunFolder(run.path.parent).is_run
            given = f"Give the run folder: {run.path.parent}" if is_of_run else "Give a run folder or a .onnx file."
            raise ModelError(f"{run.path} {what}; it is not a model file. {given}", code="model-other-file")
        return run.path
    _check_not_folds(run)
    if not run.model.is_file():
        if run.best.is_file():
            raise ModelError(
                f"{run.path} has no model.onnx yet. Export it with: mien export {run.path}", code="model-not-exported"
            )
        words = f"{run.path} contains no model: neither model.onnx nor best.safetensors to export it from."
        raise ModelError(words, code="model-missing")
    return run.model


def _check_not_folds(run: RunFolder) -> None:
    folds = [] if run.is_run else [each for each in map(RunFolder, sorted(run.path.glob("fold-*"))) if each.is_run]
    if folds:
        done = next((each for each in folds if each.model.is_file()), None)
        advice = "" if done is None else f"Give one of them, such as {done.path}, or train "
        raise ModelError(
            f"{run.path} holds the runs of {len(folds)} fold{'s' * (len(folds) > 1)}. {advice or 'Train '}one model "
            f"without --folds.",
            code="model-missing",
        )


def _meant(name: str | os.PathLike[str], known: Sequence[str]) -> str:
    """Suggest a built-in model for a misspelt name; ``""`` for a path such as ``runs/fast``."""
    if os.fspath(name) in known:
        return f" '{os.fspath(name)}' is a built-in model if given as text instead of a path."
    close = get_close_matches(os.fspath(name), known, n=1) if Path(name).name == os.fspath(name) else []
    return f" Did you mean '{close[0]}'?" if close else ""
