"""Which samples a model was trained on, whatever the splits of the data that it is measured on say.

A split may be cut otherwise when a model is measured than when it was trained: by groups, in folds, by another list of
changes. So a run folder keeps a digest of each image of train. No torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mien.data.dataset import Dataset
from mien.errors import RunError
from mien.evaluation.predictions import Predictions
from mien.files import whole_file
from mien.inference.find_model import find_run_of_model
from mien.pipeline.ensemble import Member
from mien.run_folder import RunFolder


def image_digests(images: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """The first 8 bytes of BLAKE2b of the images (N, ...) at some places (K,): uint64 (K,).

    They are read one by one, for images may be mapped and larger than memory.
    """
    digests = b"".join(hashlib.blake2b(images[place].tobytes(), digest_size=8).digest() for place in places)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def write_trained_on(run: RunFolder, faces: Dataset) -> None:
    """Write the digests of train, as the network reads its images. Raises :class:`RunError` where the disk refuses."""
    digests = np.unique(image_digests(faces.images, np.flatnonzero(faces.split == "train")))
    with whole_file(run.trained_on) as temporary, temporary.open("wb") as stream:
        np.save(stream, digests, allow_pickle=False)


def read_trained_on(run: RunFolder) -> npt.NDArray[np.uint64]:
    """What :func:`write_trained_on` wrote; empty for a run of an earlier mien or one that ships.

    Raises:
        RunError: damaged (``trained-on-damaged``).
    """
    try:
        with run.trained_on.open("rb") as stream:
            digests = np.load(stream, allow_pickle=False)
        if digests.dtype != np.uint64 or digests.ndim != 1:
            raise ValueError("not digests")
    except FileNotFoundError:
        return np.empty(0, dtype=np.uint64)
    except (ValueError, EOFError, OSError):
        raise RunError(
            f"{run.trained_on} is damaged. Train again, or remove the file: then nobody sees which samples of the data "
            f"were trained on.",
            code="trained-on-damaged",
        ) from None
    return np.asarray(digests)


def trained_on(members: Sequence[Member], predictions: Predictions) -> npt.NDArray[np.bool_]:
    """Which of the predicted samples one of the models was trained on: an identical image was in its train.

    Args:
        members: models with the data, read at the size of each.
        predictions: of one of its splits.

    Returns:
        bool (N,), in the order of the predictions. All False for models that keep no digests.
    """
    seen = np.zeros(len(predictions), dtype=np.bool_)
    for model, faces in members:
        run = find_run_of_model(model.path)
        known = np.empty(0, dtype=np.uint64) if run is None else read_trained_on(run)
        if len(known):
            seen |= np.isin(image_digests(faces.images, faces.places(predictions.sample_ids)), known)
    return seen
