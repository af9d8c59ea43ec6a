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
from mien.errors import Notice, RunError
from mien.evaluation.predictions import Predictions
from mien.files import whole_file
from mien.inference.find_model import find_run_of_model
from mien.inference.predictor import Predictor
from mien.pipeline.ensemble import Member
from mien.pipeline.leakage import WITHOUT_LEAKED, leaked_identical, subset_masks
from mien.run_folder import RunFolder


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
    """What :func:`write_trained_on` wrote; empty for a run of an earlier mien or one that ships.

    Raises:
        RunError: unreadable (``file-unreadable``) or damaged (``trained-on-damaged``).
    """
    try:
        with run.trained_on.open("rb") as stream:
            digests = np.lib.format.read_array(stream, allow_pickle=False)
        if digests.dtype != np.uint64 or digests.ndim != 1:
            raise ValueError("not digests")
    except FileNotFoundError:
        return np.empty(0, dtype=np.uint64)
    except OSError as error:
        raise RunError(f"{run.trained_on} cannot be read: {error.strerror or error}.", code="file-unreadable") from None
    except (ValueError, EOFError):
        raise RunError(
            f"{run.trained_on} is damaged. Train again, or remove the file: then nobody sees which samples of the data "
            f"were trained on.",
            code="trained-on-damaged",
        ) from None
    return np.asarray(digests)


def digests_of(model: Predictor) -> npt.NDArray[np.uint64]:
    """Those of the run that a model lies in: uint64 (D,). Errors as :func:`read_trained_on`."""
    run = find_run_of_model(model.path)
    return np.empty(0, dtype=np.uint64) if run is None else read_trained_on(run)


def trained_on_notice(count: int, samples: int) -> Notice | None:
    """What to know where a model was trained on ``count`` of the samples that it is measured on; None for none."""
    if not count:
        return None
    return Notice(
        f"The model was trained on {count:,} of these {samples:,} samples. Does the data have other splits than in "
        f"training? Read it with the same group column and list of changes.",
        code="trained-on",
    )


def leakage_masks(
    members: Sequence[Member], reference: Dataset, predictions: Predictions
) -> tuple[dict[str, npt.NDArray[np.bool_]], int]:
    """:func:`mien.pipeline.leakage.subset_masks`, without the samples that one of the models was trained on.

    Args:
        members: the models that made the predictions, each with the data at its size, under its classes.
        reference: where copies are looked for; see :func:`mien.pipeline.leakage.leakage_reference`.
        predictions: N samples of one split of the data.

    Returns:
        The masks, and how many samples a model was trained on though no identical image is in an earlier split.
    """
    masks = subset_masks(reference, predictions)
    if not masks:
        return masks, 0
    trained, cut_otherwise = trained_on(members, predictions)
    masks[WITHOUT_LEAKED] &= ~trained
    return masks, int(cut_otherwise.sum())


def trained_on(
    members: Sequence[Member], predictions: Predictions
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which samples one of the models was trained on, as far as their run folders say.

    Args:
        members: the models, each with the data at its size.
        predictions: for N samples of one split of the data.

    Returns:
        bool (N,): the samples, and those of them that no image of an earlier split is identical to: the data had other
        splits when they were trained on.
    """
    trained = np.zeros(len(predictions), dtype=np.bool_)
    cut_otherwise = trained.copy()
    for model, faces in members:
        known = digests_of(model)
        if len(known):
            seen = np.isin(image_digests(faces.images, faces.places(predictions.sample_ids)), known)
            trained |= seen
            if seen.any():
                cut_otherwise |= seen & ~leaked_identical(faces, predictions)
    return trained, cut_otherwise
