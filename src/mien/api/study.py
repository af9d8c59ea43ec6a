"""``mien.find_lr``, ``mien.cross_validate``, ``mien.study`` and ``mien.sweep``: many trainings."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from json import dumps
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, Literal

from mien.api.inputs import Data, environment, read
from mien.api.train import check_callback, find_job, settings_of
from mien.base.arrays import Floats
from mien.base.errors import MienError, Notice, RecipeError, RunError, StudyError, needs_extra
from mien.base.files import expand_home, write_text
from mien.base.processes import torch_defaults
from mien.base.progress import busy
from mien.base.recipe import Change, Recipe, as_pairs
from mien.base.run_folder import RunFolder, check_out
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Evaluation, JsonResult
from mien.page.chart import Chart, import_page_packages
from mien.page.plots import rate_chart
from mien.page.terminal import as_html, as_text, evaluation_text
from mien.runs.page import StudyProgress, write_study
from mien.runs.plan import StudyCallback, pending, read_completed
from mien.runs.space import Space, load_space
from mien.runs.spec import Study, load_study
from mien.runs.table import StudyTable, tabulate
from mien.training.callback import Callback

if TYPE_CHECKING:
    from mien.runs.sweep import SweepResult


@dataclass(frozen=True, eq=False)
class LrSearch(JsonResult):
    """Result of a learning-rate range test.

    Attributes:
        suggestion: highest learning rate around which the loss falls clearly, for ``lr`` of the recipe.
        rates: float64 (N,), the learning rate of each step.
        losses: float64 (N,), the running mean of the loss at each step.
    """

    suggestion: float
    rates: Floats = field(repr=False)
    losses: Floats = field(repr=False)

    @property
    def highest(self) -> float:
        """Learning rate of the lowest loss. Above it training gets worse; it is the upper end of Smith's range."""
        return float(self.rates[self.losses.argmin()])

    def plot(self) -> Chart:
        """Plot the loss by learning rate, with the suggestion marked. Needs the extra ``report``."""
        return rate_chart(self.rates, self.losses, self.suggestion)

    def to_dict(self) -> dict[str, Any]:
        """Return suggestion, highest, rates and losses, JSON-ready."""
        return {**super().to_dict(), "highest": self.highest}

    def _repr_svg_(self) -> str:
        return self.plot()._repr_svg_()


@torch_defaults()
def find_lr(
    recipe: str | os.PathLike[str] | Recipe,
    data: Data,
    *,
    init_from: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | Sequence[Change] | None = None,
    device: str = "auto",
) -> LrSearch:
    """Find a learning rate by a range test: it rises from 1e-6 to 10 in 100 steps (Smith, 2015).

    No file is written. The result is valid for this recipe, batch size and data.

    Args:
        recipe: recipe; all arguments are as in :func:`mien.train`.
        data: faces with a ``train`` split.
        init_from: run or built-in model to fine-tune.
        settings: changed keys of the recipe: ``{"batch_size": 64}``, or ``["batch_size=64"]``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        TrainingError: the loss falls clearly at no learning rate (``lr-not-found``).
        MienError: see :func:`mien.train`.
    """
    job = find_job(recipe, settings_of(settings), init_from, device)
    job.check()
    from mien.training.probe import range_test, suggested_rate

    rates, losses, means = range_test(job.plan(data), init_from=job.init_from, device=job.device)
    return LrSearch(suggested_rate(rates, losses, means), rates, means)


