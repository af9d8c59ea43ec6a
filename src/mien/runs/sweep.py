"""Search a space: many short runs of one recipe with different values, alone or beside other workers.

A trial is a run folder in ``OUT/trials``. The state of all trials is in an Optuna database that workers share: Optuna
records a heartbeat of every running trial, and queues the trial of a worker that died again. A finished trial keeps
its recipe, environment and history. Its weights are removed, since a hundred trials would fill a disk, and
``best.toml`` trains them again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.pruners import NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from mien.base.errors import RecipeError, RunError, StoppedError, TrainingError, arg, needs_extra, without_password
from mien.base.files import write_bytes, write_text
from mien.base.labels import parse_scheme
from mien.base.recipe import Recipe, dump_recipe
from mien.base.run_folder import RunFolder, best_epoch
from mien.data.dataset import Dataset
from mien.data.votes import votes_fingerprint
from mien.page.blocks import Column, Table
from mien.runs.space import Space
from mien.training.callback import Callback, Callbacks, HistoryLine, interruptible
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.state import check_network

HEARTBEAT_SECONDS = 10
STALE_SECONDS = 60
DATABASE = "trials.db"

_DONE = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class TrialResult:
    """A finished trial.

    Attributes:
        number: counts from 0; one that was interrupted keeps its number, as its folder does.
        outcome: ``complete``, ``pruned`` by successive halving, ``diverged``, or ``invalid`` (values that do not go
            together).
        accuracy: on validation, 0..1, of the best epoch so far; NaN without any.
        epochs: how many it ran.
        seconds: of training and validation.
        values: of each key.
    """

    number: int
    outcome: str
    accuracy: float
    epochs: int
    seconds: float
    values: Mapping[str, Any]


def best_first(trials: Sequence[TrialResult]) -> list[TrialResult]:
    """Complete trials by accuracy, then the others by accuracy; of equals the one that began first."""

    def rank(trial: TrialResult) -> tuple[bool, float, int]:
        accuracy = -1.0 if math.isnan(trial.accuracy) else trial.accuracy
        return trial.outcome != "complete", -accuracy, trial.number

    return sorted(trials, key=rank)


@dataclass(frozen=True)
class SweepResult:
    """The result of a sweep.

    Attributes:
        folder: of the sweep.
        trials: the finished ones, by number.
        total: how many there will be.
        was_stopped: whether Ctrl-C ended this worker.
    """

    folder: Path
    trials: tuple[TrialResult, ...]
    total: int
    was_stopped: bool = False

    @property
    def best(self) -> TrialResult | None:
        """The most accurate complete trial."""
        return next((trial for trial in best_first(self.trials) if trial.outcome == "complete"), None)

    @property
    def best_recipe(self) -> Path:
        """The recipe of the best trial; no file while no trial is complete."""
        return self.folder / "best.toml"

    def to_dict(self) -> dict[str, object]:
        """JSON-ready."""
        best = self.best and {
            "trial": self.best.number,
            "validation_accuracy": self.best.accuracy,
            "values": dict(self.best.values),
            "recipe": str(self.best_recipe),
        }
        return {"folder": str(self.folder), "finished": len(self.trials), "total": self.total, "best": best}


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

    Raises:
        DataError: the data lacks a split or a class that the recipe needs.
        RunError: the folder or the database holds something else, or a sweep of another space or other data; the
            database cannot be used.
        MissingExtraError: PostgreSQL's driver is not installed.
    """
    total, metadata = trials or space.trials, metadata or {}
    in_scheme = faces.with_scheme(parse_scheme(space.base.classes))
    # A missing split is reported now, not in the first trial.
    in_scheme.of_split("train")
    in_scheme.of_split("validation")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{out} cannot be created: {error.strerror}. Choose another {arg('out')}.", code="sweep-folder"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with (
        _errors_as_one_line(str(out / DATABASE) if database is None else without_password(database)),
        _opened(space, faces, out, database) as study,
        interruptible() as interrupted,
    ):
        worker = _Worker(study, space, faces, out, total, callback, on_trial_end, metadata, device)
        if len(study.get_trials(deepcopy=False, states=_DONE)) < total:
            with suppress(StoppedError):
                # Optuna itself queues a trial again whose worker gives no heartbeat.
                study.optimize(worker.run, callbacks=[worker.end, MaxTrialsCallback(total, states=_DONE)])
        # A worker that was killed after its trial had ended left the files as they were.
        return worker.result(interrupted.is_set())


def check_networks(space: Space) -> None:
    """Build the network at each end of each range that shapes it. Raises :class:`RecipeError`."""
    for key, recipe in space.recipes_at_the_ends():
        if key.startswith(("model.", "input.", "progressive_resizing")):
            try:
                check_network(recipe)
            except RecipeError as error:
                raise RecipeError(
                    f"The search space {space.name} cannot vary '{key}': {error.raw}", code="space-network"
                ) from None


@contextmanager
def _errors_as_one_line(place: str) -> Iterator[None]:
    try:
        yield
    except (StorageInternalError, SQLAlchemyError, UpdateFinishedTrialError, UnboundLocalError) as error:
        # Optuna stumbles over a variable of its own where the database goes away while it writes how a trial ended.
        found = error.__context__ if isinstance(error, UnboundLocalError) and error.__context__ else error
        raise RunError(
            f"The database {place} cannot be used: {str(found.__cause__ or found).splitlines()[0]}. What is stored in "
            "it is kept; the same command resumes the sweep.",
            code="sweep-database",
        ) from error


