"""``mien.distill``: a student learns from teachers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mien.api.inputs import Data
from mien.api.train import check_callback, find_training, settings_of
from mien.recipe import Recipe

if TYPE_CHECKING:
    from mien.pipeline.training_run import TrainingResult
    from mien.training.callback import Callback


def distill(
    recipe: str | os.PathLike[str] | Recipe,
    data: Data,
    teachers: Sequence[str | os.PathLike[str]],
    *,
    tta: int = 10,
    out: str | os.PathLike[str] | None = None,
    init_from: str | os.PathLike[str] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    callback: Callback | None = None,
    device: str = "auto",
    verbose: int = 1,
) -> TrainingResult:
    """Train a classifier on the labels and on the predictions of teachers; otherwise as :func:`mien.train`.

    The predictions for the train split are computed once for each teacher, and kept in the cache. With the setting
    ``distill.live`` the teachers run on every batch instead.

    Args:
        recipe: as in :func:`mien.train`; its table ``[distill]`` sets how much the teachers count.
        data: as in :func:`mien.train`.
        teachers: models, as :func:`mien.load` takes them, or predictions files of the train split; at least one. With
            ``distill.live`` run folders or built-in models with the recipe's input.
        tta: views per face whose mean a teacher predicts: 1, 2 or 10.
        out: the run folder to write; ``runs/NAME`` by default.
        init_from: fine-tune: start with the weights, network and input of this run or shipped model.
        epochs: passes over the train split; the recipe's by default.
        batch_size: images a step; the recipe's by default.
        lr: peak learning rate; the recipe's by default.
        seed: of all randomness; the recipe's by default.
        settings: any other key of the recipe: ``{"distill.live": True}``.
        resume: resume the run in ``out`` if there is one; its teachers must be the same.
        callback: called after every step and epoch.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        verbose: 0 prints nothing.

    Raises:
        DataError: a teacher of other classes or other data, or without some of the faces.
        MienError: as :func:`mien.train`.
    """
    check_callback(callback)
    changes = settings_of(settings, epochs=epochs, batch_size=batch_size, lr=lr, seed=seed)
    job = find_training(
        recipe, changes, out=out, init_from=init_from, teachers=teachers, tta=tta, resume=resume, device=device
    )
    return job.result(data, callback, verbose)
