"""What ``mien train`` and ``mien distill`` do: check, read, train, show."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mien.api.train import TrainingJob, find_training
from mien.cli.options import (
    Device,
    DeviceOption,
    DevicesOption,
    ExactOption,
    FromOption,
    LogOption,
    PlainSettings,
    RecipeArgument,
    ResumeOption,
    RunOutOption,
    SetOption,
)
from mien.cli.output import notice, show, show_json
from mien.cli.source import Source
from mien.cli.train_processes import start_processes
from mien.cli.train_view import TrainProgress
from mien.data.dataset import Dataset
from mien.errors import RunError, needs_extra
from mien.page.terminal import evaluation_text
from mien.page.wording import counted, kept_epoch_text
from mien.processes import is_main_process, process_count, restarts_share_a_store
from mien.recipe import Recipe
from mien.training.loggers import check_logger, make_logger

if TYPE_CHECKING:
    from mien.pipeline.training_run import RunResult
    from mien.training.callback import Callback
    from mien.training.plan import TrainingPlan

_FEW = 50
"""Samples of validation: where 35 of 50 are right, the 95% interval spans about 25 points."""


@dataclass(frozen=True)
class TrainOptions:
    """The options of ``mien train`` and ``mien distill``; each is explained in cli/options.py."""

    recipe: RecipeArgument
    source: Source
    plain: PlainSettings
    out: RunOutOption = None
    device: DeviceOption = Device.AUTO
    devices: DevicesOption = 1
    set_keys: SetOption = None
    resume: ResumeOption = False
    exact: ExactOption = False
    init_from: FromOption = None
    log: LogOption = None


def train_and_show(
    options: TrainOptions, changes: Sequence[str], teachers: Sequence[str] = (), tta: int = 10, *, json: bool
) -> None:
    """Train, export and evaluate, and print the result.

    Args:
        options: of the command.
        changes: of the recipe, such as ``"epochs=5"``.
        teachers: what ``--teachers`` names.
        tta: views per face of the teachers' predictions.
        json: print JSON.

    Raises:
        MienError: as :func:`mien.pipeline.training_run.run_recipe`.
    """
    if options.log is not None:
        check_logger(options.log)
    # Before torch is loaded: most mistakes are in a name, a path or a --set.
    job = find_training(
        options.recipe,
        changes,
        out=options.out,
        init_from=options.init_from,
        teachers=teachers,
        tta=tta,
        resume=options.resume,
        device=options.device,
    )
    # A wrong --out hides no wrong --data, whose mistakes take longer to mend.
    options.source.check()
    job.check_free()
    _check_network(job, exact=options.exact)
    if options.devices > 1 and process_count() == 1:
        _check_device_count(options)
        start_processes(options.devices)
    if restarts_share_a_store():
        text = "on several machines, a restart by torchrun may fail; set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 on each."
        notice(text, "restart-may-fail")
    if options.resume and not job.resumes:
        notice(f"{job.run.path} holds no run to resume. A new run starts.", "nothing-to-resume")
    result = options.source.read(*job.recipe.input.stored_as)
    notice(
        f"{options.source.path}: {result.shape}, {len(result.faces):,} faces of {len(result.faces.classes)} classes; "
        f"splits: {result.split_origin}"
    )
    outcome = _train(job, _plan(job, result.faces), options)
    if outcome.removed:
        notice(f"removed {', '.join(outcome.removed)} from {job.run.path}: made from other weights.", "files-removed")
    if json:
        show_json(_content(outcome, job.recipe))
    else:
        _show(outcome, job.recipe)


def _check_network(job: TrainingJob, *, exact: bool) -> None:
    """Refuse what torch knows to be impossible before the data is read."""
    with needs_extra("train", "Training"):
        from mien.training.device import check_device
        from mien.training.resume import check_same_recipe
        from mien.training.state import check_network, file_digest

    check_device(job.device)
    if job.init_from is not None:
        file_digest(job.init_from.best)  # refuses where the weights are missing
    check_network(job.recipe)
    if job.resumes and is_main_process():
        with job.run.alone():
            check_same_recipe(job.run, job.recipe)
            _tell_of_resume(job, exact=exact)


def _check_device_count(options: TrainOptions) -> None:
    from mien.training.device import check_device_count

    check_device_count(options.device, options.devices)


def _plan(job: TrainingJob, faces: Dataset) -> TrainingPlan:
    """Bring recipe and data together, and warn of what a user may not expect of this run."""
    from mien.training.plan import plan_training
    from mien.training.tuning import recipe_warnings

    recipe, tunes = job.recipe, job.init_from is not None
    if "model" not in recipe.model_fields_set and not tunes:
        notice(
            f"the recipe names no [model]: a '{recipe.model.name}' of default size is trained from scratch. "
            f"Fine-tune a run with --from RUN.",
            "model-default",
        )
    plan = plan_training(recipe, faces)
    held_out = len(plan.validation)
    if held_out < _FEW:
        notice(f"validation has only {counted(held_out, 'sample')}: its metrics are uncertain.", "validation-small")
    unseen = [name for name, count in zip(plan.classes, plan.train.counts(), strict=True) if not count]
    # The weights that training starts with, or the teachers, may know the class.
    if unseen and not tunes and not job.teachers:
        notice(
            f"no training images for: {', '.join(unseen)}. The model will almost never predict it.", "class-not-trained"
        )
    for warning in recipe_warnings(recipe, from_run=tunes, train_faces=plan.train_count):
        notice(warning.line)
    return plan


def _train(job: TrainingJob, plan: TrainingPlan, options: TrainOptions) -> RunResult:
    origins = {
        "fine-tuned from": options.init_from or "",
        "teachers": ", ".join(str(each.file) for each in job.teachers),
    }
    job = job.with_soft_labels(options.source, plan.dataset)
    with ExitStack() as stack:
        callback: Callback = stack.enter_context(TrainProgress(plan))
        if options.log is not None and is_main_process():
            callback = stack.enter_context(make_logger(options.log, job.run, callback))
        metadata = options.source.environment({name: value for name, value in origins.items() if value})
        return job.start(plan, callback, metadata)


def _content(outcome: RunResult, recipe: Recipe) -> dict[str, Any]:
    content = {"run": str(outcome.run.path), "epoch": outcome.outcome.best_epoch, "keep": recipe.stopping.keep}
    return {**content, **outcome.evaluation.to_dict()}


def _show(outcome: RunResult, recipe: Recipe) -> None:
    show(evaluation_text(outcome.evaluation))
    trained = outcome.outcome
    kept = kept_epoch_text(trained.best_epoch, len(trained.history), recipe.stopping)
    folder = outcome.run.path
    notice(
        f"Training ended after {trained.history[-1]['seconds']:.0f} s: {trained.reason}. "
        f"The model has the weights of epoch {kept}."
    )
    page = ", report.html (the page of these metrics)" if outcome.report else ""
    notice(f"Written to {folder}: model.onnx (the model){page}, weights, metrics and predictions.")
    if not outcome.report:
        notice("No report.html was written: it needs pip install 'mien[report]'.")
    notice(f"Outputs of model.onnx and torch differ by at most {outcome.parity.largest_difference:.1g}.")
    if trained.was_stopped:
        words = [word for word in sys.argv[1:] if word != "--resume"]
        notice(f"Resume with: {shlex.join(['mien', *words, '--resume'])}")
    else:
        notice(f"Next: {shlex.join(['mien', 'predict', 'photo.jpg', '--model', str(folder)])}")


def _tell_of_resume(job: TrainingJob, *, exact: bool) -> None:
    """Say where a run goes on from, and on what other machine; ``--exact`` refuses another one."""
    from mien.training.checkpoint import load_last
    from mien.training.device import make_fabric
    from mien.training.machine import machine_changes

    device = str(make_fabric(job.recipe.precision, job.device).device)
    changes = machine_changes(job.run, device)
    words = ", ".join(f"{name} {now} (was {before})" for name, (before, now) in changes.items())
    if words and exact:
        raise RunError(
            f"{job.run.path} would not end bit-identical on this machine: {words}. Resume it where it began, or leave "
            f"out --exact.",
            code="run-other-machine",
        )
    if words:
        notice(
            f"this run was started on another machine; the result will not be bit-identical: {words}.",
            "run-other-machine",
        )
    if job.run.last.is_file() and load_last(job.run)[2] != job.run.last:
        notice(
            f"{job.run.last} is damaged; resuming from {job.run.previous.name}, one epoch earlier.",
            "checkpoint-damaged",
        )
