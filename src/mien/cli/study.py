"""``mien study``: recipes over seeds, one table and one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import (
    BatchSizeOption,
    Engine,
    EngineOption,
    EpochsOption,
    JsonOption,
    LrOption,
    OptionalDataOption,
    QuietOption,
    recipe_changes,
)
from mien.cli.output import check_out, note, notice, page_metadata, show, show_json
from mien.cli.source import Source, SourceVotesOptions
from mien.cli.study_view import StudyProgress, show_studies, show_what_would_run
from mien.data.clean import apply_clean, read_clean
from mien.data.dataset import Dataset
from mien.errors import MienError, StudyError, needs_extra
from mien.page.rendering import import_page_packages
from mien.progress import bars_are_shown, busy
from mien.runs.page import study_tables, write_study
from mien.runs.spec import Study, load_study
from mien.runs.store import CompletedRun, DataForm, PlannedRun, StudyPlan, read_completed
from mien.runs.table import tabulate, write_table

if TYPE_CHECKING:
    from mien.runs.execute import StudyContext

Completed = Mapping[str, CompletedRun]


@dataclass(frozen=True)
class _Options:
    """What the user asked for, found and checked as far as that needs no data."""

    study: Study
    source: Source
    out: Path
    results: Path
    changes: Sequence[str] = field(default=())
    only: Sequence[str] = field(default=())
    jobs: int | None = None
    engine: Engine = Engine.LOCAL
    dry_run: bool = False
    only_finished: bool = False
    json: bool = False


def study(
    name: Annotated[
        str, typer.Argument(help="The name of a study (see `mien study list`), or a .toml file.", metavar="STUDY")
    ],
    data: OptionalDataOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of runs, table and page. The default is studies/STUDY.", metavar="OUT"),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Folder of the finished runs. The default is OUT/results.", metavar="DIR"),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Run only this variant. Can be repeated.", metavar="VARIANT")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="Use this recipe instead of the study's own, such as small (one minute for each run on one core).",
            metavar="RECIPE",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a key of every recipe (epochs=5) or of one variant (VARIANT:epochs=5). Can be repeated.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Train N runs at the same time; they share the cores. The default is 1, and one for each core with "
            "--engine ray.",
            metavar="N",
        ),
    ] = None,
    engine: EngineOption = Engine.LOCAL,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would run and about how long it would take.")
    ] = False,
    only_finished: Annotated[
        bool, typer.Option("--finished", help="Train nothing. Write table and page of the finished runs.")
    ] = False,
    epochs: EpochsOption = None,
    batch_size: BatchSizeOption = None,
    lr: LrOption = None,
    *,
    data_options: SourceVotesOptions,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a study: compare recipes over several seeds on the same data. A finished run is never repeated.

    `mien study list` shows the built-in studies.
    """
    if name == "list":
        show_studies(json)
        return
    if only_finished and (dry_run or only):
        raise StudyError("--finished trains nothing; leave out --only and --dry-run.", code="options")
    wanted = load_study(name)
    for each in only or ():
        wanted.variant(each)
    changes = recipe_changes(changes, epochs, batch_size, lr)
    told = ([] if recipe is None else [f"recipe {recipe}"]) + list(changes)
    if told:
        # Table and page must not be mistaken for those of the unchanged study.
        title = f"{wanted.title} (changed: {', '.join(told)})"
        wanted = wanted.model_copy(update={"title": title})
    if recipe is not None:
        # Its runs have folders of their own, also where both keep theirs in one place.
        wanted = wanted.model_copy(update={"name": f"{wanted.name}-{Path(recipe).stem}", "recipe": recipe})
        # What was published is of another network.
        variants = tuple(each.model_copy(update={"published": {}}) for each in wanted.variants)
        wanted = wanted.model_copy(update={"variants": variants})
    if data is None:
        raise StudyError(f"A study needs data: mien study {name} --data PATH.", code="options")
    out = out or Path("studies") / wanted.name
    source = data_options.at(data)
    given = (changes, only or (), jobs, engine, dry_run, only_finished, json)
    options = _Options(wanted, source, out, results or out / "results", *given)
    _check(options)
    _run(options)


def _check(options: _Options) -> None:
    """Refuse before torch is loaded, which takes seconds, and before hours of training."""
    options.source.check()
    check_out(options.out, options.source.path)
    if options.source.clean is None and any(variant.clean for variant in options.study.variants):
        raise StudyError(
            f"The study '{options.study.name}' has variants that train on cleaned data. Give the list of `mien audit` "
            "with --clean FILE.",
            code="options",
        )
    if options.results.is_file():
        raise StudyError(f"{options.results} is a file; --results must name a folder.", code="out-is-file")
    with needs_extra("train", "Training"):
        import mien.runs.scheduler  # noqa: F401
    with needs_extra("report", "The page and the tests of a study"):
        import_page_packages()
        import scipy  # noqa: F401


