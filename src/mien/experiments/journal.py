"""The trials of a sweep in one file that any number of workers share: optuna's journal, and whose turn it is.

Every change of a trial's state is made in turn, under a lock file, so that the number of trials holds over all workers.
A worker that is killed leaves its trial running for ever. So every worker keeps counting up a number at its own trial;
where it stands still for a minute, by the clock of whoever looks, the trial is taken from it and queued again, with its
values and its checkpoint. Clocks of two machines are never compared.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from mien.errors import RunError
from mien.experiments.space import Space
from mien.report.trials import IMPORTANCE_NEEDS

BEAT_SECONDS = 10.0
# Longer than the 30 seconds for which a lock file can stay behind a worker that was killed while it wrote.
STALE_SECONDS = 60.0

_STUDY = "mien sweep"
_DONE = (TrialState.COMPLETE, TrialState.PRUNED)


class TrialLostError(Exception):
    """Another worker took this trial for dead and queued it again."""


class Journal:
    """The trials of one sweep."""

    def __init__(self, path: Path, space: Space, data: str, stale_seconds: float = STALE_SECONDS) -> None:
        """Open the file, or begin it.

        Args:
            path: of the file; its folder exists.
            space: what is searched.
            data: the fingerprint of the faces without their test split.
            stale_seconds: how long a trial may show no sign of life.

        Raises:
            RunError: the file belongs to another space or other data, is no journal of a sweep, or is damaged.
        """
        # Optuna tells of every trial; so do we.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = space
        self._stale_seconds = stale_seconds
        self._seen: dict[int, tuple[int, float]] = {}
        self._turn_lock = JournalFileOpenLock(f"{path}.turn")
        pruner = (
            NopPruner()
            if space.pruning is None
            else SuccessiveHalvingPruner(min_resource=space.pruning.first_epoch, reduction_factor=space.pruning.factor)
        )
        with self.turn():
            _check(path)
            storage = JournalStorage(JournalFileBackend(str(path), lock_obj=_MendingLock(path)))
            if _STUDY not in optuna.get_all_study_names(storage):
                optuna.create_study(storage=storage, study_name=_STUDY, direction="maximize")
            self._study = optuna.load_study(study_name=_STUDY, storage=storage, pruner=pruner)
            for key, value, what in (("space", space.digest, "another space"), ("data", data, "other data")):
                known = self._study.user_attrs.get(key)
                if known is None:
                    self._study.set_user_attr(key, value)
                elif known != value:
                    raise RunError(
                        f"{path} belongs to a sweep of {what}; nothing in it was changed. Choose another --out."
                    )

    def take(self, total: int) -> optuna.Trial | None:
        """Begin a trial, one that was given back first; None where ``total`` are done or run already."""
        with self.turn():
            self._reclaim()
            trials = self.trials()
            if sum(trial.state in (*_DONE, TrialState.RUNNING) for trial in trials) >= total:
                return None
            number = min((trial.number for trial in trials if trial.state == TrialState.WAITING), default=len(trials))
            # Its own seed for each trial: workers that share one would all draw the same values.
            seed = np.random.SeedSequence((self._space.seed, number)).generate_state(1)[0]
            self._study.sampler = TPESampler(seed=int(seed))
            trial = self._study.ask({key: each.distribution() for key, each in self._space.ranges.items()})
            trial.set_user_attr("beat", 0)
            return trial

    @contextmanager
    def alive(self, trial: optuna.Trial) -> Iterator[None]:
        """Show a sign of life every few seconds."""
        stopped = threading.Event()

        def beat() -> None:
            count = 0
            while not stopped.wait(BEAT_SECONDS):
                count += 1
                # A full disk stops the training too, which says so; a lost trial is seen at the next epoch.
                with suppress(OSError, UpdateFinishedTrialError):
                    trial.set_user_attr("beat", count)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def report(self, trial: optuna.Trial, accuracy: float, epoch: int) -> bool:
        """Note the accuracy after an epoch; whether the trial shall be cut here. Raises :class:`TrialLostError`."""
        try:
            trial.report(accuracy, epoch)
            return trial.should_prune()
        except UpdateFinishedTrialError:
            raise TrialLostError from None

    def finish(self, trial: optuna.Trial, accuracy: float | None, **facts: Any) -> None:
        """Note how a trial ended; without an accuracy it was cut. Raises :class:`TrialLostError`."""
        with self.turn():
            if self._study.get_trials(deepcopy=False)[trial.number].state != TrialState.RUNNING:
                raise TrialLostError
            for key, value in facts.items():
                trial.set_user_attr(key, value)
            self._study.tell(trial, accuracy, TrialState.PRUNED if accuracy is None else TrialState.COMPLETE)

    def give_back(self, trial: optuna.Trial) -> None:
        """Queue a trial again that was begun and not finished."""
        with self.turn():
            self._queue_again(self.trials()[trial.number])

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Keep all other workers from changing a trial's state or writing results."""
        self._turn_lock.acquire()
        try:
            yield
        finally:
            # Who waited for 30 seconds takes the lock for a dead worker's and removes it.
            with suppress(RuntimeError):
                self._turn_lock.release()

    def trials(self) -> list[FrozenTrial]:
        """All trials, in the order of their numbers; not to be changed."""
        return self._study.get_trials(deepcopy=False)

    def done(self) -> list[FrozenTrial]:
        """The trials that ended, cut short or not."""
        return [trial for trial in self.trials() if trial.state in _DONE]

    def running(self) -> list[int]:
        """Numbers of the trials that some worker has begun and not finished."""
        return [trial.number for trial in self.trials() if trial.state == TrialState.RUNNING]

    def importance(self) -> dict[str, float]:
        """Share of the accuracy's variance that each key explains, largest first; empty where that is not to be told.

        fANOVA (Hutter et al., ICML 2014), over the trials that ran to their end.
        """
        values = [trial.value for trial in self.trials() if trial.state == TrialState.COMPLETE]
        if len(values) < IMPORTANCE_NEEDS or len(set(values)) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._space.seed)
        # Raised where no tree of the forest saw two different values.
        with suppress(RuntimeError):
            return evaluator.evaluate(self._study)
        return {}

    def _reclaim(self) -> None:
        """Queue again what its worker shows no sign of life of."""
        for trial in self.trials():
            if trial.state != TrialState.RUNNING:
                continue
            beat = trial.user_attrs.get("beat", -1)
            known, since = self._seen.get(trial.number, (None, 0.0))
            if known != beat:
                self._seen[trial.number] = beat, time.monotonic()
            elif time.monotonic() - since >= self._stale_seconds:
                self._queue_again(trial)

    def _queue_again(self, trial: FrozenTrial) -> None:
        if trial.state == TrialState.RUNNING:
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._study.enqueue_trial(trial.params, user_attrs={"goes_on": trial.number})


