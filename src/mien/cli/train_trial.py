"""``mien train --find-lr`` and ``--dry-run``: train a few steps without writing a run."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mien.api.find_lr import search_lr
from mien.api.train import find_job
from mien.base.errors import MissingExtraError
from mien.base.processes import available_cores, processor_name
from mien.cli.output import notice, show, show_facts, show_json, show_notices
from mien.cli.train_run import TrainOptions, find_options
from mien.page.wording import counted, duration_text


def estimate_and_show(options: TrainOptions, changes: Sequence[str], *, json: bool) -> None:
    """Time a few training steps and print an estimate for the whole training."""
    job = find_options(options, changes)
    options.source.check()
    replace(job, run=None).check()  # nothing is written, so the run's folder may exist
    plan = job.plan(options.source)
    from mien.training.probe import estimate_training

    show_notices(job.notices(plan))
    found = estimate_training(plan, job.init_from, job.device)
    if json:
        show_json({"recipe": job.recipe.name, "run": str(job.out.path), **found.to_dict()})
        return
    steps = found.epochs * found.steps_per_epoch
    memory = "not known" if found.memory_bytes is None else f"{found.memory_bytes / 1e9:.1f} GB"
    show_facts(
        {
            "recipe": f"{job.recipe.name}, network {plan.recipe.model.name} of {found.parameters:,} parameters",
            "data": f"{plan.train_count:,} train, {len(plan.validation):,} validation, {len(plan.classes)} classes",
            "steps": f"{steps:,}: {counted(found.epochs, 'epoch')} of {found.steps_per_epoch:,}",
            "memory": f"{memory} at most, on {found.device}",
            "processor": f"{processor_name()}, {counted(available_cores(), 'core')}",
            "time": f"{duration_text(found.seconds, units=True)}, estimated from a few steps on this machine",
        }
    )
    notice(f"Nothing was written. Without --dry-run the run goes to {job.out.path}, which must not exist yet.")


def find_lr_and_show(options: TrainOptions, changes: Sequence[str], *, json: bool) -> None:
    """Run the learning-rate range test, print its suggestion, and draw its curve."""
    job = find_job(options.recipe, changes, options.init_from, options.device)
    options.source.check()
    job.check()
    chart = Path("runs") / f"{job.recipe.name}-find-lr.svg"
    found, recipe = search_lr(job, options.source), job.recipe
    drawn = ""
    with suppress(MissingExtraError):
        found.plot().save(chart)
        drawn = str(chart)
    if json:
        show_json({"recipe": recipe.name, "lr": recipe.optim.lr, "chart": drawn or None, **found.to_dict()})
        return
    show(
        f"Suggested learning rate: {found.suggestion:.2g}, around which the loss still falls clearly. It must be below "
        f"{found.highest:.2g}, from which the loss rises. The recipe has {recipe.optim.lr:g}."
    )
    notice(f"Train with it: --lr {found.suggestion:.2g}. It is valid for this recipe, batch size and data.")
    notice(f"Chart: {drawn}" if drawn else "No chart was drawn: it needs pip install 'mien[report]'.")
