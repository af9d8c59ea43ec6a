"""``mien.study``: recipes over several seeds, compared in one table."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mien.api.inputs import Data, data_name, read
from mien.base.errors import MienError, Notice, StudyError, arg, needs_extra
from mien.base.progress import busy
from mien.data.clean import apply_clean, check_made_for, read_clean
from mien.data.dataset import Dataset
from mien.page.rendering import import_page_packages
from mien.runs.page import write_study
from mien.runs.plan import DataForm, FacesByForm, PlannedRun, StudyCallback, StudyPlan, pending
from mien.runs.spec import Study, load_study
from mien.runs.store import CompletedRun, read_completed
from mien.runs.table import StudyTable, tabulate, write_table

if TYPE_CHECKING:
    from mien.runs.execute import StudyContext
    from mien.runs.scheduler import Executor


def study(
    spec: str | os.PathLike[str] | Study,
    data: Data,
    *,
    out: str | os.PathLike[str] | None = None,
    results: str | os.PathLike[str] | None = None,
    only: Sequence[str] = (),
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    clean: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    engine: Literal["local", "ray"] = "local",
    finished: bool = False,
    callback: StudyCallback | None = None,
) -> StudyTable:
    """Train every variant of a study once per seed, and compare them. A finished run is never repeated.

    Args:
        spec: the name of a study that comes with mien, a ``.toml`` file, or a study.
        data: faces with ``train`` and ``validation``; ``test`` is not touched.
        out: folder of runs, table and page; ``studies/NAME`` by default.
        results: folder of the finished runs; ``out/results`` by default.
        only: run and show these variants alone, and what they are made from.
        recipe: this recipe in place of the study's own.
        settings: keys to change in every recipe, ``{"epochs": 5}``, or in a variant's, ``{"slow:epochs": 5}``.
        clean: the ``clean.toml`` of an audit, for variants that train on cleaned data.
        jobs: how many runs at the same time: 1 by default, with Ray as many as it has cores.
        engine: ``local``, or ``ray`` for the cluster at ``RAY_ADDRESS``.
        finished: train nothing; write table and page of the finished runs.
        callback: called for epochs and ends of runs.

    Returns:
        The table of all finished runs, which is written to ``study.json`` and ``report.html``.

    Raises:
        MissingExtraError: torch, matplotlib or scipy is not installed.
        MienError: a study, a recipe, data or a folder that cannot be used.
    """
    changes = [f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()]
    return prepare_study(
        spec, data, out=out, results=results, only=only, recipe=recipe, changes=changes, clean=clean, jobs=jobs,
        engine=engine, finished=finished, metadata={"data": data_name(data)},
    ).run(callback)  # fmt: skip


@dataclass(frozen=True)
class StudyJob:
    """A study on its data, with every run checked.

    Attributes:
        study: what is run.
        plan: all of its runs.
        to_do: those that are pending.
        completed: what is kept already, by key.
        context: data and folders.
        jobs: how many runs at the same time, where that was given.
        engine: ``local`` or ``ray``.
    """

    study: Study
    plan: StudyPlan
    to_do: Sequence[PlannedRun]
    completed: Mapping[str, CompletedRun] = field(repr=False)
    context: StudyContext = field(repr=False)
    jobs: int | None
    engine: str

    def notices(self) -> list[Notice]:
        """What a user may not expect of the runs."""
        from mien.training.plan import recipe_warnings

        found = []
        for name, run in {run.variant: run for run in reversed(self.to_do)}.items():
            starts_trained = run.parent is not None or run.model is not None
            for each in recipe_warnings(run.recipe, from_run=starts_trained, train_faces=run.train_faces):
                found.append(Notice(f"{name}: {each}", code=each.code))
        return found

    @property
    def at_once(self) -> int:
        """How many runs go at the same time on this machine."""
        from mien.runs.scheduler import parallel_runs

        return parallel_runs(self.jobs or 1, len(self.to_do))

    def run(self, callback: StudyCallback | None = None) -> StudyTable:
        """Run what is pending, and write table and page. A failure waits until those of the other runs are written."""
        from mien.runs.scheduler import run_all

        all_ended, failure, callback = True, None, callback or StudyCallback()
        try:
            executor = self._executor(callback)
            all_ended = run_all(self.to_do, self.completed, self.context, callback, executor)
        except MienError as error:
            failure = error
        completed = read_completed(self.context.results)
        table = replace(tabulate(self.study, self.plan, completed), was_stopped=not all_ended)
        if table.runs:
            write_table(self.context.out / "study.json", table)
            metadata = {name: str(each) for name, each in self.context.metadata.items()}
            table = replace(table, page=write_study(self.context.out, table, metadata).page)
        if failure is not None:
            raise failure
        return table

    def _executor(self, callback: StudyCallback) -> Executor:
        from mien.runs.scheduler import InTurn, Processes, RayTasks

        if self.engine == "ray":
            return RayTasks(self.context, self.jobs or max(len(self.to_do), 1))
        return Processes(self.context, self.at_once) if self.at_once > 1 else InTurn(self.context, callback)


def prepare_study(
    spec: str | os.PathLike[str] | Study,
    data: Data,
    *,
    out: str | os.PathLike[str] | None = None,
    results: str | os.PathLike[str] | None = None,
    only: Sequence[str] = (),
    recipe: str | None = None,
    changes: Sequence[str] = (),
    clean: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    engine: str = "local",
    finished: bool = False,
    metadata: Mapping[str, Any],
) -> StudyJob:
    """Read the data of a study and check all of its runs. Arguments and errors as those of :func:`study`.

    ``changes`` are ``key=value`` or ``variant:key=value``; ``metadata`` is for the page and environment.json of each
    run: data, command, ...
    """
    whole = (spec if isinstance(spec, Study) else load_study(os.fspath(spec))).changed(recipe, changes)
    chosen = whole.restricted(only)
    folder = Path(out) if out is not None else Path("studies") / chosen.name
    kept = Path(results) if results is not None else folder / "results"
    if kept.is_file():
        raise StudyError(f"{kept} is a file; {arg('results')} must name a folder.", code="out-is-file")
    if clean is None and any(variant.clean for variant in chosen.variants):
        raise StudyError(
            f"The study '{chosen.name}' has variants that train on cleaned data. Give the list of `mien audit` with "
            f"{arg('clean', 'FILE')}.",
            code="options",
        )
    with needs_extra("train", "Training"):
        from mien.runs.execute import StudyContext
        from mien.runs.planner import make_plan
    with needs_extra("report", "The page and the tests of a study"):
        import_page_packages()
        import scipy  # noqa: F401
    context = StudyContext(_read_forms(chosen, data, clean, changes), folder, kept, metadata)
    completed = read_completed(kept)
    with busy("checking every run"):
        plan = make_plan(chosen, context.faces_by_form, changes)
    if finished and not any(run.key in completed for run in plan.runs):
        settings = "these settings" if changes else f"its own settings, without {arg('settings')},"
        raise StudyError(
            f"{kept} holds no finished run of this study with {settings} on this data.", code="nothing-finished"
        )
    to_do = [] if finished else pending(plan, completed, folder)
    return StudyJob(chosen, plan, to_do, completed, context, jobs, engine)


def _read_forms(study: Study, data: Data, clean: str | os.PathLike[str] | None, changes: Sequence[str]) -> FacesByForm:
    """The data as every recipe of the study takes it: each size, grey or RGB, is decoded once, for all runs."""
    trained = [variant for variant in study.variants if not variant.after]
    lists = dict.fromkeys(variant.clean for variant in trained if variant.clean)
    forms = {study.recipe_of(each, study.seeds_of(each)[0], changes).input.stored_as for each in trained}
    faces: dict[DataForm, Dataset] = {}
    for at, form in enumerate(sorted(forms)):
        result = read(data, *form, again=at > 0)
        whole = result.uncleaned if lists and result.uncleaned is not None else result.faces
        faces[DataForm(*form)] = whole
        if clean is not None and lists:
            changed = read_clean(clean)
            check_made_for(changed, whole, clean)
            for kinds in lists:
                faces[DataForm(*form, kinds)] = apply_clean(whole, changed.of_train(kinds))
    return faces