@dataclass(frozen=True, eq=False)
class CrossValidated:
    """Metrics of models on samples that they were not trained on.

    Attributes:
        folder: folder with a run folder for each fold.
        predictions: predictions for all samples of train and validation, each by the model that was not trained on it.
        evaluation: metrics of the predictions; ``evaluation.by`` has the metrics of each fold.
    """

    folder: Path
    predictions: Predictions
    evaluation: Evaluation

    @property
    def accuracies(self) -> list[float]:
        """Accuracy of each fold, 0..1."""
        assert self.evaluation.by is not None
        return [part.accuracy.value for part in self.evaluation.by.parts[1:]]

    @property
    def summary(self) -> str:
        """Mean and standard deviation over the folds, as text."""
        values = self.accuracies
        return f"Accuracy of the folds: mean {mean(values):.1%}, standard deviation {stdev(values):.1%}."

    def to_dict(self) -> dict[str, Any]:
        """Return the folder and the content of ``metrics.json``, JSON-ready."""
        return {"run": str(self.folder), **self.evaluation.to_dict()}

    def __repr__(self) -> str:
        return f"<CrossValidated {self.folder}: {self.summary}>"

    def __str__(self) -> str:
        return f"{as_text(evaluation_text(self.evaluation))}\n{self.summary}"

    def _repr_html_(self) -> str:
        return as_html(evaluation_text(self.evaluation))


