"""``mien train``: recipe and data in, run folder out. ``mien distill`` does the same with teachers."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import (
    ClassesOption,
    CleanOption,
    DataOption,
    JsonOption,
    MapOption,
    QuietOption,
    SkipBadOption,
    remark,
    show,
    show_json,
)
from mien.cli.source import Source
from mien.errors import RunError, nearest, needs_extra

if TYPE_CHECKING:
    from mien.run_folder import RunFolder
    from mien.training.loop import Watch

_FEW = 50
"""Faces of validation: where 35 of 50 are right, the interval spans about 25 points."""

LogOption = Annotated[
    str | None,
    typer.Option(help="'tensorboard': keep the run's history in TensorBoard's files too.", metavar="LOGGER"),
]


def train(
    recipe: Annotated[str, typer.Argument(help="A name from `mien recipes`, or a .toml file.")],
    data: DataOption,
    out: Annotated[Path | None, typer.Option(help="The run folder to make; runs/RECIPE by default.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a key: optim.lr=0.01. May be given often.", metavar="KEY=VALUE"),
    ] = None,
    classes: ClassesOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, if one was begun.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", help="Fine-tune: begin with the weights, model and input of this run, 'default' or 'fast'."
        ),
    ] = None,
    log: LogOption = None,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a classifier, export it, and measure it on the validation split."""
    train_and_show(
        recipe,
        Source(data, class_map, skip_bad, clean),
        out=out,
        changes=[*(changes or ()), *([] if classes is None else [f"classes={classes}"])],
        resume=resume,
        start=start,
        log=log,
        json=json,
    )


def train_and_show(
    recipe: str,
    source: Source,
    *,
    out: Path | None,
    changes: Sequence[str],
    resume: bool,
    start: str | None,
    log: str | None,
    json: bool,
    teachers: Sequence[str] = (),
) -> None:
    """What ``mien train`` and ``mien distill`` do: the whole run, and what a person sees of it."""
    from mien.experiments.teaching import find_teachers
    from mien.inference.locate import find_trained
    from mien.recipe_file import load_recipe, tuned
    from mien.run_folder import RunFolder

    # Before torch, which takes seconds: most slips are in a name, a path or a --set.
    chosen = load_recipe(recipe, changes)
    _check_log(log)
    run = RunFolder(out or Path("runs") / chosen.name)
    start_run = find_trained(start) if start is not None else None
    if start_run is not None:
        chosen = tuned(chosen, start_run.read_recipe(), changes)
    taught_by = find_teachers(teachers, chosen.distill.live)
    goes_on = resume and run.is_run
    if not goes_on:
        run.check_free(or_resume=True)
    source.check()
    with needs_extra("train", "Training"):
        from mien.experiments.run import run_recipe
        from mien.training.state import check_goes_on, check_network, check_same_recipe, file_digest
        from mien.training.tuning import doubts
    from mien.cli.train_view import TrainView
    from mien.data.balance import balanced_counts
    from mien.labels import parse_scheme
    from mien.report.table import evaluation_table
    from mien.report.wording import counted

    if start_run is not None:
        file_digest(start_run.best)  # for its one line where the weights are missing
    check_network(chosen)
    if goes_on:
        with run.alone():
            check_goes_on(run)
            check_same_recipe(run, chosen)
    if resume and not goes_on:
        remark(f"NOTE: there is no run in {run.path} to go on with: a new one begins.")
    result = source.read(chosen.input.size_px)
    faces = result.faces
    found = f"{result.shape}, {len(faces):,} faces of {len(faces.classes)} classes; splits: {result.split_origin}"
    remark(f"{source.path}: {found}")
    to_learn = faces.of_split("train").with_scheme(parse_scheme(chosen.classes))
    if "model" not in chosen.model_fields_set and start_run is None:
        remark(
            f"NOTE: the recipe names no [model]: a '{chosen.model.name}' of usual size learns from scratch. "
            f"To go on with what a run has learnt, add --from RUN."
        )
    held_out = int(faces.with_scheme(parse_scheme(chosen.classes)).counts("validation").sum())
    if 0 < held_out < _FEW:
        remark(f"NOTE: validation has {counted(held_out, 'face')} to choose the epoch by: its figures say little.")
    unseen = [name for name, count in zip(to_learn.classes, to_learn.counts("train"), strict=True) if not count]
    # What it begins with, or teachers, may know the class.
    if unseen and start_run is None and not taught_by:
        remark(f"NOTE: there is no face to learn of: {', '.join(unseen)}. The model will hardly ever say so.")
    to_show = int(balanced_counts(to_learn.counts("train"), chosen.balance).sum())
    for doubt in doubts(chosen, from_run=start_run is not None, train_faces=to_show):
        remark(f"NOTE: {doubt}")
    if goes_on:
        _warn_of_other_machine(run)
    origins = {"fine-tuned from": start or "", "teachers": ", ".join(map(str, taught_by))}
    origins = {name: names for name, names in origins.items() if names}
    with TrainView(chosen, faces) as shown:
        view: Watch = shown
        if log is not None:
            from mien.training.tensorboard import TensorBoardLog

            view = TensorBoardLog(run, shown)
        outcome = run_recipe(
            chosen,
            faces,
            run,
            resume=resume,
            start=start_run,
            teachers=taught_by,
            watch=view,
            facts=source.environment(origins),
        )
    if outcome.removed:
        remark(
            f"NOTE: removed {', '.join(outcome.removed)} from {run.path}: made from a model of other weights, or from "
            f"one that is gone."
        )
    if json:
        show_json({"run": str(run.path), "best_epoch": outcome.outcome.best_epoch, **outcome.evaluation.to_dict()})
        return
    show(evaluation_table(outcome.evaluation))
    seconds = outcome.outcome.history[-1]["seconds"]
    remark(
        f"{run.path}: {outcome.outcome.reason} after {seconds:.0f} s; best epoch {outcome.outcome.best_epoch}; "
        f"model.onnx agrees with torch to {outcome.parity.largest_difference:.1g}."
    )
    if outcome.outcome.reason == "interrupted":
        words = [word for word in sys.argv[1:] if word != "--resume"]
        remark(f"Go on with: {shlex.join(['mien', *words, '--resume'])}")
    remark(f"report: {outcome.report}" if outcome.report else "No report: it needs pip install 'mien[report]'.")


def _check_log(log: str | None) -> None:
    """Refuse a logger that there is not, before anything is read."""
    if log is None:
        return
    if log != "tensorboard":
        raise RunError(f"There is no logger '{log}'." + nearest(log, ["tensorboard"]))
    with needs_extra("log", "--log tensorboard"):
        import tensorboard  # noqa: F401


def _warn_of_other_machine(run: RunFolder) -> None:
    """Say when a run goes on elsewhere than it began: it ends well, but not bit-identical."""
    import torch

    begun = run.read_environment()
    for name, now in (("threads", torch.get_num_threads()), ("torch", torch.__version__)):
        if begun.get(name) != now:
            remark(f"note: this run began with {name} {begun.get(name)}, now {now}; it will not end bit-identical.")