class _MendingLock(JournalFileOpenLock):
    """The lock of every write. A line that a full disk cut short must not swallow the next.

    Optuna's other lock is a symbolic link, which leads nowhere on a machine that has the folder under another path.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def acquire(self) -> bool:
        super().acquire()
        try:
            _cut_torn_line(self._path)
        except BaseException:
            self.release()
            raise
        return True


def _cut_torn_line(path: Path) -> None:
    with path.open("rb+") as stream:
        size = stream.seek(0, 2)
        if size:
            stream.seek(size - 1)
            if stream.read(1) != b"\n":
                stream.seek(0)
                stream.truncate(stream.read().rfind(b"\n") + 1)


def _check(path: Path) -> None:
    """Check that the file is a sweep's, before anything is written. Raises :class:`RunError`."""
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    # What follows the last line's end was cut short by a kill or a full disk, and holds nothing.
    for number, line in enumerate(lines[:-1], start=1):
        try:
            entry = json.loads(line)
            is_ours = number > 1 or entry["study_name"] == _STUDY
            entry["op_code"]
        except (ValueError, TypeError, KeyError):
            is_ours = False
        if not is_ours:
            state = "is not the journal of a sweep" if number == 1 else f"is damaged at line {number}"
            raise RunError(f"{path} {state}; nothing in it was changed. Choose another --out.")
    if len(lines) == 1 and lines[0]:
        raise RunError(f"{path} is not the journal of a sweep; nothing in it was changed. Choose another --out.")
