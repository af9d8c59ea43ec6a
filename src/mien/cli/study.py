"""``mien study``: compare recipes over several seeds, with one table and one page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import typer

from mien.api import study as api
from mien.base.errors import Notice, StudyError
from mien.cli.options import Positive
from mien.cli.output import notice, show, show_json, show_notices, show_rows
from mien.cli.source import SourceOptions
from mien.cli.usage import leave_out
from mien.runs.page import StudyProgress, study_tables
from mien.runs.plan import PlannedRun, StudyCallback
from mien.runs.spec import load_study, study_names


def study(
    name: str,
    *,
    data: Path | None = None,
    out: Path | None = None,
    results: Path | None = None,
    only: list[str] | None = None,
    recipe: str | None = None,
    settings: list[str] | None = None,
    jobs: Positive | None = None,
    engine: Literal["local", "ray"] = "local",
    dry_run: bool = False,
    finished: bool = False,
    data_options: SourceOptions,
    json: bool = False,
) -> None:
    """Run a study: compare recipes over several seeds on the same data. A finished run is never repeated.

    `mien study list` shows the built-in studies.

    Options:
        name (STUDY): The name of a study (see `mien study list`), or a .toml file.
        out (OUT): Folder of runs, table and page. The default is studies/STUDY.
        results (DIR): Folder of the finished runs. The default is OUT/results.
        only (VARIANT): Run and show only this variant, and those that it builds on. Can be repeated.
        recipe (RECIPE): Use this recipe instead of the study's own. small takes one minute for each run on one core.
        settings (KEY=VALUE): Change a key of every recipe (epochs=5) or of one variant (VARIANT:epochs=5). Can be
            repeated.
        jobs (N): Train N runs at the same time; they share the cores. The default is 1, with --engine ray one per core.
        dry_run: Print what would run.
        finished: Train nothing. Write table and page of the finished runs.
    """
    if name == "list":
        _show_studies(json)
        return
    wanted = load_study(name)
    if data is None:
        raise StudyError(f"A study needs data: mien study {name} --data PATH.", code="options")
    if dry_run:
        leave_out("--dry-run shows what would be trained", {"--finished": finished})
    source = data_options.at(data)
    source.check()
    callback = _DryRun(json) if dry_run else _Progress(next(iter(wanted.named_metrics.values())))
    table = api.study(
        wanted, source, out=out, results=results, only=only or (), recipe=recipe, settings=settings or (),
        jobs=jobs, engine=engine, finished=finished, callback=callback,
    )  # fmt: skip
    if table.page is not None:
        show_json(table.to_dict()) if json else show(study_tables(table))
        notice(f"page: {table.page}; the finished runs are kept in {results or table.page.parent / 'results'}")
    if table.was_stopped:
        notice("Stopped. Run the same command to resume.")
        raise typer.Exit(130)


class _Progress(StudyProgress):
    def say(self, line: str) -> None:
        notice(line)


class _DryRun(StudyCallback):
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