def _run(options: _Options) -> None:
    """Plan, train what is missing, and write table and page."""
    from mien.runs.execute import StudyContext
    from mien.runs.plan import pending

    study, metadata = options.study, options.source.environment()
    completed = read_completed(options.results)
    context = StudyContext(_read(options), options.out, options.results, metadata)
    plan = _plan(options, context, completed)
    to_do = [] if options.only_finished else pending(study, plan, completed, options.out, options.only)
    _give_notices(plan, to_do)
    all_ended, failure = True, None
    if to_do or options.dry_run:
        costs, at_once = _estimate(options, to_do, completed)
        if options.dry_run:
            show_what_would_run(len(plan.runs), to_do, costs, at_once, options.json)
            return
        all_ended, failure = _train(options, context, to_do, completed, costs)
        completed = read_completed(options.results)
    if not all_ended and not any(run.key in completed for run in plan.runs):
        notice("Stopped before the first run was finished. Run the same command to resume.")
        raise typer.Exit(130)
    _write(options, plan, completed, metadata)
    if failure is not None:
        raise failure
    if not all_ended:
        notice("Stopped. Run the same command to resume.")
        raise typer.Exit(130)


def _read(options: _Options) -> Mapping[DataForm, Dataset]:
    """The data as every recipe of the study takes it: each size, grey or RGB, is decoded once, for all runs."""
    study, clean = options.study, options.source.clean
    lists = dict.fromkeys(variant.clean for variant in study.variants if variant.clean)
    forms = {
        study.recipe_of(variant, study.seeds_of(variant)[0], options.changes).input.stored_as
        for variant in study.variants
        if not variant.after
    }
    faces: dict[DataForm, Dataset] = {}
    for at, form in enumerate(sorted(forms)):
        read = options.source.read(*form, again=at > 0)
        if read.uncleaned is None or clean is None or not lists:
            faces[DataForm(*form)] = read.faces
            continue
        faces[DataForm(*form)] = read.uncleaned
        for kinds in lists:
            faces[DataForm(*form, kinds)] = apply_clean(read.uncleaned, read_clean(clean).of_train(kinds))
    return faces


def _plan(options: _Options, context: StudyContext, completed: Completed) -> StudyPlan:
    """All runs of the study on this data. Raises :class:`StudyError`."""
    from mien.runs.plan import make_plan

    with busy("checking every run"):
        plan = make_plan(options.study, context.faces_by_form, options.changes)
    for each in options.only:
        if each in plan.left_out:
            raise StudyError(f"The variant '{each}' cannot be run here: {plan.left_out[each]}", code="variant-left-out")
    if options.only_finished and not any(run.key in completed for run in plan.runs):
        settings = "these settings" if options.changes else "its own settings, without --set,"
        raise StudyError(
            f"{options.results} holds no finished run of this study with {settings} on this data.",
            code="nothing-finished",
        )
    return plan


def _give_notices(plan: StudyPlan, to_do: Sequence[PlannedRun]) -> None:
    """Warn of what a user may not expect of the runs."""
    from mien.training.tuning import recipe_warnings

    for name, reason in plan.left_out.items():
        note(f"{name} is left out: {reason}", "variant-skipped")
    seen: set[str] = set()
    for run in to_do:
        if run.variant in seen:
            continue
        trained = run.parent is not None or run.model is not None
        for doubt in recipe_warnings(run.recipe, from_run=trained, train_faces=run.train_faces):
            note(f"{run.variant}: {doubt}", doubt.code)
        seen.add(run.variant)


def _estimate(options: _Options, to_do: Sequence[PlannedRun], completed: Completed) -> tuple[Sequence[float], int]:
    """Seconds of each run, where somebody will see them, and how many run at once."""
    from mien.runs.duration import seconds_left, side_by_side

    at_once = side_by_side(options.jobs or 1, len(to_do))
    if not to_do or not (options.dry_run or bars_are_shown()):
        return [1.0] * len(to_do), at_once
    with busy("timing the networks"):
        return seconds_left(to_do, completed, options.out, at_once), at_once


def _train(
    options: _Options,
    context: StudyContext,
    to_do: Sequence[PlannedRun],
    completed: Completed,
    costs: Sequence[float],
) -> tuple[bool, MienError | None]:
    """Whether all runs ended, and what went wrong. A failure waits until table and page of the rest are written."""
    from mien.runs.ray_run import run_all_on_ray
    from mien.runs.scheduler import run_all

    try:
        with StudyProgress(to_do, costs) as view:
            if options.engine == Engine.RAY:
                return run_all_on_ray(to_do, completed, context, view, options.jobs), None
            return run_all(to_do, completed, context, view, options.jobs or 1), None
    except MienError as error:
        return True, error


def _write(options: _Options, plan: StudyPlan, completed: Completed, metadata: Mapping[str, object]) -> None:
    table = tabulate(options.study, plan, completed)
    write_table(options.out / "study.json", table)
    written = write_study(options.out, table, page_metadata(metadata))
    if options.json:
        show_json(table.to_dict())
    else:
        show(study_tables(table))
    notice(f"page: {written.page}; the finished runs are kept in {options.results}")
