"""``mien sweep``: many short runs of one recipe with different values, to find the best ones.

A trial is a run folder in ``OUT/trials``; the state of all trials is in a database that workers share (``storage.py``).
A finished trial keeps its recipe, environment and history. Its weights are removed, since a hundred trials would fill a
disk, and ``best.toml`` trains them again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from mien.data.dataset import Dataset
from mien.data.votes import votes_fingerprint
from mien.errors import RecipeError, RunError, StoppedError, TrainingError
from mien.labels import parse_scheme
from mien.progress import busy
from mien.recipe import Recipe
from mien.run_folder import RunFolder
from mien.run_history import best_epoch
from mien.runs.space import Space
from mien.runs.storage import DATABASE, STALE_SECONDS, TrialLostError, TrialStorage
from mien.runs.sweep_results import SweepResult, write_page, write_small_files
from mien.training.callback import Callback, HistoryLine
from mien.training.interrupt import interruptible
from mien.training.loop import train
from mien.training.plan import TrainingPlan, plan_training
from mien.training.state import check_network

CallbackFor = Callable[[TrainingPlan], AbstractContextManager[Callback | None]]
_POLL_SECONDS = 2.0


def sweep(
    space: Space,
    faces: Dataset,
    out: Path,
    *,
    trials: int | None = None,
    database: str | None = None,
    device: str = "auto",
    callback_for: CallbackFor = lambda plan: nullcontext(),
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
        callback_for: makes the callback of a trial's training.
        on_trial_end: called with one line that says how a trial ended.
        metadata: for environment.json and the page: data, command, ...
        stale_seconds: another worker's trial is taken over after so long without a heartbeat.

    Raises:
        DataError: the data lacks a split or a class that the recipe needs.
        RecipeError: a range names a setting that the network does not have.
        RunError: the folder holds something else, or a sweep of another space or other data; or the disk is full.
    """
    total = trials or space.trials
    in_scheme = faces.with_scheme(parse_scheme(space.base.classes))
    check_networks(space, len(in_scheme.classes))
    # A missing split is reported now, not in the first trial.
    for split in ("train", "validation"):
        in_scheme.of_split(split)
    _check_folder(out, database)
    try:
        storage = TrialStorage(out, space, _data_of(space, faces), database, stale_seconds, on_trial_end)
    except RunError:
        _remove_empty(out)
        raise
    with closing(storage):
        with interruptible() as interrupted:
            worker = _Worker(storage, space, faces, out, callback_for, on_trial_end, metadata or {}, device)
            while not interrupted.is_set():
                trial = storage.take(total)
                if trial is not None:
                    worker.work_on(trial)
                    write_small_files(out, space, storage)
                elif running := storage.running():
                    with busy(f"waiting for trial {', '.join(map(str, running))} of another worker"):
                        interrupted.wait(_POLL_SECONDS)
                else:
                    break
        # A worker that was killed after its trial had ended left them as they were.
        write_small_files(out, space, storage)
        with busy("writing report.html"):
            return write_page(out, space, storage, in_scheme, total, interrupted.is_set(), metadata or {})


def _data_of(space: Space, faces: Dataset) -> str:
    """The fingerprint of the data, and of its votes where an output learns from them."""
    own = faces.fingerprint_without_test
    return f"{own} {votes_fingerprint(faces)}" if space.base.learns_votes else own


def _check_folder(out: Path, database: str | None) -> None:
    """Create the folder of a sweep, or refuse what is not one. Raises :class:`RunError`."""
    if out.is_file():
        raise RunError(f"{out} is a file. Choose another --out.", code="sweep-folder")
    if (out / "journal.log").exists():
        raise RunError(
            f"{out} holds a sweep of an older mien (journal.log), which cannot be continued. Choose another --out.",
            code="sweep-old-version",
        )
    if database is None and (out / "trials").exists() and not (out / DATABASE).exists():
        raise RunError(
            f"{out} holds trials, but their {DATABASE} is missing. Choose another --out.", code="sweep-folder"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{out} cannot be created: {error.strerror}. Choose another --out.", code="sweep-folder"
        ) from None


def _remove_empty(out: Path) -> None:
    """Remove a sweep's folder that holds nothing but its lock: its database could not be opened."""
    with suppress(OSError):
        if [each.name for each in out.iterdir()] == [".lock"]:
            (out / ".lock").unlink()
            out.rmdir()  # and not rmtree: another worker may begin here now


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


