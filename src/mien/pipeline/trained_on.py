"""Record of the images that a model was trained on, independent of the data's current splits.

Splits may differ between training and evaluation: by groups, folds or a list of changes. A run folder therefore stores
a digest of each training image. Needs no torch.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from mien.base.errors import RunError
from mien.base.files import whole_file
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.inference.find_model import find_run_of_model, is_shipped_run
from mien.inference.predictor import Predictor


def image_digests(images: npt.NDArray[np.uint8], indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Compute the first 8 bytes of BLAKE2b of the images (N, ...) at indices (K,): uint64 (K,).

    Images are read one by one, because a mapped file may be larger than memory.
    """
    digests = b"".join(hashlib.blake2b(images[place].tobytes(), digest_size=8).digest() for place in indices)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def write_trained_on(run: RunFolder, faces: Dataset, start: RunFolder | None = None) -> None:
    """Write the digests of the training images as the network sees them, and those of the initial run.

    A run that is resumed without ``start`` keeps those it has. Raises RunError: unwritable, or damaged digests.
    """
    digests = image_digests(faces.images, np.flatnonzero(faces.split == "train"))
    write_digests(run, np.concatenate([digests, read_trained_on(start or run)]))


def write_digests(run: RunFolder, digests: npt.NDArray[np.uint64]) -> None:
    """Write sorted digests, each once. Raises RunError if the file cannot be written."""
    with whole_file(run.trained_on) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array(stream, np.unique(digests), allow_pickle=False)


def read_trained_on(run: RunFolder) -> npt.NDArray[np.uint64]:
    """Read the digests of a run; empty for a run by an earlier mien. All built-in models share one file.

    Raises RunError if the file cannot be read (``trained-on-damaged``).
    """
    shared = run.path.with_name(run.trained_on.name)
    try:
        with (shared if is_shipped_run(run) else run.trained_on).open("rb") as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except FileNotFoundError:
        return np.empty(0, dtype=np.uint64)
    except (OSError, ValueError, EOFError):
        words = f"{run.trained_on} is damaged. Train again, or remove it to measure without it."
        raise RunError(words, code="trained-on-damaged") from None


def digests_of(model: Predictor) -> npt.NDArray[np.uint64]:
    """Return the digests of a model's run: uint64 (D,). Errors are as in :func:`read_trained_on`."""
    run = find_run_of_model(model.path)
    return np.empty(0, dtype=np.uint64) if run is None else read_trained_on(run)
