"""The trials of a sweep in an Optuna database that any number of workers share.

Optuna records a heartbeat of every running trial, marks a trial as failed when its worker died, and queues it again
with its values. A lock file in the sweep's folder lets one worker at a time start or end a trial, so that the number of
trials holds over all workers.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import optuna
from filelock import FileLock
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.pruners import NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError, SQLAlchemyError

from mien.errors import RunError, needs_extra, without_password
from mien.files import whole_file
from mien.runs.space import Space
from mien.runs.trials import IMPORTANCE_NEEDS, quietly

HEARTBEAT_SECONDS = 10
STALE_SECONDS = 60
DATABASE = "trials.db"

_DONE = (TrialState.COMPLETE, TrialState.PRUNED)
_BUSY_SECONDS, _RETRY_SECONDS = 60.0, 2.0
_UNANSWERED = (OperationalError, InterfaceError, PendingRollbackError)
T = TypeVar("T")


class TrialLostError(Exception):
    """Another worker considered this trial's worker dead and queued the trial again."""


class TrialStorage:
    """The trials of one sweep.

    Attributes:
        lock: held while a trial starts or ends and while result files are written; reentrant within a worker.
    """

    def __init__(
        self,
        folder: Path,
        space: Space,
        data: str,
        url: str | None = None,
        stale_seconds: int = STALE_SECONDS,
        notify: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Open the database, or create it.

        Args:
            folder: of the sweep; it exists. Without ``url`` the database is the SQLite file ``trials.db`` in it.
            space: what is searched.
            data: the fingerprint of the faces without their test split, and of votes where they are learned from.
            url: of another database, as SQLAlchemy writes it; the sweep has the folder's name there.
            stale_seconds: a trial without a heartbeat for this long is queued again.
            notify: called with a line when a server stops answering, and when it answers again; every call waits.

        Raises:
            RunError: the database is of another space or other data, is damaged, or cannot be opened.
            MissingExtraError: PostgreSQL's driver is not installed.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._place = space, str(folder / DATABASE) if url is None else without_password(url)
        self._waits, self._notify = url is not None and not url.startswith("sqlite"), notify
        self._study_name = "sweep" if url is None else folder.resolve().name
        self.lock: FileLock = FileLock(folder / ".lock")
        with self._errors_as_one_line(), self.lock:
            self._retry = quietly(RetryHeartbeatStaleTrialCallback)
            if url is None:
                self._create_file(folder / DATABASE, data)
                url = f"sqlite:///{folder / DATABASE}"
            self._storage = self._open(url, stale_seconds)
            study = optuna.create_study(
                storage=self._storage, study_name=self._study_name, direction="maximize", load_if_exists=True
            )
            if not study.user_attrs:
                self._describe(study, data)
            for key, value in (("space", space.digest), ("data", data)):
                if study.user_attrs.get(key) != value:
                    what = "another space" if key == "space" else "other data"
                    raise RunError(
                        f"{self._place} belongs to a sweep of {what}; nothing in it was changed. Choose another --out.",
                        code=f"sweep-other-{key}",
                    )
        study.pruner = (
            NopPruner()
            if space.pruning is None
            else SuccessiveHalvingPruner(min_resource=space.pruning.first_epoch, reduction_factor=space.pruning.factor)
        )
        self._study = study

    def close(self) -> None:
        """Close all connections."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def take(self, total: int) -> optuna.Trial | None:
        """Start a trial, a queued one first; None when ``total`` are finished or running."""
        return self._patiently(lambda: self._take(total))

    def _take(self, total: int) -> optuna.Trial | None:
        with self.lock:
            for trial in self.trials():
                # Its worker was killed inside this method, which nobody else runs under the lock.
                if trial.state == TrialState.RUNNING and trial.user_attrs.get("started") != trial.number:
                    self._queue_again(trial)
            quietly(optuna.storages.fail_stale_trials, self._study)
            trials = self.trials()
            if sum(trial.state in (*_DONE, TrialState.RUNNING) for trial in trials) >= total:
                return None
            # A seed for each trial: of one seed, workers draw the same values. What continues another does not count.
            ends = min((self.continues(each)[0] for each in trials if each.state == TrialState.WAITING), default=None)
            drawn = sum("started" in each.user_attrs and not self.continues(each) for each in trials[:ends])
            seed = np.random.SeedSequence((self._space.seed, drawn)).generate_state(1)[0]
            self._study.sampler = TPESampler(seed=int(seed))
            distributions = {key: each.distribution() for key, each in self._space.ranges.items()}
            taken: optuna.Trial = quietly(self._study.ask, distributions)
            self._storage.record_heartbeat(taken._trial_id)
            taken.set_user_attr("started", taken.number)
            return taken

    @contextmanager
    def alive(self, trial: optuna.Trial) -> Iterator[None]:
        """Record a heartbeat every few seconds."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.is_set():
                # A database that does not answer now may do so at the next beat.
                with suppress(StorageInternalError, SQLAlchemyError):
                    self._storage.record_heartbeat(trial._trial_id)
                ended.wait(HEARTBEAT_SECONDS)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def continues(self, trial: FrozenTrial) -> list[int]:
        """The numbers of the interrupted trials that this one continues, in their order; none of a new one."""
        return list(quietly(self._retry.retry_history, trial))

    def report(self, trial: optuna.Trial, accuracy: float, epoch: int) -> bool:
        """Record the accuracy after an epoch, and say whether to prune the trial. Raises :class:`TrialLostError`."""

        def record() -> bool:
            try:
                trial.report(accuracy, epoch)
                return trial.should_prune()
            except UpdateFinishedTrialError:
                raise TrialLostError from None

        return self._patiently(record)

    def finish(self, trial: optuna.Trial, accuracy: float | None, **outcome: Any) -> None:
        """Record how a trial ended; without an accuracy it was pruned. Raises :class:`TrialLostError`."""
        self._patiently(lambda: self._finish(trial, accuracy, outcome))

    def _finish(self, trial: optuna.Trial, accuracy: float | None, outcome: dict[str, Any]) -> None:
        with self.lock:
            state = self.trials()[trial.number].state
            if state in _DONE:
                return  # by its own worker, whose last attempt the server recorded without an answer
            if state != TrialState.RUNNING:
                raise TrialLostError
            for key, value in outcome.items():
                trial.set_user_attr(key, value)
            self._study.tell(trial, accuracy, TrialState.PRUNED if accuracy is None else TrialState.COMPLETE)

    def give_back(self, trial: optuna.Trial) -> None:
        """Queue an unfinished trial again."""
        with self._errors_as_one_line(), self.lock:
            self._queue_again(self.trials()[trial.number])

    def trials(self) -> list[FrozenTrial]:
        """All trials, in the order of their numbers; read-only."""
        return self._patiently(lambda: self._study.get_trials(deepcopy=False))

    def done(self) -> list[FrozenTrial]:
        """The trials that ended, pruned or not."""
        return [trial for trial in self.trials() if trial.state in _DONE]

    def running(self) -> list[int]:
        """Numbers of the running trials, of all workers."""
        return [trial.number for trial in self.trials() if trial.state == TrialState.RUNNING]

    def importance(self) -> dict[str, float]:
        """Fraction of the accuracy's variance that each key explains, largest first; empty with too few trials.

        fANOVA (Hutter et al., ICML 2014), over the complete trials.
        """
        values = [trial.value for trial in self.trials() if trial.state == TrialState.COMPLETE]
        if len(values) >= IMPORTANCE_NEEDS and len(set(values)) > 1:
            # Raised when no tree of the forest saw two different values.
            with suppress(RuntimeError):
                return optuna.importance.FanovaImportanceEvaluator(seed=self._space.seed).evaluate(self._study)
        return {}

    def _queue_again(self, trial: FrozenTrial) -> None:
        if trial.state == TrialState.RUNNING:
            self._study.tell(trial.number, state=TrialState.FAIL)
            # One that was killed while its values were drawn may lack some: the next trial draws them all again.
            if "started" in trial.user_attrs or self.continues(trial):
                self._retry(self._study, trial)

    def _open(self, url: str, stale_seconds: int) -> RDBStorage:
        # A server may have been restarted since a connection was used last.
        settings = {"pool_pre_ping": True} if self._waits else {"connect_args": {"timeout": _BUSY_SECONDS}}
        storage: RDBStorage = quietly(
            RDBStorage,
            url,
            engine_kwargs=settings,
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=stale_seconds,
            heartbeat_stale_trial_callback=self._retry,
        )
        return storage

    def _create_file(self, file: Path, data: str) -> None:
        """Write a new database whole or not at all, and refuse a file that is not a sweep's before it is touched."""
        if file.exists():
            with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                try:
                    names = connection.execute("SELECT study_name FROM studies").fetchall()
                except sqlite3.DatabaseError:
                    names = []
            if names != [(self._study_name,)]:
                raise RunError(
                    f"{file} is not the database of a sweep, or it is damaged; nothing in it was changed. "
                    "Choose another --out.",
                    code="sweep-database",
                )
            return
        with whole_file(file) as temporary:
            storage = RDBStorage(f"sqlite:///{temporary}")
            self._describe(
                optuna.create_study(storage=storage, study_name=self._study_name, direction="maximize"), data
            )
            storage.remove_session()
            storage.engine.dispose()

    def _describe(self, study: optuna.Study, data: str) -> None:
        study.set_user_attr("space", self._space.digest)
        study.set_user_attr("data", data)

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call, and call again while a database server does not answer. Raises :class:`RunError` for other faults."""
        is_waiting = False
        while True:
            try:
                with self._errors_as_one_line():
                    result = call()
            except RunError as error:
                cause = error.__cause__
                if not (self._waits and isinstance(getattr(cause, "__cause__", None) or cause, _UNANSWERED)):
                    raise
                if not is_waiting:
                    self._notify("The database does not answer. Waiting for it; nothing is lost.")
                is_waiting = True
                time.sleep(_RETRY_SECONDS)
            else:
                if is_waiting:
                    self._notify("The database answers again.")
                return result

    @contextmanager
    def _errors_as_one_line(self) -> Iterator[None]:
        try:
            yield
        except (StorageInternalError, SQLAlchemyError, ImportError) as error:
            cause = error.__cause__ or error
            # Who names psycopg2 in the address wants another driver than the extra brings.
            if str(getattr(cause, "name", "")).startswith("psycopg") and "+psycopg2" not in self._place:
                with needs_extra("postgresql", f"The database {self._place}"):
                    raise cause from None
            raise RunError(
                f"The database {self._place} cannot be used: {str(cause).splitlines()[0]}. "
                "What is stored in it is kept.",
                code="sweep-database",
            ) from error
