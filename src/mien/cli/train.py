"""Commands that train: one model, a student of teachers, a search, a study."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import typer

import mien
from mien.api.train import find_job, settings_of
from mien.base.errors import DataError, MissingExtraError, Notice, StudyError
from mien.base.processes import available_cores, is_main_process, process_count, processor_name
from mien.base.run_folder import RunFolder
from mien.base.spec_file import toml_value
from mien.cli.options import shows
from mien.cli.output import leave_out, notice, show, show_facts, show_json, show_notices, show_rows
from mien.cli.source import SourceOptions
from mien.page.terminal import evaluation_text
from mien.page.wording import counted, duration_text, kept_epoch_text, percent
from mien.pipeline.training_view import TrainProgress
from mien.runs.page import study_tables
from mien.runs.plan import PlannedRun
from mien.runs.spec import load_study, study_names

PLAIN = ("epochs", "batch_size", "lr", "seed", "classes")
"""Options that are keys of the recipe."""


@shows(mien.train, "teachers", "tta", "callback", "verbose", reads=SourceOptions)
def train(
    train_model: partial[Any],
    *,
    folds: int | None = None,
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
            stay in one fold. K is 2 or more, at most the number of groups.
        find_lr: Train for 100 steps with a rising learning rate, draw the curve, and suggest a rate.
        dry_run: Time a few steps; print steps, parameters, memory and time. Train nothing.
    """
    given = dict(train_model.keywords)
    if find_lr + dry_run + (folds is not None) > 1:
        raise DataError("Give only one of --find-lr, --dry-run and --folds.", code="options")
    if not (find_lr or dry_run or folds is not None):
        _show_training(train_model(), json)
        return
    given["settings"] = settings_of(given.pop("settings", None), **{name: given.pop(name, None) for name in PLAIN})
    if dry_run:
        own = _without(given, "--dry-run only times a few steps and writes nothing", "resume", "log")
        _show_estimate(**own, json=json)
    elif find_lr:
        own = _without(given, "--find-lr takes a few steps and writes no run", "out", "resume", "log", "time")
        _show_lr(**own, json=json)
    else:
        own = _without(given, "--folds trains several runs, one after another", "log", "time")
        result = mien.cross_validate(**own, folds=folds or 0, callback=TrainProgress(), notify=notice)
        if json:
            show_json(result.to_dict())
            return
        show(evaluation_text(result.evaluation))
        typer.echo(f"\n{result.summary}")
        notice(
            f"Written to {result.folder}: predictions_out-of-fold.npz, metrics.json, and a run folder for each fold."
        )
        notice("Next: the same command without --folds and --out trains one model.")


@shows(mien.train, "callback", "verbose", reads=SourceOptions)
def distill(train_model: partial[Any], *, teachers: list[str], json: bool = False) -> None:
    """Train a student on the predictions of teachers, export it, and evaluate it on the validation split.

    Each teacher predicts the train split once; its predictions are kept in the cache.

    Options:
        teachers: A model (as for --model), or a predictions file of the train split. Several are averaged.
    """
    _show_training(train_model(teachers=teachers), json)


def _without(given: dict[str, Any], why: str, *names: str) -> dict[str, Any]:
    leave_out(why, {f"--{name}": given.get(name) for name in names} | {"torchrun": process_count() > 1})
    return {name: value for name, value in given.items() if name not in names}


def _show_training(result: mien.TrainingResult, json: bool) -> None:
    if not is_main_process():
        return
    if result.removed:
        notice(f"removed {', '.join(result.removed)} from {result.run}: they belong to other weights.", "files-removed")
    show_json(result.to_dict()) if json else _show_metrics(result)
    if result.reason == "interrupted":
        raise typer.Exit(130)


def _show_metrics(result: mien.TrainingResult) -> None:
    from mien.pipeline.training_run import cross_validated_text

    show(evaluation_text(result.evaluation.evaluation))
    kept = kept_epoch_text(result.best_epoch, len(result.history), result.recipe.stopping)
    fits_head = result.recipe.tuning.fit_head
    end = "the head is fitted" if fits_head else f"{result.reason}. The model has the weights of epoch {kept}"
    notice(f"Training ended after {result.history[-1]['seconds']:.0f} s: {end}.")
    if RunFolder(result.run).read_environment().get("precision") == "bf16" and not fits_head:
        notice("The epochs were validated in bf16, these metrics are of model.onnx in fp32: they differ slightly.")
    page = "report.html (the page of these metrics)" if result.report else "no report.html (pip install 'mien[report]')"
    notice(f"Written to {result.run}: model.onnx (the model), {page}, weights, metrics and predictions.")
    if result.cross_validated:
        validated = cross_validated_text(result.cross_validated).capitalize()
        notice(f"{validated}. The penalty was chosen on the same folds, so this is slightly optimistic.")
    if result.was_stopped:
        words = [word for word in sys.argv[1:] if word != "--resume"]
        under = " under torchrun" if process_count() > 1 else ""
        notice(f"Resume{under} with: {shlex.join(['mien', *words, '--resume'])}")
    elif not result.notices:
        notice(f"Next: {shlex.join(['mien', 'predict', 'photo.jpg', '--model', str(result.run)])}")


