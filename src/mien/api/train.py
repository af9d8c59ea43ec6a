"""``mien.train``: train a model from a recipe and data."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.api.inputs import Data, data_name, environment, read
from mien.base.errors import DataError, Notice, RecipeError, TrainingError, needs_extra
from mien.base.files import check_outside, expand_home
from mien.base.preprocess import InputSpec
from mien.base.processes import is_main_process, one_thread, process_count, torch_defaults
from mien.base.progress import busy, is_quiet, notice
from mien.base.recipe import Change, Recipe, as_pairs, check_recipe, load_recipe, tuned
from mien.base.run_folder import RunFolder, find_trained
from mien.data.dataset import Dataset
from mien.inference.onnx_classifier import check_tta
from mien.page.wording import counted
from mien.pipeline.measured_split import image_digests, read_trained_on
from mien.pipeline.split_predictions import find_teachers, predict_soft_labels
from mien.pipeline.training_view import TrainProgress
from mien.training.callback import Callback, Callbacks, Logger

if TYPE_CHECKING:
    from mien.models.network import Network
    from mien.models.own import OwnModule
    from mien.pipeline.training_run import TrainingResult
    from mien.training.heads import LossFunction
    from mien.training.plan import Augmentation, OptimizerMaker, Parts, TrainingPlan

_FEW = 50
"""Number of validation samples below which a notice is given. With 35 of 50 right, the 95% interval spans 25 points."""


@one_thread()
@torch_defaults()
def train(
    recipe: str | os.PathLike[str] | Recipe,
    data: Data,
    *,
    out: str | os.PathLike[str] | None = None,
    init_from: str | os.PathLike[str] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    classes: str | None = None,
    settings: Mapping[str, Any] | Sequence[Change] | None = None,
    resume: bool = False,
    callback: Callback | Sequence[Callback] | None = None,
    network: OwnModule | None = None,
    loss: LossFunction | OwnModule | None = None,
    augment: Augmentation | None = None,
    optimizer: OptimizerMaker | None = None,
    teachers: Sequence[str | os.PathLike[str]] = (),
    tta: int = 10,
    device: str = "auto",
    time: str | float | None = None,
    log: str | None = None,
    verbose: int = 1,
) -> TrainingResult:
    """Train a classifier, export it, and evaluate it on the validation split.

    Trainings in several threads of a process run one after another. Random numbers and modes of torch, NumPy and Python
    are afterwards as before.

    Args:
        recipe: the name of a recipe (see `mien info --recipes`), or a .toml file; in Python also a recipe.
        data: faces with ``train`` and ``validation`` splits; ``test`` is not used.
        out: the run folder to create; default: runs/RECIPE.
        init_from: fine-tune: start with the weights, network and input size of this run or built-in model.
        epochs: passes over the train split; default: the recipe's.
        batch_size: images per step, 2 or more; default: the recipe's.
        lr: peak learning rate, greater than 0; default: the recipe's.
        seed: seed of all randomness, 0 or more; default: the recipe's.
        classes: label scheme, such as ``"binary"`` or ``"good=happy+surprise,bad=sad"``.
        settings: change a key of the recipe: optim.lr=0.01; in Python also a dict of several.
        resume: resume the run in the run folder. If there is none, a note says so and a new run starts.
        callback: one callback or a list, called before and after every step and epoch. A callback can change and stop
            the run; see :class:`mien.training.callback.Callback`.
        network: class of ``torch.nn.Module`` that maps images to logits, or an instance with initial weights. This
            equals ``[model] file`` and ``name`` in a recipe: the run stores the source code.
        loss: function, or class of ``torch.nn.Module``, of logits float32 (B, C) and labels int64 (B,) that returns a
            scalar; replaces the recipe's loss.
        augment: function of images float32 (B, channels, S, S), 0..1, that returns the same shape; replaces the
            recipe's augmentation except mixup and cutmix. A resumed run repeats torch's random numbers in it.
        optimizer: function of a list of parameters that returns a ``torch.optim.Optimizer``; replaces the recipe's. The
            recipe's schedule multiplies its learning rates.
        teachers: a model, or a predictions file of the train split; several are averaged. The network learns their
            predictions and the labels; see :func:`distill`.
        tta: number of views per face over which a teacher's predictions are averaged: 1, 2 (also mirrored), 5 (also
            corners) or 10 (both).
        device: auto, cpu, cuda or mps. auto uses a GPU if there is one.
        time: train for as many epochs as fit into this time: 30m, 1h30m; in Python also seconds. A few steps are timed
            for it. A resumed run keeps its number of epochs.
        log: also log each epoch to tensorboard, wandb or mlflow.
        verbose: 0 prints no epochs; 1 prints a line per epoch, in a notebook a live table.

    Returns:
        Run folder, loaded model, history of epochs and validation metrics.

    Raises:
        MissingExtraError: torch is not installed; the message gives the command to install it.
        MienError: recipe, data or folder cannot be used, or a teacher has other classes or data.
    """
    callbacks = callback if isinstance(callback, Sequence) else [callback]
    for each in callbacks:
        check_callback(each)
    changes = settings_of(settings, epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, classes=classes)
    if not teachers and any(key.split(".")[0] == "distill" for key, _ in changes):
        raise RecipeError("The keys of [distill] have no effect without teachers.", code="recipe-value")
    weights = None
    if network is not None:
        if init_from is not None:
            raise RecipeError("Give either network or init_from, which has its own.", code="recipe-value")
        with needs_extra("train", "Training"):
            from mien.models.own import source_of
        name, file, weights = source_of(network)
        changes = [("model.name", name), ("model.file", file), *changes]
    job = find_job(recipe, changes, init_from, device, time).with_run(out, resume)
    check_tta(tta)
    job = replace(job, teachers=find_teachers(teachers))
    if any(each is not None for each in (loss, augment, optimizer, weights)):
        with needs_extra("train", "Training"):
            from mien.training.plan import Parts
        job = replace(job, parts=Parts(loss, augment, optimizer, weights))
    # Made in every process, so that all raise the error for a wrong name.
    logger = None if log is None else Logger(log, job.out)
    if resume and not job.resumes and verbose:
        notice(f"{job.out.path} contains no run to resume. A new run starts.", "nothing-to-resume")
    progress = TrainProgress() if verbose and not is_quiet() else None
    shown = Callbacks(progress, logger if is_main_process() else None, *callbacks)
    origins = {"fine-tuned from": str(init_from or ""), "teachers": ", ".join(map(str, job.teachers))}
    metadata = environment(data) | {name: value for name, value in origins.items() if value}
    job.check()
    if not job.resumes:
        check_outside(job.out.path, data)
    own = job.recipe.input.size_and_channels
    given = read(data, *own)
    if verbose and not isinstance(data, Dataset):
        faces = f"{len(given.faces):,} faces of {len(given.faces.classes)} classes"
        notice(f"{data_name(data)}: {given.shape}, {faces}; splits: {given.split_origin}")
    plan = job.plan(given)
    for found in job.notices(plan):  # with checks of the start's files
        if verbose:
            notice(found.line)
    from mien.pipeline.training_run import run_recipe

    def read_at(spec: InputSpec) -> Dataset:
        return plan.dataset if spec.size_and_channels == own else read(data, *spec.size_and_channels).faces

    untrained = job.network(plan.logits)
    result = run_recipe(
        plan,
        job.out,
        resume=job.resumes,
        init_from=job.init_from,
        teachers=predict_soft_labels(job.teachers, plan.dataset, read_at, tta),
        callback=shown,
        metadata=metadata,
        device=job.device,
        network=untrained,
    )
    for found in result.notices if verbose else ():
        notice(found.line)
    return result


def distill(  # noqa: D417 - the others are those of train
    recipe: str | os.PathLike[str] | Recipe,
    data: Data,
    teachers: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None = None,
    init_from: str | os.PathLike[str] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    classes: str | None = None,
    settings: Mapping[str, Any] | Sequence[Change] | None = None,
    resume: bool = False,
    callback: Callback | Sequence[Callback] | None = None,
    network: OwnModule | None = None,
    loss: LossFunction | OwnModule | None = None,
    augment: Augmentation | None = None,
    optimizer: OptimizerMaker | None = None,
    tta: int = 10,
    device: str = "auto",
    time: str | float | None = None,
    log: str | None = None,
    verbose: int = 1,
) -> TrainingResult:
    """Train a classifier on labels and on teachers' predictions: :func:`mien.train` with ``teachers``.

    Each teacher predicts the train split once; its predictions are cached. The recipe's table ``[distill]`` sets the
    weight of the teachers.

    Args:
        teachers: at least one model or predictions file. All other arguments are as in :func:`mien.train`.

    Raises:
        DataError: no teacher, or one for other classes or data, or without some of the faces.
        MienError: see :func:`mien.train`.
    """
    if not teachers:
        raise DataError("teachers must name at least one model or predictions file.", code="teacher")
    return train(**locals())


def settings_of(
    settings: Mapping[str, Any] | Sequence[Change] | None, *, lr: float | None = None, **plain: Any
) -> list[tuple[str, Any]]:
    """Return these arguments as changes to a recipe; None changes nothing, all else is above ``settings``."""
    return [
        *as_pairs(settings),
        *((key, value) for key, value in {**plain, "optim.lr": lr}.items() if value is not None),
    ]


def check_callback(callback: object) -> None:
    """Raise :class:`mien.base.errors.TrainingError` for an invalid callback, before anything is written."""
    if callback is None or isinstance(callback, Callback):
        return
    found = f"the class {callback.__name__}" if isinstance(callback, type) else type(callback).__name__
    raise TrainingError(f"callback must be an instance of mien.Callback; found {found}.", code="options")


@dataclass(frozen=True)
class TrainingJob:
    """Inputs of a training run, except its data: those of :func:`train`, checked.

    Attributes:
        run: folder to write; None if no run is written.
        resumes: whether ``run`` exists and is resumed.
        seconds: time limit from which the number of epochs is chosen.
    """

    recipe: Recipe
    init_from: RunFolder | None = None
    device: str = "auto"
    run: RunFolder | None = None
    teachers: Sequence[Path] = ()
    resumes: bool = False
    parts: Parts | None = None
    seconds: float | None = None

    @property
    def out(self) -> RunFolder:
        """The run folder to write; the job must have one."""
        assert self.run is not None
        return self.run

    def with_run(self, out: str | os.PathLike[str] | None, resume: bool = False) -> TrainingJob:
        """Return the job with a run folder to write. A resumed run keeps its number of epochs."""
        run = RunFolder(expand_home(Path("runs") / self.recipe.name if out is None else out))
        job = replace(self, run=run, resumes=resume and run.is_run)
        if job.seconds is None or not job.resumes:
            return job
        return replace(job, recipe=job.recipe.model_copy(update={"epochs": run.read_recipe().epochs}), seconds=None)

    def check(self) -> None:
        """Raise the error of :func:`train` for recipe, folder, weights or device, before data is read."""
        if self.recipe.tuning.fit_head and (self.teachers or self.parts is not None):
            raise RecipeError("tuning.fit_head takes no teachers, loss, augment and optimizer.", code="fit-head")
        if self.run is not None and not self.resumes and is_main_process():
            self.run.check_free(or_resume=True)
        with needs_extra("train", "Training"):
            from mien.models.registry import completed
            from mien.training.device import check_device
            from mien.training.state import check_resumable, file_digest
        check_device(self.device)
        completed(self.recipe)  # it raises for a network or part that cannot be used
        if self.init_from is not None:
            file_digest(self.init_from.best)  # this raises an error if the weights are missing
        if self.resumes and is_main_process():
            with self.out.locked():
                check_resumable(self.out, self.recipe, tunes=self.init_from is not None)

    def network(self, logits: int) -> Network:
        """Build the untrained network for a number of logits; RecipeError if it cannot be trained and exported."""
        from mien.training.state import check_network

        network = check_network(self.recipe, logits)
        if self.recipe.model.file:
            from mien.exporting.to_onnx import to_graph

            given = self.recipe.input
            with busy("testing that the network can be exported"):
                to_graph(network, given.crop_px, channels=given.channels)
        return network

    def plan(self, data: Data) -> TrainingPlan:
        """Load data for the recipe's network and make the training plan; both may raise errors."""
        from mien.training.plan import plan_training

        plan = plan_training(self.recipe, read(data, *self.recipe.input.size_and_channels).faces, self.parts)
        if self.seconds is None:
            return plan
        from mien.training.probe import estimate_training

        found = estimate_training(plan, self.init_from, self.device)
        epochs = int(_OF_TIME * self.seconds * found.epochs / found.seconds)
        if epochs < 1:
            words = f"One epoch takes about {found.seconds / found.epochs:.0f} s, longer than --time."
            raise TrainingError(words, code="options")
        return replace(plan, recipe=plan.recipe.model_copy(update={"epochs": epochs}))

    def notices(self, plan: TrainingPlan) -> Iterator[Notice]:
        """Yield notices about anything in this run that may surprise the user."""
        from mien.training import checkpoint
        from mien.training.plan import recipe_warnings

        # A resumed run has trained weights.
        recipe, tunes = self.recipe, self.init_from is not None or self.resumes
        if self.resumes:
            words = f"{self.out.path} is resumed after epoch {len(self.out.read_history())} of {plan.recipe.epochs}."
            yield Notice(words, code="run-resumed")
        if "model" not in recipe.model_fields_set and not tunes:
            words = (
                f"the recipe names no [model]: '{recipe.model.name}' is trained from scratch. Fine-tune: --from RUN."
            )
            yield Notice(words, code="model-default")
        held_out = len(plan.validation)
        if held_out < _FEW:
            words = f"validation has only {counted(held_out, 'sample')}: its metrics are uncertain."
            yield Notice(words, code="validation-small")
        if not self.resumes:
            # A fitted head is also measured on train, by cross-validation.
            yield from self.known_images(plan.dataset, *(("train",) if recipe.tuning.fit_head else ()), "validation")
        if self.init_from is not None and not self.resumes and not recipe.tuning.fit_head:
            known = checkpoint.load(self.init_from.best)[1]["classes"]
            if new := [name for name in plan.classes if name not in known]:
                words = f"the model of --from has no class {', '.join(new)}: it starts at random."
                unused = ", ".join(name for name in known if name not in plan.classes)
                if unused and recipe.classes == "all":  # no notice, because a label scheme changes names on purpose
                    words += f" Its classes {unused} are unused; rename with --map '{new[0]}=NAME'."
                yield Notice(words, code="classes-unmatched")
        sides = [name for name in plan.train.classes if re.search("(?<![a-z])(left|right)(?![a-z])", name.lower())]
        if sides and recipe.augment.flip and plan.parts.augment is None:
            yield Notice(f"'{sides[0]}' is a side, but training mirrors. Set augment.flip = false.", code="mirrored")
        begun = tunes or plan.parts.weights is not None
        recipe = recipe.model_copy(update={"epochs": plan.recipe.epochs})
        yield from recipe_warnings(recipe, *plan.parts.names(), from_run=begun, train_faces=len(plan.chosen))

    def known_images(self, faces: Dataset, *splits: str) -> Iterator[Notice]:
        """Yield a notice if the model of ``init_from`` was trained on images of these splits."""
        if self.init_from is None:
            return
        indices = np.flatnonzero(np.isin(faces.split, splits))
        if known := int(np.isin(image_digests(faces.images, indices), read_trained_on(self.init_from)).sum()):
            words = f"the model of --from was trained on {known:,} of these {len(indices):,} images of "
            yield Notice(f"{words}{' and '.join(splits)}: accuracy on them is too optimistic.", code="trained-on")


