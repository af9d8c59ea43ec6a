"""``mien train --folds K``: cross-validation with groups."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from mien.api.cross_validate import folds_folder, run_folds
from mien.api.train import find_job
from mien.cli.output import check_out, notice, show, show_json
from mien.cli.train_run import TrainOptions
from mien.page.terminal import evaluation_text
from mien.pipeline.training_view import TrainProgress


def train_folds_and_show(options: TrainOptions, changes: Sequence[str], count: int, *, json: bool) -> None:
    """Train a model for each fold, and measure it on that fold.

    Raises:
        MienError: see :func:`mien.api.cross_validate.cross_validate`; nothing is written then.
    """
    job = find_job(options.recipe, changes, options.init_from, options.device)
    options.source.check()
    check_out(options.out, options.source.path)
    out = folds_folder(job, count, options.out, options.resume)
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
