"""``mien train``: train a model from a recipe and data."""

from collections.abc import Sequence
from typing import Annotated

import typer

from mien.api.cross_validate import folds_folder, run_folds
from mien.api.train import find_job
from mien.base.errors import DataError
from mien.base.processes import process_count
from mien.cli.options import Range
from mien.cli.output import notice, show, show_json
from mien.cli.train_run import TrainOptions, train_and_show
from mien.cli.train_trial import estimate_and_show, find_lr_and_show
from mien.cli.usage import leave_out
from mien.page.terminal import evaluation_text
from mien.pipeline.training_view import TrainProgress


def train(
    options: TrainOptions,
    *,
    classes: str | None = None,
    folds: Annotated[int, Range(2)] | None = None,
    find_lr: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Train a classifier, export it to ONNX, and evaluate it on the validation split.

    With --folds K, it cross-validates instead: train and validation are split into K folds, and each fold is
    predicted by a model that was trained on the others. With --find-lr, it suggests a learning rate and draws the curve
    of the loss. With --dry-run, it prints how long the training will take, and writes nothing. To train on several
    machines, start mien with torchrun.

    Options:
        folds (K): Cross-validate: train K models, each on all folds except one. Groups (--group), or else near-copies,
            stay in one fold. K is at most the number of groups.
        find_lr: Train for 100 steps with a rising learning rate, draw the curve, and suggest a rate.
        dry_run: Time a few steps; print steps, parameters, memory and time. Train nothing.
    """
    changes = options.plain.changes(options.settings, classes)
    if find_lr + dry_run + (folds is not None) > 1:
        raise DataError("Give only one of --find-lr, --dry-run and --folds.", code="options")
    if dry_run:
        _refuse("--dry-run only times a few steps and writes nothing", options, "resume", "log")
        estimate_and_show(options, changes, json=json)
    elif find_lr:
        _refuse("--find-lr takes a few steps and writes no run", options, "out", "resume", "log", "time")
        find_lr_and_show(options, changes, json=json)
    elif folds is None:
        train_and_show(options, changes, json=json)
    else:
        _refuse("--folds trains several runs, one after another", options, "log", "time")
        _train_folds_and_show(options, changes, folds, json=json)


def _train_folds_and_show(options: TrainOptions, changes: Sequence[str], count: int, *, json: bool) -> None:
    """Train a model for each fold, and measure it on that fold. After an error nothing is written."""
    job = find_job(options.recipe, changes, options.init_from, options.device)
    options.source.check()
    out = folds_folder(job, options.source, count, options.out, options.resume)
    if options.resume and not (out / "fold-1").is_dir():
        notice(f"{out} holds no folds to resume. The cross-validation starts from its first fold.", "nothing-to-resume")
    result = run_folds(job, options.source, count, out, TrainProgress(), notice)
    if json:
        show_json(result.to_dict())
        return
    show(evaluation_text(result.evaluation))
    typer.echo(f"\n{result.summary}")
    notice(f"Written to {out}: predictions_out-of-fold.npz, metrics.json, and a run folder for each fold.")
    notice("Next: the same command without --folds and --out trains one model.")


def _refuse(why: str, options: TrainOptions, *names: str) -> None:
    leave_out(why, {f"--{name}": getattr(options, name) for name in names} | {"torchrun": process_count() > 1})
