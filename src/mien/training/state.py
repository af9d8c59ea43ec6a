"""What a training run is made of, and how it is kept on disk and taken up again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mien.data.balance import balance, check_counts
from mien.data.faceset import FaceSet
from mien.errors import DataError, RunError
from mien.labels import parse_scheme
from mien.models.network import Network
from mien.models.registry import build_model, check_sizes, completed
from mien.recipe import Recipe
from mien.run_folder import HISTORY_COLUMNS, RunFolder
from mien.training import checkpoint
from mien.training.average import WeightAverage
from mien.training.batches import count_steps
from mien.training.device import make_fabric
from mien.training.distill import Lesson, make_lesson
from mien.training.losses import Loss, make_loss
from mien.training.norm_statistics import enough_of
from mien.training.optim import build_optimizer
from mien.training.tuning import rate_shares

SHOWN = ("train", "validation")
"""The splits that a run is shown."""

HistoryLine = dict[str, float]


@dataclass
class TrainingState:
    """What the loop works on.

    ``average`` holds the weights that are validated and kept. ``as_served`` are some train faces as the data has them,
    where batch norms are to see them (else None), ``images`` those after balancing. ``start_file`` is where the first
    weights came from; None where they were drawn.
    """

    recipe: Recipe
    fabric: Fabric
    network: Network
    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage
    as_served: npt.NDArray[np.uint8] | None
    images: Tensor
    labels: Tensor
    validation: FaceSet
    loss: Loss
    start_file: Path | None
    lesson: Lesson | None = None
    history: list[HistoryLine] = field(default_factory=list)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch."""
        return count_steps(len(self.images), self.recipe.batch_size)


def check_network(recipe: Recipe, classes: int = 7) -> None:
    """Build the network, and ask it at every size that the recipe shows it, before anything is read.

    Raises:
        RecipeError: as :func:`mien.models.registry.build_model` and ``check_sizes``.
    """
    _build(recipe, classes)


def _build(recipe: Recipe, classes: int) -> Network:
    network = build_model(recipe.model, classes, recipe.input.crop_px)
    check_sizes(network, recipe.model, recipe.input.crop_px, (side_px for _, side_px in recipe.early_sizes))
    return network


def check_faces(recipe: Recipe, faces: FaceSet) -> None:
    """Refuse faces that :func:`prepare` would, without building or making anything.

    Raises:
        DataError: no train or no validation split, fewer than two classes to learn, faces of another size than the
            recipe's, too few of a class to balance or to adjust logits by.
    """
    train_faces, _ = (faces.of_split(split).with_scheme(parse_scheme(recipe.classes)) for split in SHOWN)
    size_px = recipe.input.size_px
    if faces.images.shape[1:] != (size_px, size_px):
        raise DataError(
            f"The recipe wants grey faces of {size_px} x {size_px}; these are {faces.images.shape[1:]}. "
            f"Read them with size_px={size_px}."
        )
    if np.count_nonzero(train_faces.counts()) < 2:
        raise DataError("The train split holds faces of one class only; a classifier needs at least two.")
    check_counts(train_faces, recipe.balance)
    make_loss(recipe, train_faces)


