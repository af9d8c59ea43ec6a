"""``mien train --folds K``: cross-validation by group."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from pathlib import Path
from statistics import mean, stdev

import typer

from mien.api.train import find_job
from mien.base.errors import RunError, needs_extra
from mien.base.files import write_text
from mien.base.run_folder import RunFolder
from mien.cli.output import check_out, notice, show, show_json
from mien.cli.train_run import TrainOptions
from mien.data.splits import near_copy_groups
from mien.evaluation.results import Evaluation
from mien.page.terminal import evaluation_text
from mien.pipeline.training_view import TrainProgress


def train_folds_and_show(options: TrainOptions, changes: Sequence[str], count: int, *, json: bool) -> None:
    """Train a model for each fold, and measure each on the fold that it did not see.

    Raises:
        MienError: as :func:`mien.runs.folds.predict_folds`; nothing is written then.
    """
    job = find_job(options.recipe, changes, options.init_from, options.device)
    recipe = job.recipe
    out = options.out or Path("runs") / f"{recipe.name}-folds{count}"
    options.source.check()
    _check_folder(out, options.source.path, resume=options.resume)
    job.check()
    with needs_extra("train", "Training"):
        from mien.runs.folds import check_groups, make_folds, measure_folds, predict_folds

    faces = options.source.read(*recipe.input.stored_as).faces
    groups = near_copy_groups(faces.images) if faces.groups is None else faces.groups
    check_groups(faces, groups, count)
    folds = make_folds(faces, groups, count)
    kept_together = f"groups of '{faces.group_column}'" if faces.groups is not None else "near-copies"
    notice(f"{options.source.path}: train and validation are split into {count} folds; {kept_together} stay together")
    predictions = predict_folds(
        recipe,
        folds,
        out,
        callback=TrainProgress(),
        notify=notice,
        environment=options.source.environment(),
        init_from=job.init_from,
        device=options.device,
        advice="To resume, run the same command again with --resume.",
    )
    measured = measure_folds(predictions, folds)
    write_text(out / "metrics.json", dumps(measured.to_dict(), indent=2) + "\n")
    if json:
        show_json({"run": str(out), **measured.to_dict()})
        return
    _show(measured)
    notice(f"Written to {out}: predictions_out-of-fold.npz, metrics.json, and a run folder for each fold.")
    notice("Next: the same command without --folds and --out trains one model.")


def _check_folder(out: Path, data: Path, *, resume: bool) -> None:
    """Refuse a folder that holds something else, folds that are not to be resumed, or a part of the data."""
    check_out(out, data)
    has_folds = (out / "fold-1").is_dir()
    if has_folds and not resume:
        raise RunError(
            f"{out} holds folds already. Choose another folder with --out, or continue with --resume.",
            code="run-exists",
        )
    if not has_folds and RunFolder(out).exists:
        raise RunError(f"{out} exists already. Choose another folder with --out.", code="folder-exists")
    if resume and not has_folds:
        notice(f"{out} holds no folds to resume. The cross-validation starts from its first fold.", "nothing-to-resume")


def _show(measured: Evaluation) -> None:
    show(evaluation_text(measured))
    accuracies = [] if measured.by is None else [each.accuracy.value for each in measured.by.parts[1:]]
    typer.echo(f"\nAccuracy of the folds: mean {mean(accuracies):.1%}, standard deviation {stdev(accuracies):.1%}.")
