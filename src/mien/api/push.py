"""``mien.push``: a model with its card into a repository of the Hugging Face hub."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mien.api.model_card import model_card
from mien.artifact import read_manifest
from mien.hub import MODEL_FILES, check_repository, push_files
from mien.inference.find_model import find_model, find_run_of_model


@dataclass(frozen=True)
class PushResult:
    """What was sent.

    Attributes:
        url: of the repository, for a browser.
        address: what :func:`mien.load` and ``--model`` take.
        files: names of the files, sorted.
    """

    url: str
    address: str
    files: tuple[str, ...]


def push(model: str | os.PathLike[str], repository: str, *, private: bool = False) -> PushResult:
    """Put a model into a repository of the Hugging Face hub, with a model card; ``hf auth login`` comes first.

    Of a run folder: the model files, the weights, the recipe, the history and the metrics. No data, no predictions, and
    nothing of the machine is sent. The same names in the repository are replaced, in one commit.

    Args:
        model: a run folder, a ``.onnx`` file of mien, or a built-in model.
        repository: ``OWNER/NAME``; it is made where it is missing.
        private: a repository that is made is seen by its owner alone.

    Raises:
        ModelError: no model of mien; not logged in (``hub-login``), no right to write (``hub-denied``), or no
            connection (``hub-offline``).
        DataError: ``repository`` is not written ``OWNER/NAME`` (``hub-address``).
        MissingExtraError: huggingface_hub is not installed.
    """
    check_repository(repository)
    file = find_model(model)
    manifest = read_manifest(file)
    run = find_run_of_model(model)
    folder = None if run is None else run.path
    # A lone file becomes the repository's model.
    files = {"model.onnx": file}
    if folder is not None:
        files |= {each.name: each for pattern in MODEL_FILES for each in sorted(folder.glob(pattern))}
    metrics = None if folder is None else folder / "metrics.json"
    card = model_card(manifest, repository, metrics)
    message = f"{manifest.full_name}, by mien"
    url = push_files({**files, "README.md": card.encode()}, repository, private=private, message=message)
    return PushResult(url, f"hf://{repository}", tuple(sorted([*files, "README.md"])))
