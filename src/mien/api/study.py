"""``mien.study``: train recipes with several seeds and compare them in one table."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from mien.api.inputs import Data, environment, read
from mien.base.errors import MienError, StudyError, needs_extra
from mien.base.files import expand_home, write_text
from mien.base.processes import torch_defaults
from mien.base.progress import busy
from mien.base.recipe import Change
from mien.base.run_folder import check_out
from mien.page.chart import import_page_packages
from mien.runs.page import StudyProgress, write_study
from mien.runs.plan import StudyCallback, pending, read_completed
from mien.runs.spec import Study, load_study
from mien.runs.table import StudyTable, tabulate


@torch_defaults()
def study(
    spec: str | os.PathLike[str] | Study,
    data: Data,
    *,
    out: str | os.PathLike[str] | None = None,
    results: str | os.PathLike[str] | None = None,
    only: Sequence[str] = (),
    recipe: str | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    jobs: int | None = None,
    engine: Literal["local", "ray"] = "local",
    finished: bool = False,
    callback: StudyCallback | None = None,
    verbose: int = 1,
) -> StudyTable:
    """Train every variant of a study once per seed, and compare them. Finished runs are never repeated.

    Args:
        spec: name of a built-in study, path of a ``.toml`` file, or a study object.
        data: faces with ``train`` and ``validation`` splits; ``test`` is not used.
        out: folder of runs, table and page; default ``studies/NAME``.
        results: folder of finished runs; default ``out/results``.
        only: variants to run and show, and with them the variants that they build on; by default all.
        recipe: recipe to use instead of the study's.
        settings: changed keys of every recipe, ``{"epochs": 5}``, or of one variant, ``{"slow:epochs": 5}``; or a list
            as on the command line, ``["epochs=5"]``.
        jobs: number of runs at the same time; default 1, with Ray one per core.
        engine: ``local``, or ``ray`` for the cluster at ``RAY_ADDRESS``.
        finished: True trains nothing and only writes table and page of the finished runs.
        callback: called with the plan, each epoch, and the end of each run; with a callback, nothing is printed.
        verbose: 0 prints no runs; 1 prints a line per ended run, and a progress bar on a terminal.

    Returns:
        The table of all finished runs, also written to ``study.json`` and ``report.html``.

    Raises:
        MissingExtraError: torch, matplotlib or scipy is not installed.
        MienError: study, recipe, data or folder cannot be used.
    """
    changes: list[Change] = [*(settings.items() if isinstance(settings, Mapping) else settings)]
    whole = (spec if isinstance(spec, Study) else load_study(spec)).changed(recipe, changes)
    chosen = whole.restricted([only] if isinstance(only, str) else only)
    folder = check_out(Path("studies") / chosen.name if out is None else out, data)
    kept = expand_home(folder / "results" if results is None else results)
    if kept.is_file():
        raise StudyError(f"{kept} is a file; --results must name a folder.", code="out-is-file")
    # Load torch, which takes seconds, only for a study that can start.
    forms = sorted(
        {chosen.recipe_of(each, chosen.seeds_of(each)[0], changes).input.size_and_channels for each in chosen.trained}
    )
    # Decode each size, grey or RGB, only once for all runs.
    faces = {form: read(data, *form, again=at > 0).faces for at, form in enumerate(forms)}
    whole.check_classes(faces[forms[0]].classes, changes, chosen.comparisons)
    with needs_extra("train", "Training"):
        from mien.runs.scheduler import StudyContext, make_plan, notices_of, run_all
    with needs_extra("report", "The page and the tests of a study"):
        import_page_packages()
        import scipy  # noqa: F401
    context = StudyContext(faces, folder, kept, environment(data))
    completed = read_completed(kept)
    callback = callback or (StudyProgress(next(iter(chosen.named_metrics.values()))) if verbose else StudyCallback())
    with busy("checking every run"):
        runs = make_plan(chosen, faces, changes)
    if finished and not any(run.key in completed for run in runs):
        own = "these settings" if changes else "the study's settings (without --set)"
        raise StudyError(f"{kept} has no finished run of this study with {own} on this data.", code="nothing-finished")
    to_do = [] if finished else pending(runs, completed, folder)
    all_ended, failure = True, None
    try:
        callback.on_plan(runs, to_do, notices_of(to_do))
        all_ended = run_all(to_do, completed, context, callback, jobs, engine)
    except MienError as error:
        # Raise the error only after table and page of the other runs are written.
        failure = error
    finally:
        callback.on_end()
    table = replace(tabulate(chosen, runs, read_completed(kept), faces[forms[0]]), was_stopped=not all_ended)
    if table.runs:
        write_text(folder / "study.json", json.dumps(table.to_dict(), indent=2, ensure_ascii=False) + "\n")
        page = write_study(folder, table, {name: str(each) for name, each in context.metadata.items()}).page
        table = replace(table, page=page)
    if failure is not None:
        raise failure
    return table