@torch_defaults()
def cross_validate(
    recipe: str | os.PathLike[str] | Recipe,
    data: Data,
    folds: int = 5,
    *,
    out: str | os.PathLike[str] | None = None,
    init_from: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | Sequence[Change] | None = None,
    resume: bool = False,
    device: str = "auto",
    callback: Callback | None = None,
    notify: Callable[[str], None] = lambda line: None,
) -> CrossValidated:
    """Train a model for each fold of train and validation, and measure it on that fold.

    A group is never divided; without groups, near-copies stay together. The test split is not used.

    Args:
        recipe: recipe, as in :func:`mien.train`.
        data: labelled faces.
        folds: number of folds, from 2 to the number of groups.
        out: output folder; default ``runs/NAME-foldsK``.
        init_from: run or built-in model to fine-tune in every fold.
        settings: changed keys of the recipe: ``{"epochs": 5}``.
        resume: continue with the unfinished folds in ``out``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        callback: callback for the training of each fold.
        notify: called with one line for a warning, and at the start of each fold.

    Raises:
        RunError: ``out`` has other content, or has folds and ``resume`` is False.
        DataError: there are fewer groups than folds, or a fold cannot be trained.
        MienError: see :func:`mien.train`.
    """
    check_callback(callback)
    job = find_job(recipe, settings_of(settings), init_from, device)
    folder = check_out(Path("runs") / f"{job.recipe.name}-folds{folds}" if out is None else out, data)
    has_folds = (folder / "fold-1").is_dir()
    if RunFolder(folder).exists and not (has_folds and resume):
        other = ", or give --resume" if has_folds else ""
        raise RunError(f"{folder} exists already. Choose another --out{other}.", code="file-exists")
    if resume and not has_folds:
        words = f"{folder} has no folds to resume. The cross-validation starts from its first fold."
        notify(Notice(words, code="nothing-to-resume").line)
    job.check()
    with needs_extra("train", "Training"):
        from mien.runs.folds import check_groups, make_folds, measure_folds, predict_folds
        from mien.training.plan import ignored_keys
    from mien.data.splits import split_groups

    dataset = read(data, *job.recipe.input.size_and_channels).faces
    job.network(len(dataset.classes))
    groups = split_groups(dataset.images, dataset.groups)
    check_groups(dataset, groups, folds)
    parts = make_folds(dataset, groups, folds)
    whole = "near-copies" + (f" and groups of '{dataset.group_column}'" if dataset.group_column else "")
    notify(f"train and validation are split into {folds} folds; {whole} stay together")
    for each in (*ignored_keys(job.recipe), *job.known_images(dataset, "train", "validation")):
        notify(each.line)
    predictions = predict_folds(
        job.recipe,
        parts,
        folder,
        callback=callback,
        notify=notify,
        environment=environment(data),
        init_from=job.init_from,
        device=job.device,
        advice="To resume, run the same again with --resume.",
    )
    evaluation = measure_folds(predictions, parts)
    write_text(folder / "metrics.json", dumps(evaluation.to_dict(), indent=2) + "\n")
    return CrossValidated(folder, predictions, evaluation)


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
        spec: the name of a study (see `mien study list`), or a .toml file; in Python also a study.
        data: faces with ``train`` and ``validation`` splits; ``test`` is not used.
        out: folder of runs, table and page; default: studies/STUDY.
        results: folder of the finished runs; default: results in the folder of the study.
        only: run and show only these variants, and those that they build on.
        recipe: use this recipe instead of the study's own. small takes one minute for each run on one core.
        settings: change keys of every recipe (epochs=5) or of one variant (VARIANT:epochs=5); in Python also
            a dict.
        jobs: train so many runs at the same time; they share the cores. Default: 1, with engine ray one per core.
        engine: ``local``, or ``ray`` for the cluster at ``RAY_ADDRESS``.
        finished: train nothing. Write table and page of the finished runs.
        callback: called with the plan, each epoch, and the end of each run; with a callback, nothing is printed.
        verbose: 0 prints no runs; 1 prints a line per ended run, and a progress bar on a terminal.

    Returns:
        The table of all finished runs, also written to ``study.json`` and ``report.html``.

    Raises:
        MissingExtraError: torch, matplotlib or scipy is not installed.
        MienError: study, recipe, data or folder cannot be used.
    """
    if jobs is not None and jobs < 1:
        raise StudyError(f"--jobs must be 1 or more; found {jobs}.", code="options")
    changes = as_pairs(settings)
    whole = (spec if isinstance(spec, Study) else load_study(spec)).changed(recipe, changes)
    chosen = whole.restricted([only] if isinstance(only, str) else only)
    folder = check_out(Path("studies") / chosen.name if out is None else out, data)
    kept = expand_home(folder / "results" if results is None else results)
    if kept.is_file():
        raise StudyError(f"{kept} is a file; --results must name a folder.", code="out-path")
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


@torch_defaults()
def sweep(
    space: str | os.PathLike[str] | Space,
    data: Data,
    *,
    out: str | os.PathLike[str] | None = None,
    trials: int | None = None,
    settings: Mapping[str, Any] | Sequence[Change] | None = None,
    device: str = "auto",
    storage: str | None = None,
    notify: Callable[[str], None] = lambda line: None,
    callback: Callback | None = None,
) -> "SweepResult":
    """Train one recipe many times with different values of some keys, and compare the validation accuracies.

    Args:
        space: the search space: 'quick', or a .toml file (docs/sweep.md); in Python also a space.
        data: faces with ``train`` and ``validation`` splits; ``test`` is not used.
        out: folder of the sweep; default: sweeps/SPACE. A sweep that it contains is resumed.
        trials: number of trials; default: that of the space.
        settings: changed keys of the base recipe of all trials: ``{"epochs": 5}``.
        device: auto, cpu, cuda or mps. auto uses a GPU if there is one.
        storage: share the trials through this database: postgresql://HOST/DB. Run the same on each machine, each with
            a folder of its own.
        notify: called with one line for each warning and each ended trial.
        callback: callback for the training of each trial.

    Returns:
        All finished trials, sorted from the best in ``trials.csv``; ``best_recipe`` is the recipe file of the best.

    Raises:
        MissingExtraError: Optuna or torch is not installed.
        MienError: space, data or folder cannot be used.
    """
    if isinstance(space, Space) and settings:
        raise RecipeError("settings need a space by name or file.", code="options")
    chosen = space if isinstance(space, Space) else load_space(space, settings_of(settings))
    folder = check_out(Path("sweeps") / chosen.name if out is None else out, data)
    with needs_extra("search", "A sweep"):
        from mien.runs.sweep import check_networks, search
        from mien.training.device import check_device
        from mien.training.plan import recipe_warnings
    check_device(device)
    check_networks(chosen)
    recipes = [recipe for _, recipe in chosen.recipes_at_the_ends()]
    for line in dict.fromkeys(warning.line for recipe in recipes for warning in recipe_warnings(recipe)):
        notify(line)
    return search(
        chosen,
        read(data, *chosen.base.input.size_and_channels).faces,
        folder,
        trials=trials,
        device=device,
        storage=storage,
        callback=callback,
        on_trial_end=notify,
        metadata=environment(data),
    )