def prepare(
    recipe: Recipe, faces: FaceSet, start: RunFolder | None, goes_on: bool = False, teachers: Sequence[Path] = ()
) -> TrainingState:
    """Build everything that a run needs. Touches nothing on disk.

    Args:
        recipe: what to do.
        faces: see :func:`mien.training.loop.train`.
        start: a run whose weights to begin with; None takes what the recipe's model begins with.
        goes_on: weights are about to be restored, so none are loaded to begin with.
        teachers: see :func:`mien.training.distill.make_lesson`.

    Raises:
        DataError: the data has no train or no validation split, fewer than two classes to learn, faces of another
            size than the recipe's, too few of a class to balance, or teachers of other data or classes.
        RecipeError: the recipe names a model or setting that does not exist, a network too deep for its faces, or
            teachers that cannot be asked live.
        RunError: ``start`` has no checkpoint, or holds another network.
        ModelError: pretrained weights are missing, damaged or another network's, or cannot be downloaded.
    """
    check_faces(recipe, faces)
    train_faces, validation = (faces.of_split(split).with_scheme(parse_scheme(recipe.classes)) for split in SHOWN)
    as_served = enough_of(np.asarray(train_faces.images)) if recipe.renew_statistics else None
    train_faces = balance(train_faces, recipe.balance, recipe.seed)
    loss = make_loss(recipe, train_faces)
    fabric = make_fabric(recipe.precision)
    torch.manual_seed(recipe.seed)
    network = _build(recipe, len(train_faces.classes))
    start_file = None if start is None else start.best
    if not goes_on:
        if start is None:
            start_file = network.load_start()
        else:
            begin_from(network, train_faces.classes, start)
    # Channels-last is the layout in which both oneDNN and cuDNN convolve bf16 fastest.
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    shares = rate_shares(network, recipe.tuning.layer_decay)
    model, optimizer = fabric.setup(network, build_optimizer(network, recipe.optim, shares))
    return TrainingState(
        recipe=recipe,
        fabric=fabric,
        network=network,
        model=model,
        optimizer=optimizer,
        average=WeightAverage(network, recipe.ema_decay),
        as_served=as_served,
        images=fabric.to_device(torch.from_numpy(np.array(train_faces.images))),
        labels=fabric.to_device(torch.from_numpy(train_faces.labels.copy())),
        validation=validation,
        loss=loss.to(fabric.device),
        start_file=start_file,
        lesson=make_lesson(recipe, teachers, train_faces, fabric) if teachers else None,
    )


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as ``"sha256:..."``. Raises :class:`RunError` where it is missing."""
    if not path.is_file():
        raise RunError(f"{path} does not exist; the run has no finished epoch to begin with.")
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def begin_from(network: Network, classes: tuple[str, ...], start: RunFolder) -> None:
    """Load a trained run's weights for fine-tuning. Rows of the head go by class name; new classes start fresh.

    Raises:
        RunError: the run has no checkpoint, or its network is another.
    """
    tensors, facts = checkpoint.load(start.best)
    own = network.state_dict()
    if not {"head.weight", "head.bias"} <= tensors.keys():
        raise RunError(f"{start.best} holds no network to begin with. Give another run.")
    for name in ("head.weight", "head.bias"):
        trained, fresh = tensors[name], own[name].clone()
        for row, class_name in enumerate(classes):
            if class_name in facts["classes"] and trained.shape[1:] == fresh.shape[1:]:
                fresh[row] = trained[facts["classes"].index(class_name)]
        tensors[name] = fresh
    checkpoint.load_matching(network, tensors, start.best)


def keep(state: TrainingState, run: RunFolder, facts: dict[str, Any], is_best: bool) -> None:
    """Write this epoch's files. The best weights lie aside until ``last``, by which they are the best, stands.

    Killed before that, the epoch is done anew; where that is not bit-identical (a GPU), it may not be the best then.
    """
    if is_best:
        with state.average.in_place():
            checkpoint.save(run.next_best, state.network.state_dict(), {**facts, "epoch": len(state.history)})
    tensors = (
        checkpoint.pack("model", state.network.state_dict())
        | checkpoint.pack("average", state.average.tensors)
        | checkpoint.pack("optimizer", checkpoint.optimizer_tensors(state.optimizer))
    )
    checkpoint.save(run.last, tensors, {**facts, "history": state.history})
    if is_best:
        run.take_next_best()
    run.write_history(state.history)


def check_same_recipe(run: RunFolder, recipe: Recipe) -> None:
    """Refuse to go on with a run by another recipe. Raises :class:`RunError`."""
    if completed(run.read_recipe()).digest != completed(recipe).digest:
        raise RunError(f"{run.path} was trained by another recipe; resume it with its own, or choose another --out.")


def check_goes_on(run: RunFolder) -> None:
    """Refuse a run that no training made. Raises :class:`RunError`."""
    for key, how in (("soup_of", "was made of other runs"), ("pruned_from", "was pruned, not trained")):
        if key in run.read_environment():
            raise RunError(f"{run.path} {how}: nothing to go on with. Begin from it with --from.")


def restore(state: TrainingState, run: RunFolder, faces: FaceSet, facts: dict[str, Any]) -> dict[str, Any]:
    """Take up the run where its last finished epoch left it.

    Args:
        state: what :func:`prepare` made.
        run: begun before.
        faces: the data.
        facts: of the run as it was asked for now.

    Returns:
        The run's own facts: with an epoch done, its first weights need not be at hand any more, but are named.

    Raises:
        RunError: no training made the run; it has another recipe, other data, teachers or first weights; its
            checkpoint is damaged.
    """
    check_goes_on(run)
    begun = run.read_environment()
    run.remove_litter()
    check_same_recipe(run, state.recipe)
    if not faces.is_learnt_as(begun.get("data_fingerprint", "")):
        raise RunError(f"{run.path} was trained on other data; resume it with its own, or choose another --out.")
    if begun.get("taught_by", []) != facts["taught_by"]:
        raise RunError(
            f"{run.path} has other teachers; resume it with its own, in their order, or choose another --out."
        )
    may_leave_it_out = run.last.is_file() and state.start_file is None
    if begun.get("started_from") != facts["started_from"] and not may_leave_it_out:
        begun_with = begun.get("started_from") or "weights drawn at random"
        raise RunError(
            f"{run.path} was begun with other weights, {begun_with}. Begin with those (--from, model.weights), or, "
            f"once an epoch is done, with none: mien train {run.recipe_file} --out {run.path} --resume"
        )
    facts = {**facts, "started_from": begun.get("started_from")}
    if not run.last.is_file():
        return facts
    tensors, kept = checkpoint.load(run.last)
    if not _is_history(kept.get("history")):
        raise RunError(f"{run.last} is of no run that can go on. Train again into another folder.")
    checkpoint.load_matching(state.network, checkpoint.unpack("model", tensors), run.last)
    state.average.restore(checkpoint.unpack("average", tensors))
    checkpoint.restore_optimizer(state.optimizer, checkpoint.unpack("optimizer", tensors))
    state.history = kept["history"]
    if run.next_best.is_file():
        if checkpoint.load(run.next_best)[1]["epoch"] == len(state.history):
            run.take_next_best()
        else:
            run.next_best.unlink()
    run.write_history(state.history)
    return facts


def _is_history(found: Any) -> bool:
    return isinstance(found, list) and all(
        isinstance(line, dict) and all(isinstance(line.get(name), int | float) for name in HISTORY_COLUMNS)
        for line in found
    )