class _TrialCallback(Callback):
    """Reports each epoch to the storage, and stops the run when the trial is pruned."""

    def __init__(
        self, storage: TrialStorage, trial: optuna.Trial, recipe: Recipe, run: RunFolder, inner: Callback | None
    ) -> None:
        self.history: list[HistoryLine] = []
        self._storage = storage
        self._trial = trial
        self._recipe = recipe
        self._run = run
        self._inner = inner or Callback()
        self.is_pruned = False

    @property
    def accuracy(self) -> float:
        """Validation accuracy of the best epoch so far, 0..1."""
        return self.history[best_epoch(self.history, self._recipe) - 1]["validation_accuracy"]

    @property
    def epochs(self) -> str:
        """The number of finished epochs, in words."""
        return f"{len(self.history)} {'epoch' if len(self.history) == 1 else 'epochs'}"

    def on_step_end(self, epoch: int, images: int, loss: float) -> None:
        """See :class:`mien.training.callback.Callback`."""
        self._inner.on_step_end(epoch, images, loss)

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        """See :class:`mien.training.callback.Callback`."""
        self._inner.on_epoch_end(metrics, is_best)
        self.catch_up()

    def should_stop(self) -> bool:
        """See :class:`mien.training.callback.Callback`."""
        return self.is_pruned or self._inner.should_stop()

    def catch_up(self) -> None:
        """Report the epochs in the run folder that are not reported yet, also those of a killed worker."""
        for line in self._run.read_history()[len(self.history) :]:
            self.history.append(line)
            is_pruned = self._storage.report(self._trial, self.accuracy, len(self.history))
            if is_pruned and len(self.history) < self._recipe.epochs:
                self.is_pruned = True
                return


@dataclass(frozen=True)
class _Outcome:
    """How a trial ended: a word, a line for people, and the accuracy of a complete trial."""

    word: str
    line: str
    accuracy: float | None = None


@dataclass(frozen=True)
class _Worker:
    """One process that works on a sweep; the attributes are :func:`sweep`'s arguments."""

    storage: TrialStorage
    space: Space
    faces: Dataset
    out: Path
    callback_for: CallbackFor
    on_trial_end: Callable[[str], None]
    metadata: Mapping[str, Any]
    device: str

    def work_on(self, trial: optuna.Trial) -> None:
        """Run a trial and record its outcome. Whatever else stops it, the trial is queued again."""
        run = self._folder(trial.number)
        former = self.storage.continues(self.storage.trials()[trial.number])
        if former:
            with suppress(FileNotFoundError):
                self._folder(former[-1]).path.rename(run.path)
        try:
            with self.storage.alive(trial):
                outcome = self._run(trial, run)
            if outcome is None:
                self.storage.give_back(trial)
                return
            history = run.read_history()
            seconds = history[-1]["seconds"] if history else 0.0
            self.storage.finish(trial, outcome.accuracy, outcome=outcome.word, epochs=len(history), seconds=seconds)
        except TrialLostError:
            # Its values and checkpoint belong to another trial now; files written since then have no owner.
            shutil.rmtree(run.path, ignore_errors=True)
            self.on_trial_end(f"trial {trial.number}: another worker took it over after no heartbeat")
            return
        except BaseException:
            with suppress(OSError, RunError):
                self.storage.give_back(trial)
            raise
        for weights in (run.last, run.previous, run.best, run.next_best):
            weights.unlink(missing_ok=True)
        self.on_trial_end(f"trial {trial.number}: {outcome.line}, {seconds:.0f} s; {len(self.storage.done())} finished")

    def _folder(self, number: int) -> RunFolder:
        return RunFolder(self.out / "trials" / f"{number:04}")

    def _run(self, trial: optuna.Trial, run: RunFolder) -> _Outcome | None:
        """Train the trial, or resume its run; None after Ctrl-C."""
        try:
            recipe = self.space.recipe_for(self.space.values(trial.params))
            environment = {**self.metadata, "trial": trial.number}
            plan = plan_training(recipe, self.faces)
            with self.callback_for(plan) as inner:
                callback = _TrialCallback(self.storage, trial, recipe, run, inner)
                callback.catch_up()
                if not callback.is_pruned:
                    stopped = train(
                        plan, run, resume=True, callback=callback, environment=environment, device=self.device
                    ).was_stopped
        except StoppedError:
            return None
        except TrainingError:
            return _Outcome("diverged", f"diverged after {callback.epochs}")
        except RecipeError as error:
            return _Outcome("invalid", f"invalid: {error}")
        if callback.is_pruned:
            return _Outcome("pruned", f"pruned after {callback.epochs} at {callback.accuracy:.1%}")
        if stopped:
            return None
        return _Outcome("complete", f"{callback.accuracy:.1%} after {callback.epochs}", callback.accuracy)
