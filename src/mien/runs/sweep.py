"""Search a space: many short runs of one recipe with different values, alone or beside other workers.

A trial is a run folder in ``OUT/trials``. The state of all trials is in an Optuna database that workers share: Optuna
records a heartbeat of every running trial, and queues the trial of a worker that died again. A finished trial keeps
its recipe, environment and history. Its weights are removed, since a hundred trials would fill a disk, and
``best.toml`` trains them again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.pruners import NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from mien.base.errors import RecipeError, RunError, StoppedError, TrainingError, arg, needs_extra, without_password
from mien.base.labels import parse_scheme
from mien.base.progress import busy
from mien.base.recipe import Recipe
from mien.base.run_folder import RunFolder, best_epoch
from mien.data.dataset import Dataset
from mien.data.votes import votes_fingerprint
from mien.runs.space import Space
from mien.runs.sweep_result import SweepResult, TrialResult, own_values, write_small_files
from mien.training.callback import Callback, Callbacks, HistoryLine, interruptible
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.state import check_network

HEARTBEAT_SECONDS = 10
STALE_SECONDS = 60
DATABASE = "trials.db"

_DONE = (TrialState.COMPLETE, TrialState.PRUNED)
_POLL_SECONDS = 2.0


def search(
    space: Space,
    faces: Dataset,
    out: Path,
    *,
    trials: int | None = None,
    database: str | None = None,
    device: str = "auto",
    callback: Callback | None = None,
    on_trial_end: Callable[[str], None] = lambda text: None,
    metadata: Mapping[str, Any] | None = None,
    stale_seconds: int = STALE_SECONDS,
) -> SweepResult:
    """Work on a sweep, alone or beside other workers, until all its trials are finished.

    Args:
        space: what is searched.
        faces: under the data's own classes; train and validation are used, test is not touched.
        out: folder of the sweep; created, or joined when the sweep exists.
        trials: how many recipes all workers together try; the space's own number by default.
        database: URL of the trials' database; by default the SQLite file ``trials.db`` in ``out``.
        device: where to train; see :func:`mien.training.device.check_device`.
        callback: follows the training of each trial.
        on_trial_end: called with one line that says how a trial ended.
        metadata: for environment.json: data, command, ...
        stale_seconds: another worker's trial is taken over after so long without a heartbeat.

    Raises:
        DataError: the data lacks a split or a class that the recipe needs.
        RecipeError: a range names a setting that the network does not have.
        RunError: the folder or the database holds something else, or a sweep of another space or other data; the
            database cannot be used.
        MissingExtraError: PostgreSQL's driver is not installed.
    """
    total, metadata = trials or space.trials, metadata or {}
    in_scheme = faces.with_scheme(parse_scheme(space.base.classes))
    check_networks(space, len(in_scheme.classes))
    # A missing split is reported now, not in the first trial.
    in_scheme.of_split("train")
    in_scheme.of_split("validation")
    _check_folder(out, database)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with (
        _errors_as_one_line(str(out / DATABASE) if database is None else without_password(database)),
        _opened(space, _data_of(space, faces), out, database, stale_seconds) as study,
        interruptible() as interrupted,
    ):
        worker = _Worker(study, space, faces, out, callback, on_trial_end, metadata, device)
        while not interrupted.is_set():
            optuna.storages.fail_stale_trials(study)
            states = [trial.state for trial in study.get_trials(deepcopy=False)]
            finished, running = sum(state in _DONE for state in states), states.count(TrialState.RUNNING)
            if finished >= total:
                break
            if finished + running >= total:
                # One of them may have to be resumed here.
                with busy("waiting for the trials of other workers"):
                    interrupted.wait(_POLL_SECONDS)
                continue
            worker.run_one()
        # A worker that was killed after its trial had ended left the files as they were.
        results = worker.write_small_files()
        return SweepResult(out, results, own_values(space), total, interrupted.is_set())


def check_networks(space: Space, classes: int = 7) -> None:
    """Build the network at each end of each range that shapes it. Raises :class:`RecipeError`."""
    for key, recipe in space.recipes_at_the_ends():
        if key.startswith(("model.", "input.", "progressive_resizing")):
            try:
                check_network(recipe, classes)
            except RecipeError as error:
                raise RecipeError(
                    f"The search space {space.name} cannot vary '{key}': {error}", code="space-network"
                ) from None


def _check_folder(out: Path, database: str | None) -> None:
    """Create the folder of a sweep, or refuse what is not one. Raises :class:`RunError`."""
    if database is None and (out / "trials").exists() and not (out / DATABASE).exists():
        raise RunError(
            f"{out} holds trials, but their {DATABASE} is missing. Choose another {arg('out')}.", code="sweep-folder"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{out} cannot be created: {error.strerror}. Choose another {arg('out')}.", code="sweep-folder"
        ) from None


def _data_of(space: Space, faces: Dataset) -> str:
    """The fingerprint of the data, and of its votes where an output learns from them."""
    own = faces.fingerprint_without_test
    return f"{own} {votes_fingerprint(faces)}" if space.base.learns_votes else own


@contextmanager
def _errors_as_one_line(place: str) -> Iterator[None]:
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise RunError(
            f"The database {place} cannot be used: {str(error.__cause__ or error).splitlines()[0]}. What is stored in "
            "it is kept; the same command resumes the sweep.",
            code="sweep-database",
        ) from error


@contextmanager
def _opened(space: Space, data: str, out: Path, database: str | None, stale_seconds: int) -> Iterator[optuna.Study]:
    """The study of a sweep in its database, created where there is none. Raises :class:`RunError`."""
    url = f"sqlite:///{out / DATABASE}" if database is None else database
    # Workers wait for one another, and a server may have been restarted since a connection was used last.
    settings: dict[str, Any] = (
        {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    )
    if url.startswith(("postgresql://", "postgresql+psycopg://")):
        with needs_extra("postgresql", f"The database {without_password(url)}"):
            import_module("psycopg")
    with warnings.catch_warnings():
        # Optuna calls its heartbeats experimental.
        warnings.simplefilter("ignore", ExperimentalWarning)
        # Two workers that begin together would both create the tables.
        with FileLock(out / ".lock"):
            try:
                storage = RDBStorage(
                    url,
                    engine_kwargs=settings,
                    heartbeat_interval=HEARTBEAT_SECONDS,
                    grace_period=stale_seconds,
                    heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
                )
            except ImportError as error:
                raise RunError(
                    f"The driver of {without_password(url)} is not installed: {error.__cause__ or error}",
                    code="sweep-database",
                ) from None
            study = optuna.create_study(
                storage=storage,
                study_name="sweep" if database is None else out.resolve().name,
                direction="maximize",
                load_if_exists=True,
                sampler=_Sampler(space.seed),
                pruner=NopPruner()
                if space.pruning is None
                else SuccessiveHalvingPruner(space.pruning.first_epoch, space.pruning.factor),
            )
            for key, value, what in (("space", space.digest, "another space"), ("data", data, "other data")):
                if study.user_attrs.get(key, value) != value:
                    raise RunError(
                        f"{out} belongs to a sweep of {what}; nothing in it was changed. Choose another {arg('out')}.",
                        code=f"sweep-other-{key}",
                    )
            if not study.user_attrs:
                study.set_user_attr("space", space.digest)
                study.set_user_attr("data", data)
        try:
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()


class _Sampler(TPESampler):
    """TPE with a seed for each trial: with one seed, workers would draw the same values."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._space_seed = seed

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Seed by the number of trials before this one; interrupted trials that were queued again count once."""
        before = study.get_trials(deepcopy=False)[: trial.number]
        drawn = sum(_number_of(each) == each.number for each in before)
        super().__init__(seed=int(np.random.SeedSequence((self._space_seed, drawn)).generate_state(1)[0]))


def _number_of(trial: FrozenTrial) -> int:
    """The number that a trial began with; one that was interrupted goes on under a later one."""
    retried = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
    return trial.number if retried is None else retried


class _TrialCallback(Callback):
    """Reports each epoch to Optuna, and stops the run when the trial is pruned."""

    def __init__(self, trial: optuna.Trial, recipe: Recipe, run: RunFolder) -> None:
        self.history: list[HistoryLine] = []
        self.is_pruned = False
        self._trial, self._recipe, self._run = trial, recipe, run
        # A resumed run: its epochs so far, also one that a killed worker did not report.
        self._report()

    @property
    def accuracy(self) -> float:
        """Validation accuracy of the best epoch so far, 0..1."""
        return self.history[best_epoch(self.history, self._recipe) - 1]["validation_accuracy"]

    @property
    def epochs(self) -> str:
        """The number of finished epochs, in words."""
        return f"{len(self.history)} {'epoch' if len(self.history) == 1 else 'epochs'}"

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        """See :class:`mien.training.callback.Callback`."""
        self._report()

    def should_stop(self) -> bool:
        """See :class:`mien.training.callback.Callback`."""
        return self.is_pruned

    def _report(self) -> None:
        for line in self._run.read_history()[len(self.history) :]:
            self.history.append(line)
            self._trial.report(self.accuracy, len(self.history))
            if self._trial.should_prune() and len(self.history) < self._recipe.epochs:
                self.is_pruned = True
                return


@dataclass(frozen=True)
class _Worker:
    """One process that works on a sweep; the attributes are :func:`search`'s arguments."""

    study: optuna.Study
    space: Space
    faces: Dataset
    out: Path
    callback: Callback | None
    on_trial_end: Callable[[str], None]
    metadata: Mapping[str, Any]
    device: str

    def run_one(self) -> None:
        """Run a trial, a queued one first. Whatever else stops it, the trial is queued again."""
        begun: list[FrozenTrial] = []
        try:
            self.study.optimize(lambda trial: self._run(trial, begun), n_trials=1)
        except (Exception, KeyboardInterrupt) as error:
            if not begun:
                raise
            trial = self.study.trials[begun[0].number]
            if any(trial.number in RetryHeartbeatStaleTrialCallback.retry_history(each) for each in self.study.trials):
                self.on_trial_end(f"trial {_number_of(trial)}: another worker took it over after no heartbeat")
                return
            RetryHeartbeatStaleTrialCallback()(self.study, trial)
            if not isinstance(error, StoppedError):
                raise
            return
        trial = self.study.trials[begun[0].number]
        run = self._folder(trial)
        for weights in (run.last, run.best):
            weights.unlink(missing_ok=True)
        finished = len(self.write_small_files())
        seconds = trial.user_attrs["seconds"]
        line = f"trial {_number_of(trial)}: {trial.user_attrs['line']}, {seconds:.0f} s; {finished} finished"
        self.on_trial_end(line)

    def write_small_files(self) -> tuple[TrialResult, ...]:
        """Write trials.csv and best.toml, and return the finished trials."""
        # A worker that read the trials earlier must not write later.
        with FileLock(self.out / ".lock"):
            trials = tuple(
                TrialResult(
                    number=_number_of(trial),
                    outcome=trial.user_attrs["outcome"],
                    accuracy=math.nan if trial.value is None else trial.value,
                    epochs=trial.user_attrs["epochs"],
                    seconds=trial.user_attrs["seconds"],
                    values=self.space.values(trial.params),
                )
                for trial in self.study.get_trials(deepcopy=False, states=_DONE)
            )
            if trials:
                write_small_files(self.out, self.space, trials)
        return trials

    def _folder(self, trial: FrozenTrial) -> RunFolder:
        return RunFolder(self.out / "trials" / f"{_number_of(trial):04}")

    def _run(self, trial: optuna.Trial, begun: list[FrozenTrial]) -> float:
        """Train a trial, or resume its run. Returns its accuracy.

        Raises:
            TrialPruned: it was pruned, its loss is not a number, or its values do not go together.
            StoppedError: Ctrl-C.
        """
        frozen = self.study.trials[trial.number]
        begun.append(frozen)
        run = self._folder(frozen)
        drawn = {key: each.suggest(trial, key) for key, each in self.space.ranges.items()}
        accuracy, outcome, line = self._train(trial, self.space.values(drawn), run)
        history = run.read_history()
        seconds = history[-1]["seconds"] if history else 0.0
        for key, value in {"outcome": outcome, "line": line, "epochs": len(history), "seconds": seconds}.items():
            trial.set_user_attr(key, value)
        if accuracy is None:
            raise optuna.TrialPruned
        return accuracy

    def _train(self, trial: optuna.Trial, values: Mapping[str, Any], run: RunFolder) -> tuple[float | None, str, str]:
        """The accuracy of a trial that is complete, its outcome in a word, and a line for people."""
        environment = {**self.metadata, "trial": trial.number}
        try:
            recipe = self.space.recipe_for(values)
            plan = plan_training(recipe, self.faces)
            callback = _TrialCallback(trial, recipe, run)
            if not callback.is_pruned:
                both = Callbacks(self.callback, callback)
                outcome = train(plan, run, resume=True, callback=both, environment=environment, device=self.device)
        except RecipeError as error:
            return None, "invalid", f"invalid: {error}"
        except StoppedError:
            raise
        except TrainingError:
            return None, "diverged", f"diverged after {callback.epochs}"
        if callback.is_pruned:
            return None, "pruned", f"pruned after {callback.epochs} at {callback.accuracy:.1%}"
        if outcome.was_stopped:
            raise StoppedError(f"Trial {trial.number} was stopped.")
        return callback.accuracy, "complete", f"{callback.accuracy:.1%} after {callback.epochs}"
