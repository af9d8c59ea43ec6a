"""Shared steps of ``mien train`` and ``mien distill``: check options, read data, train, print results."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mien.api.train import TrainingJob, find_job
from mien.base.processes import is_main_process, process_count
from mien.base.run_folder import RunFolder
from mien.cli.options import Device, PlainSettings
from mien.cli.output import notice, show, show_json, show_notices
from mien.cli.source import Source, SourceOptions
from mien.cli.usage import leave_out
from mien.page.terminal import evaluation_text
from mien.page.wording import kept_epoch_text
from mien.pipeline.training_view import TrainProgress
from mien.training.callback import Callbacks
from mien.training.loggers import Logger

if TYPE_CHECKING:
    from mien.pipeline.training_run import TrainingResult


@dataclass(frozen=True)
class TrainOptions:
    """Options of ``mien train`` and ``mien distill``.

    Options:
        recipe (RECIPE): The name of a recipe (see `mien info --recipes`), or a .toml file.
        out (DIR): The run folder to create. The default is runs/RECIPE.
        settings (KEY=VALUE): Change a key of the recipe: optim.lr=0.01. Can be repeated.
        resume: Resume the run in the folder of --out. If there is none, a note says so and a new run starts.
        init_from (RUN): Fine-tune: start with the weights, network and input size of this run or built-in model.
        time (TIME): Train for as many epochs as fit into this time: 30m, 1h30m.
        log (LOGGER): Also log each epoch to tensorboard, wandb or mlflow.
    """

    recipe: str
    _: KW_ONLY
    data: Path
    data_options: SourceOptions
    plain: PlainSettings
    out: Path | None = None
    device: Device = "auto"
    settings: list[str] | None = None
    resume: bool = False
    init_from: str | None = None
    time: str | None = None
    log: str | None = None

    @property
    def source(self) -> Source:
        """The data with its options."""
        return self.data_options.at(self.data)


def train_and_show(
    options: TrainOptions, changes: Sequence[str], teachers: Sequence[str] = (), tta: int = 10, *, json: bool
) -> None:
    """Train, export and evaluate, and print the result. ``tta`` is the number of views of a face for the teachers."""
    if process_count() > 1:
        from mien.training.device import join_processes

        join_processes(options.device)
    job = find_options(options, changes, teachers, tta)
    # Create it in every process, so that all raise the error for a wrong name.
    logger = Logger(options.log, job.out) if options.log is not None else None
    options.source.check()
    if options.resume and not job.resumes:
        notice(f"{job.out.path} contains no run to resume. A new run starts.", "nothing-to-resume")
    origins = {"fine-tuned from": options.init_from or "", "teachers": ", ".join(map(str, job.teachers))}
    result = job.run_on(
        options.source,
        Callbacks(TrainProgress(), logger if is_main_process() else None),
        options.source.environment({name: value for name, value in origins.items() if value}),
        lambda each: show_notices([each]),
        lambda data: notice(
            f"{options.source.path}: {data.shape}, {len(data.faces):,} faces of {len(data.faces.classes)} classes; "
            f"splits: {data.split_origin}"
        ),
    )
    if not is_main_process():
        return
    if result.removed:
        notice(f"removed {', '.join(result.removed)} from {result.run}: they belong to other weights.", "files-removed")
    show_json(result.to_dict()) if json else _show(result)
    if result.reason == "interrupted":
        raise typer.Exit(130)


def find_options(
    options: TrainOptions, changes: Sequence[str], teachers: Sequence[str] = (), tta: int = 10
) -> TrainingJob:
    """Make the training job from the options. Arguments and errors are as in :func:`train_and_show`."""
    if options.time is not None:
        leave_out("--time sets the number of epochs", {"--epochs": any(each.startswith("epochs=") for each in changes)})
    # Check these before loading torch, because most mistakes are in a name, a path or a --set.
    job = find_job(options.recipe, changes, options.init_from, options.device)
    return job.with_run(options.out, teachers, tta, options.resume).within(options.time)


def _show(result: TrainingResult) -> None:
    from mien.pipeline.training_run import cross_validated_text

    show(evaluation_text(result.evaluation.evaluation))
    kept = kept_epoch_text(result.best_epoch, len(result.history), result.recipe.stopping)
    end = f"{result.reason}. The model has the weights of epoch {kept}"
    end = "the head is fitted" if result.recipe.tuning.fit_head else end
    notice(f"Training ended after {result.history[-1]['seconds']:.0f} s: {end}.")
    if RunFolder(result.run).read_environment().get("precision") == "bf16" and not result.recipe.tuning.fit_head:
        notice("The epochs were validated in bf16, these metrics are of model.onnx in fp32: they differ slightly.")
    page = "report.html (the page of these metrics)" if result.report else "no report.html (pip install 'mien[report]')"
    notice(f"Written to {result.run}: model.onnx (the model), {page}, weights, metrics and predictions.")
    if result.cross_validated:
        validated = cross_validated_text(result.cross_validated).capitalize()
        notice(f"{validated}. The penalty was chosen on the same folds, so this is slightly optimistic.")
    show_notices(result.notices)
    if result.was_stopped:
        words = [word for word in sys.argv[1:] if word != "--resume"]
        under = " under torchrun" if process_count() > 1 else ""
        notice(f"Resume{under} with: {shlex.join(['mien', *words, '--resume'])}")
    elif not result.notices:
        notice(f"Next: {shlex.join(['mien', 'predict', 'photo.jpg', '--model', str(result.run)])}")