@contextmanager
def _opened(space: Space, faces: Dataset, out: Path, database: str | None) -> Iterator[optuna.Study]:
    """The study of a sweep in its database, created where there is none. Raises :class:`RunError`."""
    data = faces.fingerprint_without_test
    if space.base.learns_votes:
        data = f"{data} {votes_fingerprint(faces)}"
    pruning = space.pruning
    if database is not None:
        with needs_extra("postgresql", f"The database {without_password(database)}"):
            import_module("psycopg")
    with warnings.catch_warnings():
        # Optuna calls its heartbeats experimental.
        warnings.simplefilter("ignore", ExperimentalWarning)
        # Two workers that begin together would both create the tables.
        with FileLock(out / ".lock"):
            storage = RDBStorage(
                f"sqlite:///{out / DATABASE}" if database is None else database,
                # Workers wait for one another, and a server may have been restarted since a connection was used last.
                engine_kwargs={"connect_args": {"timeout": 60}} if database is None else {"pool_pre_ping": True},
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=STALE_SECONDS,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
            )
            study = optuna.create_study(
                storage=storage,
                study_name="sweep" if database is None else out.resolve().name,
                direction="maximize",
                load_if_exists=True,
                sampler=_Sampler(space.seed),
                pruner=SuccessiveHalvingPruner(pruning.first_epoch, pruning.factor) if pruning else NopPruner(),
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
    total: int
    callback: Callback | None
    on_trial_end: Callable[[str], None]
    metadata: Mapping[str, Any]
    device: str

    def end(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Keep of a trial that has ended what is small, and say how it ended."""
        run = self._folder(trial)
        for weights in (run.last, run.best):
            weights.unlink(missing_ok=True)
        finished = len(self.result().trials)
        told = trial.user_attrs
        words = [told["why"] or told["outcome"], f"{told['epochs']} epochs"]
        words += [] if trial.value is None else [f"{trial.value:.1%}"]
        words += [f"{told['seconds']:.0f} s; {finished} finished"]
        self.on_trial_end(f"trial {_number_of(trial)}: {', '.join(words)}")

    def result(self, was_stopped: bool = False) -> SweepResult:
        """The finished trials, written to trials.csv and best.toml."""
        # A worker that read the trials earlier must not write later.
        with FileLock(self.out / ".lock"):
            trials = [
                TrialResult(
                    number=_number_of(trial),
                    outcome=trial.user_attrs["outcome"],
                    accuracy=math.nan if trial.value is None else trial.value,
                    epochs=trial.user_attrs["epochs"],
                    seconds=trial.user_attrs["seconds"],
                    values=self.space.values(trial.params),
                )
                for trial in self.study.get_trials(deepcopy=False, states=_DONE)
            ]
            found = SweepResult(self.out, tuple(trials), self.total, was_stopped)
            if trials:
                self._write(found)
        return found

    def _write(self, found: SweepResult) -> None:
        keys = tuple(self.space.ranges)
        columns = tuple(map(Column, ("trial", "outcome", "accuracy", "epochs", "seconds", *keys)))
        rows = [
            (each.number, each.outcome, each.accuracy, each.epochs, each.seconds, *(each.values[key] for key in keys))
            for each in best_first(found.trials)
        ]
        write_bytes(self.out / "trials.csv", Table("trials", columns, rows).to_csv())
        best = found.best
        if best is not None:
            words = (
                f"Trial {best.number}, the best of {len(rows)} of {self.space.name}: {best.accuracy:.1%} on validation"
            )
            update = {"name": f"{self.space.base.name}-best", "description": words}
            write_text(found.best_recipe, dump_recipe(self.space.recipe_for(best.values).model_copy(update=update)))

    def _folder(self, trial: FrozenTrial) -> RunFolder:
        return RunFolder(self.out / "trials" / f"{_number_of(trial):04}")

    def run(self, trial: optuna.Trial) -> float:
        """Train a trial, or resume its run. Returns its accuracy. Whatever else stops it, the trial is queued again.

        Raises:
            TrialPruned: it was pruned, its loss is not a number, or its values do not go together.
            StoppedError: Ctrl-C.
        """
        run = self._folder(self.study.trials[trial.number])
        drawn = {key: each.suggest(trial, key) for key, each in self.space.ranges.items()}
        try:
            accuracy, outcome, why = self._train(trial, self.space.values(drawn), run)
        except BaseException:
            current = self.study.trials[trial.number]
            # Otherwise another worker, to which this one seemed dead, has queued it.
            if current.state is TrialState.RUNNING:
                RetryHeartbeatStaleTrialCallback()(self.study, current)
            raise
        history = run.read_history()
        seconds = history[-1]["seconds"] if history else 0.0
        for key, value in {"outcome": outcome, "why": why, "epochs": len(history), "seconds": seconds}.items():
            trial.set_user_attr(key, value)
        if accuracy is None:
            raise optuna.TrialPruned
        return accuracy

    def _train(self, trial: optuna.Trial, values: Mapping[str, Any], run: RunFolder) -> tuple[float | None, str, str]:
        """The accuracy of a trial that is complete, its outcome in a word, and why its values do not go together."""
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
            return None, "diverged", ""
        if callback.is_pruned:
            return None, "pruned", ""
        if outcome.was_stopped:
            raise StoppedError(f"Trial {trial.number} was stopped.")
        return callback.accuracy, "complete", ""