def _show_estimate(*, recipe: str, data: Any, settings: Sequence[Any], json: bool, **given: Any) -> None:
    job = find_job(recipe, settings, given.get("init_from"), given["device"], given.get("time"))
    job.check()  # nothing is written, so the run's folder may exist
    job = job.with_run(given.get("out"))
    plan = job.plan(data)
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
            "data": f"{len(plan.chosen):,} train, {len(plan.validation):,} validation, {len(plan.classes)} classes",
            "steps": f"{steps:,}: {counted(found.epochs, 'epoch')} of {found.steps_per_epoch:,}",
            "memory": f"{memory} at most, on {found.device}",
            "processor": f"{processor_name()}, {counted(available_cores(), 'core')}",
            "time": f"{duration_text(found.seconds, units=True)}, estimated from a few steps on this machine",
        }
    )
    notice(f"Nothing was written. Without --dry-run the run goes to {job.out.path}, which must not exist yet.")


def _show_lr(*, json: bool, **given: Any) -> None:
    recipe = find_job(given["recipe"], given["settings"], given.get("init_from")).recipe
    found = mien.find_lr(**given)
    chart = Path("runs") / f"{recipe.name}-find-lr.svg"
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


@shows(mien.sweep, "settings", reads=SourceOptions)
def sweep(
    search: partial[Any],
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    json: bool = False,
) -> None:
    """See :func:`mien.sweep`.

    Options:
        epochs: Epochs of each trial.
        batch_size: Number of images in a batch.
        lr: Peak learning rate.
        seed: Random seed.
    """
    settings = settings_of(None, epochs=epochs, batch_size=batch_size, lr=lr, seed=seed)
    result = search(settings=settings, notify=notice, callback=TrainProgress())
    best = result.best
    if json:
        show_json(result.to_dict())
    elif best is None:
        ended = counted(len(result.trials), "trial")
        which = f"none of {ended} reached its last epoch" if result.trials else "no trial is finished"
        notice(f"{result.folder}: {which}, so there is no best recipe.")
    else:
        typer.echo(f"best: trial {best.number} of {len(result.trials)}, {percent(best.accuracy)} on validation")
        show_facts({key: f"{at:.4g}" if isinstance(at, float) else toml_value(at) for key, at in best.values.items()})
        notice(
            f"All trials: {result.folder / 'trials.csv'}. The best was chosen on these faces; confirm it with other "
            f"seeds: mien train {result.best_recipe} --data PATH --set seed=1"
        )
    if result.was_stopped:
        notice(f"Stopped with {len(result.trials)} of {result.total} trials finished. Run the same command to resume.")
        raise typer.Exit(130)


@shows(mien.study, "verbose")
def study(
    run_study: partial[Any],
    *,
    data: Path | None = None,
    data_options: SourceOptions,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """See :func:`mien.study`.

    Options:
        dry_run: Print what would run.
    """
    name = run_study.keywords["spec"]
    if name == "list":
        _show_studies(json)
        return
    load_study(name)
    if data is None:
        raise StudyError(f"A study needs data: mien study {name} --data PATH.", code="options")
    if dry_run:
        leave_out("--dry-run shows what would be trained", {"--finished": run_study.keywords["finished"]})
    table = run_study(data=data_options.at(data), callback=_DryRun(json) if dry_run else None)
    if table.page is not None:
        show_json(table.to_dict()) if json else show(study_tables(table))
        results = run_study.keywords.get("results", table.page.parent / "results")
        notice(f"page: {table.page}; the finished runs are kept in {results}")
    if table.was_stopped:
        notice("Stopped. Run the same command to resume.")
        raise typer.Exit(130)


class _DryRun(mien.StudyCallback):
    """Prints the planned runs and ends the command."""

    def __init__(self, json: bool) -> None:
        self._json = json

    def on_plan(self, runs: Sequence[PlannedRun], to_do: Sequence[PlannedRun], notices: Sequence[Notice]) -> None:
        show_notices(notices)
        rows = [{"variant": run.variant, "seed": run.recipe.seed, "epochs": run.recipe.epochs} for run in to_do]
        if self._json:
            show_json({"runs": len(runs), "to_do": rows})
        else:
            show_rows(rows)
            typer.echo(f"{len(to_do)} of {len(runs)} runs to do.")
        raise typer.Exit


def _show_studies(json: bool) -> None:
    rows = []
    for each in map(load_study, study_names()):
        runs = sum(len(each.seeds_of(variant)) for variant in each.variants if not variant.after)
        rows.append({"name": each.name, "runs": runs, "question": each.question or each.title})
    show_rows(rows, json)
