"""Answers about whole epochs as training shows them: live teachers' lesson, asked once and kept in a file."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mien.data.faceset import FaceSet
from mien.errors import DataError
from mien.files import whole_file
from mien.recipe import Recipe
from mien.training.batches import epoch_batches

_ARRAYS = ("probabilities", "classes", "seed", "shown", "data_fingerprint", "teachers", "first_batch")
_NOT_THE_SAME = 1e-3


@dataclass(frozen=True, eq=False)
class EpochAnswers:
    """What teachers say of each batch of some epochs.

    Attributes:
        probabilities: float16 (E, N, C), the mean of the teachers' own: of E epochs the N faces that an epoch shows, in
            its order, as they are shown there, turned and mixed.
        classes: C class names, in the order of the columns.
        seed: of the epochs, which are numbered from 1.
        shown: what else shapes them, from :func:`what_is_shown`.
        data_fingerprint: ``FaceSet.fingerprint`` of the data.
        teachers: SHA-256 of each model that was asked.
        first_batch: float32 (B,), the mean of each image of the first batch, by which to see that the epochs here are
            those that the teachers saw.
    """

    probabilities: npt.NDArray[np.float16]
    classes: tuple[str, ...]
    seed: int
    shown: str
    data_fingerprint: str
    teachers: tuple[str, ...]
    first_batch: npt.NDArray[np.float32]

    def shown_in(self, epoch: int) -> tuple[int, int]:
        """Seed and number of the epoch to show as the ``epoch``-th of a run: after the last one the first again."""
        return self.seed, (epoch - 1) % len(self.probabilities) + 1

    def with_epoch(self, probabilities: npt.NDArray[np.float64]) -> EpochAnswers:
        """With the answers about one more epoch, (N, C), after the last."""
        more = probabilities.astype(np.float16)[np.newaxis]
        return replace(self, probabilities=np.concatenate([self.probabilities, more]))

    def same_but_for_length(self, other: EpochAnswers) -> bool:
        """Whether the other holds what the same teachers say of the same epochs, be they more or fewer."""
        mine, theirs = (
            (each.classes, each.seed, each.shown, each.data_fingerprint, each.teachers) for each in (self, other)
        )
        return mine == theirs


def what_is_shown(recipe: Recipe) -> str:
    """What of a recipe shapes its epochs, as text that is equal where they are."""
    kept = {"input", "augment", "batch_size", "classes"}
    content = recipe.model_dump(mode="json", include=kept)
    del content["augment"]["off_last"]
    return json.dumps(content, sort_keys=True)


def check_can_be_kept(recipe: Recipe) -> None:
    """Refuse a recipe whose epochs differ from those that anybody else could show. Raises :class:`DataError`."""
    if recipe.balance.sampling != "none":
        raise DataError(
            f"Answers about whole epochs are of the data as it is: set balance.sampling to none, not "
            f"'{recipe.balance.sampling}'."
        )
    if recipe.augment.cutmix and recipe.early_sizes:
        raise DataError("cutmix cuts other squares at early_sizes than the teachers saw. Set one of them off.")


def shown_inputs(recipe: Recipe, faces: FaceSet, epoch: int) -> Iterator[npt.NDArray[np.float32]]:
    """What an epoch of a recipe shows, at full size and mixed to the end, batch by batch.

    Args:
        recipe: the student's; its seed is that of the epochs.
        faces: all that an epoch shows.
        epoch: which one, from 1.

    Yields:
        float32 (B, 1, crop_px, crop_px), normalised.
    """
    images, labels = _tensors(faces)
    for batch in epoch_batches(images, labels, recipe, seed=recipe.seed, epoch=epoch, mixing=True):
        yield batch.images.contiguous().numpy()


def _tensors(faces: FaceSet) -> tuple[Tensor, Tensor]:
    # Copies, because faces may be read-only, which torch warns of.
    return torch.from_numpy(np.array(faces.images)), torch.from_numpy(faces.labels.copy())


def check_fit(answers: EpochAnswers, name: str, recipe: Recipe, faces: FaceSet, device: torch.device) -> None:
    """Refuse answers that are not about the epochs that a student would be shown.

    Args:
        answers: what teachers say.
        name: of their file.
        recipe: the student's.
        faces: all the faces that an epoch shows, under the student's classes.
        device: that trains.

    Raises:
        DataError: another recipe, other data, or epochs that come out otherwise on this machine.
    """
    check_can_be_kept(recipe)
    again = "Ask the teachers again with: mien teach MODEL... --data PATH --recipe RECIPE --epochs N --out FILE.npz"
    if recipe.augment.off_last:
        raise DataError(f"{name} is about epochs that are mixed to the end. Say so: --set augment.off_last=0")
    for key, (theirs, ours) in _differences(answers.shown, what_is_shown(recipe)).items():
        raise DataError(f"{name} is about epochs with {key} = {theirs}; the student's recipe has {ours}. {again}")
    if not faces.is_of(answers.data_fingerprint):
        raise DataError(f"{name} is about other faces than those of the train split here. {again}")
    images, labels = (each.to(device) for each in _tensors(faces))
    first = next(epoch_batches(images, labels, recipe, seed=answers.seed, epoch=1, mixing=True))
    means = first.images.mean(dim=(1, 2, 3)).cpu().numpy()
    if means.shape != answers.first_batch.shape or not np.abs(means - answers.first_batch).max() < _NOT_THE_SAME:
        raise DataError(
            f"{name}: the epochs that it is about come out otherwise here, on a GPU or by another torch. Use "
            f"distill.live=true. Or: {again}"
        )


def _differences(theirs: str, ours: str) -> dict[str, tuple[str, str]]:
    """Keys of which two texts of :func:`what_is_shown` differ, with both values."""
    flat = [_flat(json.loads(text)) for text in (theirs, ours)]
    names = [*flat[1], *(name for name in flat[0] if name not in flat[1])]
    pairs = {name: (str(flat[0].get(name)), str(flat[1].get(name))) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _flat(content: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def write_epoch_answers(file: Path, answers: EpochAnswers) -> None:
    """Write answers as ``.npz``, whole or not at all. Raises :class:`RunError` where the file system refuses."""
    with whole_file(file) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            probabilities=answers.probabilities,
            classes=np.array(answers.classes),
            seed=np.array(answers.seed),
            shown=np.array(answers.shown),
            data_fingerprint=np.array(answers.data_fingerprint),
            teachers=np.array(answers.teachers),
            first_batch=answers.first_batch,
        )


def read_epoch_answers(file: Path) -> EpochAnswers | None:
    """Read such a file; None where it is another ``.npz``, or none at all, of which its own reader has more to say.

    Raises:
        DataError: what should be such a file is damaged.
    """
    try:
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile) or "first_batch" not in archive.files:
                return None
            arrays = {name: archive[name] for name in _ARRAYS}
        json.loads(str(arrays["shown"]))
    except KeyError as error:
        raise DataError(f"{file} has no {error.args[0]}; it is damaged. Make it again with: mien teach") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    probabilities, first_batch = arrays["probabilities"], arrays["first_batch"]
    fits = (
        probabilities.ndim == 3
        and len(probabilities) > 0
        and probabilities.shape[2] == arrays["classes"].size
        and probabilities.dtype == np.float16
        and first_batch.dtype == np.float32
        and bool(np.isfinite(probabilities).all())
    )
    if not fits:
        raise DataError(f"{file} does not hold float16 probabilities (E, N, C); it is damaged. Make it again.")
    return EpochAnswers(
        probabilities=probabilities,
        classes=tuple(arrays["classes"].tolist()),
        seed=int(arrays["seed"]),
        shown=str(arrays["shown"]),
        data_fingerprint=str(arrays["data_fingerprint"]),
        teachers=tuple(arrays["teachers"].tolist()),
        first_batch=first_batch,
    )