_OF_TIME = 0.95
"""Fraction of the time limit that epochs may use; the rest is for export and evaluation."""


def seconds_of(time: str | float) -> float:
    """Parse a duration, such as ``"1h30m"``, and return seconds.

    Raises:
        RecipeError: the text is not a duration (``options``).

    >>> seconds_of("1h30m"), seconds_of("90s"), seconds_of(60)
    (5400.0, 90.0, 60.0)
    """
    found = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?|([\d.]+)", str(time).strip())
    numbers = found.groups() if found else ("", "", "", "")
    with suppress(ValueError):
        if seconds := sum(float(each or 0) * unit for each, unit in zip(numbers, (3600, 60, 1, 1), strict=True)):
            return float(seconds)
    raise RecipeError(f"--time must be like 30m, 90s or 1h30m; found {time!r:.40}.", code="options")


def find_job(
    recipe: str | os.PathLike[str] | Recipe,
    changes: Sequence[tuple[str, Any]],
    init_from: str | os.PathLike[str] | None,
    device: str = "auto",
    time: str | float | None = None,
) -> TrainingJob:
    """Make a training job without a run folder. With ``init_from`` its recipe gets that run's network and input."""
    if time is not None and "epochs" in dict(changes):
        raise RecipeError("--time sets the number of epochs. Leave out --epochs.", code="options")
    if time is not None and process_count() > 1:
        raise RecipeError("--time works only with one process. Set epochs instead.", code="processes")
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, changes)
    elif changes:
        recipe = check_recipe(recipe.model_dump(exclude_unset=True), recipe.name, changes, recipe.built_in)
    recipe.check_files()
    init_from = "default" if recipe.tuning.fit_head and init_from is None else init_from
    start = None if init_from is None else find_trained(init_from)
    recipe = recipe if start is None else tuned(recipe, start.read_recipe(), changes)
    return TrainingJob(recipe, start, str(device), seconds=None if time is None else seconds_of(time))
