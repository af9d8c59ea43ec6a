"""Teachers' predictions about whole epochs as training shows them, computed once and kept in a file.

Not those of live teachers to the bit: the mean is taken before it is softened (of live ones, after), and in float16
what is below 6e-8 is nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mien.data.dataset import Dataset
from mien.errors import DataError
from mien.evaluation.prediction_checks import check_unpacked_size
from mien.evaluation.predictions import UNREADABLE
from mien.files import whole_file
from mien.recipe import AugmentRecipe, Recipe
from mien.renamed_keys import with_renamed_keys
from mien.training.augment import WORSENING, without_worsening
from mien.training.batches import count_shown, epoch_batches, image_tensor

_FORM = (
    *(("probabilities", "f", 3), ("classes", "U", 1), ("seed", "iu", 0), ("shown", "U", 0)),
    *(("data_fingerprint", "U", 0), ("teachers", "U", 1), ("first_batch", "f", 1)),
)
"""Kind and number of dimensions of each array."""
_VOTES_FORM = (("votes", "f", 3), ("vote_classes", "U", 1))  # where teachers predicted votes too

_SHAPING: Any = {
    "input": True,
    "augment": {*AugmentRecipe.model_fields} - {"mixup_off_epochs", *WORSENING},
    "batch_size": True,
    "classes": True,
}
"""The keys of a recipe that shape its epochs. Teachers see the images before they are made worse; a student, after."""

_NOT_THE_SAME = 1e-3
_FLOAT16_SUM = 0.01


@dataclass(frozen=True, eq=False)
class StoredTargets:
    """Teacher predictions for each batch of some epochs.

    Attributes:
        probabilities: float16 (E, N, C), the mean of the teachers' own: of E epochs the N faces that an epoch shows, in
            its order, as they are shown there, turned and mixed.
        classes: C class names, in the order of the columns.
        seed: of the epochs, which are numbered from 1.
        shown: what else shapes them, from :func:`what_is_shown`.
        data_fingerprint: ``Dataset.fingerprint`` of the data.
        teachers: SHA-256 of each model that was asked.
        first_batch: float32 (B,), the mean of each image of the first batch, by which to see that the epochs here are
            those that the teachers saw.
        votes: float16 (E, N, V), what those teachers that learned from votes predict of these; None without such ones.
        vote_classes: V class names, in the order of its columns.
    """

    probabilities: npt.NDArray[np.float16]
    classes: tuple[str, ...]
    seed: int
    shown: str
    data_fingerprint: str
    teachers: tuple[str, ...]
    first_batch: npt.NDArray[np.float32]
    votes: npt.NDArray[np.float16] | None = None
    vote_classes: tuple[str, ...] = ()

    def shown_in(self, epoch: int) -> tuple[int, int]:
        """Seed and number of the epoch to show as the ``epoch``-th of a run: after the last one the first again."""
        return self.seed, (epoch - 1) % len(self.probabilities) + 1

    def with_epoch(self, probabilities: npt.NDArray[np.float64], votes: npt.NDArray[np.float64]) -> StoredTargets:
        """With the answers about one more epoch, (N, C) and (N, V), after the last. Without votes V is 0."""
        return replace(
            self,
            probabilities=_with_last(self.probabilities, probabilities),
            votes=None if self.votes is None else _with_last(self.votes, votes),
        )

    def same_but_for_length(self, other: StoredTargets) -> bool:
        """Whether the other holds what the same teachers say of the same epochs, be they more or fewer."""
        mine, theirs = (
            (each.classes, each.vote_classes, each.seed, each.shown, each.data_fingerprint, sorted(each.teachers))
            for each in (self, other)
        )
        return mine == theirs

    def begins_with(self, means: npt.NDArray[np.float32]) -> bool:
        """Whether the first batch, of which these are the means, is the one that the teachers saw."""
        return means.shape == self.first_batch.shape and bool(np.abs(means - self.first_batch).max() < _NOT_THE_SAME)


def _with_last(epochs: npt.NDArray[np.float16], more: npt.NDArray[np.float64]) -> npt.NDArray[np.float16]:
    return np.concatenate([epochs, more.astype(np.float16)[np.newaxis]])


def what_is_shown(recipe: Recipe) -> str:
    """What of a recipe shapes its epochs, as text that is equal where they are.

    What has its default is left out, so that recipes can gain keys.
    """
    content = recipe.model_dump(mode="json", include=_SHAPING, exclude_defaults=True)
    return json.dumps(content, sort_keys=True)


def check_can_be_kept(recipe: Recipe) -> None:
    """Refuse a recipe whose epochs differ from those that anybody else could show. Raises :class:`DataError`."""
    if recipe.balance.sampling != "none":
        raise DataError(
            f"Soft labels for whole epochs need data that is not resampled: set balance.sampling to none; found "
            f"'{recipe.balance.sampling}'.",
            code="targets-balanced",
        )
    if recipe.balance.faces_per_class:
        raise DataError(
            "Soft labels for whole epochs are of all train samples: --set balance.faces_per_class=0",
            code="targets-balanced",
        )
    if recipe.augment.mixup_off_epochs:
        raise DataError(
            "Soft labels for whole epochs cannot leave out mixup in the last epochs: --set augment.mixup_off_epochs=0",
            code="epochs-not-mixed",
        )
    if recipe.augment.cutmix and recipe.progressive_resizing:
        raise DataError(
            "With progressive_resizing, cutmix cuts other squares than the teachers saw. Turn one of the two off.",
            code="targets-cutmix",
        )


def shown_inputs(recipe: Recipe, faces: Dataset, epoch: int) -> Iterator[npt.NDArray[np.float32]]:
    """What an epoch of a recipe shows, at full size and mixed to the end, batch by batch.

    Args:
        recipe: the student's; its seed is that of the epochs.
        faces: all that an epoch shows.
        epoch: which one, from 1.

    Yields:
        float32 (B, 1, crop_px, crop_px), normalised.
    """
    images, labels = _tensors(faces, torch.device("cpu"))
    clear = without_worsening(recipe)
    for batch in epoch_batches(images, labels, clear, seed=recipe.seed, epoch=epoch, mixing=True):
        yield batch.images.contiguous().numpy()


def _tensors(faces: Dataset, device: torch.device) -> tuple[Tensor, Tensor]:
    return image_tensor(faces.images, device), torch.from_numpy(faces.labels.copy()).to(device)


def check_fit(targets: StoredTargets, name: str, recipe: Recipe, faces: Dataset, device: torch.device) -> None:
    """Refuse targets that are not about the epochs that a student would be shown.

    Args:
        targets: teacher predictions.
        name: of their file.
        recipe: the student's.
        faces: all the faces that an epoch shows, under the student's classes.
        device: that trains.

    Raises:
        DataError: another recipe, other data, or epochs that come out otherwise on this machine.
    """
    check_can_be_kept(recipe)
    again = "Make it again with: mien soft-labels MODEL... --data PATH --recipe RECIPE --epochs N --out FILE.npz"
    for key, (theirs, ours) in _differences(targets.shown, what_is_shown(recipe)).items():
        raise DataError(
            f"{name} was made for epochs with {key} = {theirs}; the student's recipe has {ours}. {again}",
            code="targets-other-recipe",
        )
    per_epoch = count_shown(len(faces), recipe.batch_size)
    if not faces.is_of(targets.data_fingerprint) or targets.probabilities.shape[1] != per_epoch:
        raise DataError(
            f"{name} was made for other faces than those of this train split. {again}", code="targets-other-data"
        )
    images, labels = _tensors(faces, device)
    first = next(epoch_batches(images, labels, without_worsening(recipe), seed=targets.seed, epoch=1, mixing=True))
    means = first.images.mean(dim=(1, 2, 3)).cpu().numpy()
    if not targets.begins_with(means):
        raise DataError(
            f"{name}: this machine augments images differently from the one that made the file (a GPU, or another "
            f"torch). Use distill.live=true. Or: {again}",
            code="targets-other-machine",
        )


def _differences(theirs: str, ours: str) -> dict[str, tuple[str, str]]:
    """Keys of which two texts of :func:`what_is_shown` differ, with both values."""
    one, two = (_flat(Recipe.model_validate_json(text).model_dump(include=_SHAPING)) for text in (theirs, ours))
    return {name: (str(one[name]), str(two[name])) for name in one if one[name] != two[name]}


def _flat(content: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def write_stored_targets(file: Path, targets: StoredTargets) -> None:
    """Write targets as ``.npz``, whole or not at all. Raises :class:`RunError` where the file system refuses."""
    votes: dict[str, Any] = {}
    if targets.votes is not None:
        votes = {"votes": targets.votes, "vote_classes": np.array(targets.vote_classes)}
    with whole_file(file) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            probabilities=targets.probabilities,
            classes=np.array(targets.classes),
            seed=np.array(targets.seed),
            shown=np.array(targets.shown),
            data_fingerprint=np.array(targets.data_fingerprint),
            teachers=np.array(targets.teachers),
            first_batch=targets.first_batch,
            **votes,
        )


def read_stored_targets(file: Path) -> StoredTargets | None:
    """Read such a file; None where it is another ``.npz``, or none at all, of which its own reader has more to say.

    Raises:
        DataError: what should be such a file is damaged, or of a mien that knows more.
    """
    try:
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile) or "first_batch" not in archive.files:
                return None
            check_unpacked_size(archive)
            form = _FORM + (_VOTES_FORM if "votes" in archive.files else ())
            missing = [name for name, _, _ in form if name not in archive.files]
            if missing:
                raise DataError(
                    f"{file} has no {missing[0]}; it is damaged. Make it again with: mien soft-labels",
                    code="targets-damaged",
                )
            arrays = {name: archive[name] for name, _, _ in form}
    except UNREADABLE:
        return None
    for name, kind, dimensions in form:
        if arrays[name].dtype.kind not in kind or arrays[name].ndim != dimensions:
            raise DataError(
                f"{file}: its '{name}' is {arrays[name].dtype} {arrays[name].shape}; it is damaged.",
                code="targets-damaged",
            )
    probabilities, classes = arrays["probabilities"], tuple(arrays["classes"].tolist())
    votes, vote_classes = arrays.get("votes"), tuple(arrays["vote_classes"].tolist() if "votes" in arrays else ())
    checked = [("probabilities", probabilities, classes)] + ([] if votes is None else [("votes", votes, vote_classes)])
    for name, values, columns in checked:
        if values.shape[:2] != probabilities.shape[:2] or not _are_probabilities(values, columns):
            raise DataError(
                f"{file}: its '{name}' are not probabilities (E, N, {len(columns)}); it is damaged. Make it again.",
                code="targets-damaged",
            )
    try:
        shown = what_is_shown(
            Recipe.model_validate_json(json.dumps(with_renamed_keys(json.loads(str(arrays["shown"])))))
        )
    except (ValueError, AttributeError, RecursionError):
        raise DataError(
            f"{file}: what was shown cannot be read; it is damaged, or of a newer mien.", code="targets-damaged"
        ) from None
    if not 0 <= int(arrays["seed"]) < 2**31:
        raise DataError(f"{file}: its 'seed' is {arrays['seed']}; it is damaged.", code="targets-damaged")
    if not np.isfinite(arrays["first_batch"]).all():
        raise DataError(f"{file}: its 'first_batch' is not finite; it is damaged.", code="targets-damaged")
    return StoredTargets(
        probabilities=probabilities.astype(np.float16),
        classes=classes,
        seed=int(arrays["seed"]),
        shown=shown,
        data_fingerprint=str(arrays["data_fingerprint"]),
        teachers=tuple(arrays["teachers"].tolist()),
        first_batch=arrays["first_batch"].astype(np.float32),
        votes=None if votes is None else votes.astype(np.float16),
        vote_classes=vote_classes,
    )


def _are_probabilities(values: npt.NDArray[Any], classes: tuple[str, ...]) -> bool:
    """Whether (E, N, C) values have a column for each class and rows that sum to 1."""
    if not values.size or values.shape[2] != len(classes) or len(set(classes)) != len(classes):
        return False
    sums = values.astype(np.float32).sum(axis=2)
    return bool((values >= 0).all() and (np.abs(sums - 1) < _FLOAT16_SUM).all())
