"""``mien study``: recipes over seeds, one table and one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import (
    CleanOption,
    DataIfAnyOption,
    JsonOption,
    MapOption,
    QuietOption,
    SkipBadOption,
    check_out,
    page_facts,
    remark,
    show,
    show_json,
)
from mien.cli.source import Source
from mien.errors import needs_extra

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mien.data.faceset import FaceSet
    from mien.experiments.study import Study
    from mien.experiments.study_results import Plan, Planned


def study(
    name: Annotated[str, typer.Argument(help="A name from `mien study list`, or a .toml file.", metavar="NAME")],
    data: DataIfAnyOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of runs, table and page; studies/NAME by default.", metavar="OUT"),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Keep finished runs here, and find them here; OUT/results by default.", metavar="DIR"),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Run this variant alone. May be given often.", metavar="VARIANT")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a key of every recipe, epochs=5, or of one variant's, VARIANT:epochs=5. May be given often.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs side by side; they share the cores.", metavar="N")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and about how long.")] = False,
    only_finished: Annotated[
        bool, typer.Option("--finished", help="Train nothing: the table and page of what is finished already.")
    ] = False,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a study: recipes over seeds, compared on the same faces. What is finished is never run again.

    `mien study list` shows the studies that come with mien.
    """
    from mien.errors import MienError, StudyError
    from mien.experiments.study import load_study

    if name == "list":
        _list(json)
        return
    if only_finished and (dry_run or only):
        raise StudyError("--finished trains nothing and tells of all that is finished; leave out --only and --dry-run.")
    wanted = load_study(name)
    for each in only or ():
        wanted.variant(each)
    if changes:
        # Table and page must not pass for those of the study as it is.
        wanted = wanted.model_copy(update={"title": f"{wanted.title} (changed: {', '.join(changes)})"})
    if data is None:
        raise StudyError(f"A study needs faces: mien study {name} --data PATH.")
    out = out or Path("studies") / wanted.name
    results = results or out / "results"
    check_out(out, data)
    if results.is_file():
        raise StudyError(f"{results} is a file; --results names a folder.")
    # Before torch, which takes seconds.
    source = Source(data, class_map, skip_bad, clean)
    source.check()
    with needs_extra("train", "Training"):
        from mien.experiments.study_plan import lacking, make_plan
        from mien.experiments.study_run import Yard
        from mien.experiments.study_runs import run_all
        from mien.experiments.study_time import seconds_left, side_by_side
    with needs_extra("report", "The study's page and its tests"):
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
        import scipy  # noqa: F401
    from mien.experiments.study_page import study_tables, write_study
    from mien.experiments.study_results import read_finished
    from mien.experiments.study_table import tabulate, write_table
    from mien.progress import bars_are_shown, busy

    finished = read_finished(results)
    yard = Yard(_read(wanted, source, changes or ()), out, results, source.environment())
    with busy("checking every run"):
        plan = make_plan(wanted, yard.faces_of_size, changes or ())
    for each in only or ():
        if each in plan.left_out:
            raise StudyError(f"The variant '{each}' cannot be run here: {plan.left_out[each]}")
    if only_finished and not any(run.key in finished for run in plan.runs):
        settings = "these settings" if changes else "its own settings, without --set,"
        raise StudyError(f"{results} holds no finished run of this study with {settings} on this data.")
    to_do = [] if only_finished else lacking(wanted, plan, finished, out, only or ())
    _say_what_is_doubtful(plan, to_do)
    at_once, costs = side_by_side(jobs, len(to_do)), [1.0] * len(to_do)
    if to_do and (dry_run or bars_are_shown()):
        with busy("timing the networks"):
            costs = seconds_left(to_do, finished, out, at_once)
    if dry_run:
        _say_what_would_run(len(plan.runs), to_do, costs, at_once, json)
        return
    all_ended, failure = True, None
    if to_do:
        from mien.cli.study_view import StudyView

        try:
            with StudyView(to_do, costs) as view:
                all_ended = run_all(to_do, finished, yard, view, jobs)
        except MienError as error:
            # What is finished is told all the same.
            failure = error
        finished = read_finished(results)
    if not all_ended and not any(run.key in finished for run in plan.runs):
        remark("Stopped before a run was finished. The same command goes on where this one was.")
        raise typer.Exit(130)
    table = tabulate(wanted, plan, finished)
    write_table(out / "study.json", table)
    written = write_study(out, table, page_facts(source.environment()))
    if json:
        show_json(table.to_dict())
    else:
        show(study_tables(table))
    remark(f"page: {written.page}; finished runs are kept in {results}")
    if failure is not None:
        raise failure
    if not all_ended:
        remark("Stopped. The same command goes on where this one was.")
        raise typer.Exit(130)


def _list(json: bool) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mien.experiments.study import load_study, study_names

    studies = [load_study(each) for each in study_names()]
    if json:
        show_json(
            [
                {"name": each.name, "title": each.title, "question": each.question, "variants": len(each.variants),
                 "runs": _runs_of(each)}
                for each in studies
            ]
        )  # fmt: skip
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for header in ("study", "runs", "what it asks"):
        table.add_column(header, justify="right" if header == "runs" else "left")
    for each in studies:
        table.add_row(each.name, str(_runs_of(each)), Text(each.question or each.title))
    show(table)


def _runs_of(study: Study) -> int:
    return sum(len(study.seeds_of(variant)) for variant in study.variants if not variant.after)


def _read(study: Study, source: Source, changes: Sequence[str]) -> Mapping[int, FaceSet]:
    """The data at every size that the study's recipes name: each is decoded once, for all runs."""
    sizes = {
        study.recipe_of(variant, study.seeds_of(variant)[0], changes).input.size_px
        for variant in study.variants
        if not variant.after
    }
    return {size_px: source.read(size_px, again=number > 0).faces for number, size_px in enumerate(sorted(sizes))}


def _say_what_is_doubtful(plan: Plan, to_do: Sequence[Planned]) -> None:
    """What a person should know of the runs before they begin."""
    from mien.training.tuning import doubts

    for name, reason in plan.left_out.items():
        remark(f"NOTE: {name} is left out: {reason}")
    told: set[str] = set()
    for run in to_do:
        for doubt in doubts(run.recipe, from_run=run.parent is not None) if run.variant not in told else ():
            remark(f"NOTE: {run.variant}: {doubt}")
        told.add(run.variant)


def _say_what_would_run(
    count: int, to_do: Sequence[Planned], seconds: Sequence[float], at_once: int, json: bool
) -> None:
    from rich import box
    from rich.table import Table

    from mien.report.study_wording import duration

    total = sum(seconds) / at_once
    if json:
        lines = [
            {"variant": run.variant, "seed": run.recipe.seed, "seconds": each}
            for run, each in zip(to_do, seconds, strict=True)
        ]
        show_json({"runs": count, "to_do": lines, "seconds": total})
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for header in ("variant", "seed", "epochs", "about"):
        table.add_column(header, justify="left" if header == "variant" else "right")
    for run, each in zip(to_do, seconds, strict=True):
        table.add_row(run.variant, str(run.recipe.seed), str(run.recipe.epochs), duration(each))
    if to_do:
        show(table)
    how = ", one at a time" if at_once == 1 else f", {at_once} at a time"
    typer.echo(f"{len(to_do)} of {count} runs to do{how}: about {duration(total)}, if none stops early.")
