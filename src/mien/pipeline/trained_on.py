"""Which samples a model was trained on, whatever the splits of the data that it is measured on say.

A split may be cut otherwise when a model is measured than when it was trained: by groups, in folds, by another list of
changes. So a run folder keeps a digest of each image of train. No torch.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from mien.base.errors import RunError
from mien.base.files import whole_file
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.inference.find_model import find_run_of_model, is_shipped_run
from mien.inference.predictor import Predictor


def image_digests(images: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """The first 8 bytes of BLAKE2b of the images (N, ...) at some places (K,): uint64 (K,).

    They are read one by one, for images may be mapped and larger than memory.
    """
    digests = b"".join(hashlib.blake2b(images[place].tobytes(), digest_size=8).digest() for place in places)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def write_trained_on(run: RunFolder, faces: Dataset, start: RunFolder | None = None) -> None:
    """Write the digests of train, as the network reads its images, and those of the run that it started from.

    Args:
        run: where to.
        faces: under the model's classes: samples that a label scheme drops were not trained on.
        start: the run whose weights were the first ones, if any.

    Raises:
        RunError: the disk refuses; the digests of ``start`` are damaged.
    """
    digests = image_digests(faces.images, np.flatnonzero(faces.split == "train"))
    if start is not None:
        digests = np.concatenate([digests, read_trained_on(start)])
    with whole_file(run.trained_on) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array(stream, np.unique(digests), allow_pickle=False)


def read_trained_on(run: RunFolder) -> npt.NDArray[np.uint64]:
    """Read what :func:`write_trained_on` wrote; empty for a run of an earlier mien. Models that ship share one file.

    Raises:
        RunError: the file cannot be read (``trained-on-damaged``).
    """
    shared = run.path.with_name(run.trained_on.name)
    try:
        with (shared if is_shipped_run(run) else run.trained_on).open("rb") as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except FileNotFoundError:
        return np.empty(0, dtype=np.uint64)
    except (OSError, ValueError, EOFError):
        raise RunError(
            f"{run.trained_on} is damaged. Train again, or remove the file: then nobody sees which samples of the data "
            f"were trained on.",
            code="trained-on-damaged",
        ) from None


def digests_of(model: Predictor) -> npt.NDArray[np.uint64]:
    """Return the digests of the run that a model lies in: uint64 (D,). Errors as :func:`read_trained_on`."""
    run = find_run_of_model(model.path)
    return np.empty(0, dtype=np.uint64) if run is None else read_trained_on(run)
