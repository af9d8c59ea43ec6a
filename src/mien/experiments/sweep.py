"""``mien sweep``: many short runs of one recipe, each with other values, until the best are found.

A trial is a run folder in ``OUT/trials``. Its state is in ``OUT/journal.log``, which any number of workers share
(``journal.py``). Of a finished trial recipe, environment and history stay; its weights go, because a hundred trials
would fill a disk, and ``best.toml`` makes them again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from mien.data.faceset import FaceSet
from mien.errors import RecipeError, RunError, StoppedError, TrainingError
from mien.experiments.journal import STALE_SECONDS, Journal, TrialLostError
from mien.experiments.space import Space
from mien.experiments.sweep_results import SweepResult, write_page, write_small_files
from mien.labels import parse_scheme
from mien.progress import busy
from mien.recipe import Recipe
from mien.run_folder import RunFolder, best_epoch
from mien.training.interrupt import interruptible
from mien.training.loop import Watch, train
from mien.training.state import HistoryLine, check_network

View = Callable[[Recipe, FaceSet], AbstractContextManager[Watch | None]]
_LOOK_SECONDS = 2.0


def sweep(
    space: Space,
    faces: FaceSet,
    out: Path,
    *,
    trials: int | None = None,
    view: View = lambda recipe, faces: nullcontext(),
    tell: Callable[[str], None] = lambda text: None,
    facts: Mapping[str, Any] | None = None,
    stale_seconds: float = STALE_SECONDS,
) -> SweepResult:
    """Work on a sweep, alone or beside others, until all its trials are done.

    Args:
        space: what is searched.
        faces: under the data's own classes; train and validation are used, test is not touched.
        out: the folder of the sweep; begun where it is missing, helped with where it stands.
        trials: how many recipes are tried, by all workers together; the space's own number by default.
        view: shows a run to a person.
        tell: is told, in a line, how each trial ended.
        facts: for environment.json and the page: data, command, ...
        stale_seconds: a trial of another worker without a sign of life for so long is taken over.

    Raises:
        DataError: the data lacks a split or a class that the recipe needs.
        RecipeError: a range names a setting that the network does not have.
        RunError: the folder holds something else, or the sweep of another space or other data; or the disk is full.
    """
    total = trials or space.trials
    kept = faces.with_scheme(parse_scheme(space.base.classes))
    check_networks(space, len(kept.classes))
    # What cannot be trained on is missed now, not in the first trial.
    for split in ("train", "validation"):
        kept.of_split(split)
    file = out / "journal.log"
    if out.is_file() or (not file.exists() and (out / "trials").exists()):
        state = "is a file" if out.is_file() else "holds trials, but the journal.log that tells of them is missing"
        raise RunError(f"{out} {state}. Choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    journal = Journal(file, space, faces.fingerprint_without_test, stale_seconds)
    with interruptible() as interrupted:
        worker = _Worker(journal, space, faces, out, view, tell, facts or {})
        while not interrupted.is_set():
            trial = journal.take(total)
            if trial is not None:
                worker.work_on(trial)
                write_small_files(out, space, journal)
            elif running := journal.running():
                with busy(f"waiting for trial {', '.join(map(str, running))}, which another worker runs"):
                    interrupted.wait(_LOOK_SECONDS)
            else:
                break
    with busy("writing report.html"):
        return write_page(out, space, journal, kept, total, interrupted.is_set(), facts or {})


def check_networks(space: Space, classes: int = 7) -> None:
    """Build the network at each end of each range that shapes it. Raises :class:`RecipeError`."""
    for key, recipe in space.recipes_at_the_ends():
        if key.startswith(("model.", "input.", "early_sizes")):
            try:
                check_network(recipe, classes)
            except RecipeError as error:
                raise RecipeError(f"The space {space.name} cannot vary '{key}': {error}") from None


class _CutShortError(Exception):
    """Successive halving ends this trial."""


class _TrialWatch:
    """Reports each epoch to the journal, and stops the run where that says so."""

    def __init__(
        self, journal: Journal, trial: optuna.Trial, recipe: Recipe, run: RunFolder, shown: Watch | None
    ) -> None:
        self.history: list[HistoryLine] = []
        self._journal = journal
        self._trial = trial
        self._recipe = recipe
        self._run = run
        self._shown = shown

    @property
    def accuracy(self) -> float:
        """On validation, of the epoch whose weights would be kept."""
        return self.history[best_epoch(self.history, self._recipe) - 1]["validation_accuracy"]

    @property
    def epochs(self) -> str:
        """How many are done, in words."""
        return f"{len(self.history)} {'epoch' if len(self.history) == 1 else 'epochs'}"

    def step(self, epoch: int, images: int, loss: float) -> None:
        """See :class:`mien.training.loop.Watch`."""
        if self._shown is not None:
            self._shown.step(epoch, images, loss)

    def epoch(self, line: HistoryLine, is_best: bool) -> None:
        """See :class:`mien.training.loop.Watch`."""
        if self._shown is not None:
            self._shown.epoch(line, is_best)
        self.catch_up()

    def catch_up(self) -> None:
        """Report the epochs of the run folder that were not reported, also those of a worker that was killed."""
        for line in self._run.read_history()[len(self.history) :]:
            self.history.append(line)
            shall_end = self._journal.report(self._trial, self.accuracy, len(self.history))
            if shall_end and len(self.history) < self._recipe.epochs:
                raise _CutShortError


@dataclass(frozen=True)
class _Ending:
    """How a trial ended: a word, the same as a remark, and the accuracy of one that ran to its end."""

    word: str
    remark: str
    accuracy: float | None = None


@dataclass(frozen=True)
class _Worker:
    """One process that works on a sweep; the attributes are :func:`sweep`'s arguments."""

    journal: Journal
    space: Space
    faces: FaceSet
    out: Path
    view: View
    tell: Callable[[str], None]
    facts: Mapping[str, Any]

    def work_on(self, trial: optuna.Trial) -> None:
        """Run a trial and note how it ended. Whatever else stops it, the trial is queued again."""
        run = self._folder(trial.number)
        former = trial.user_attrs.get("goes_on")
        if former is not None:
            with suppress(FileNotFoundError):
                self._folder(former).path.rename(run.path)
        try:
            with self.journal.alive(trial):
                ending = self._run(trial, run)
            if ending is None:
                self.journal.give_back(trial)
                return
            history = run.read_history()
            seconds = history[-1]["seconds"] if history else 0.0
            self.journal.finish(trial, ending.accuracy, end=ending.word, epochs=len(history), seconds=seconds)
        except TrialLostError:
            # Its values and its checkpoint are another trial's now; what this worker wrote since is nobody's.
            shutil.rmtree(run.path, ignore_errors=True)
            self.tell(f"trial {trial.number}: taken over by another worker, as this one showed no sign of life")
            return
        except BaseException:
            with suppress(OSError):
                self.journal.give_back(trial)
            raise
        for weights in (run.last, run.best, run.next_best):
            weights.unlink(missing_ok=True)
        self.tell(f"trial {trial.number}: {ending.remark}, {seconds:.0f} s; {len(self.journal.done())} done")

    def _folder(self, number: int) -> RunFolder:
        return RunFolder(self.out / "trials" / f"{number:04}")

    def _run(self, trial: optuna.Trial, run: RunFolder) -> _Ending | None:
        """Train, or go on with the run that stands there; None where Ctrl-C stopped it."""
        try:
            recipe = self.space.recipe_for(self.space.values(trial.params))
            facts = {**self.facts, "trial": trial.number}
            with self.view(recipe, self.faces) as shown:
                watch = _TrialWatch(self.journal, trial, recipe, run, shown)
                watch.catch_up()
                outcome = train(recipe, self.faces, run, resume=True, watch=watch, environment=facts)
        except _CutShortError:
            return _Ending("cut", f"cut after {watch.epochs} at {watch.accuracy:.1%}")
        except StoppedError:
            return None
        except TrainingError:
            return _Ending("diverged", f"diverged after {watch.epochs}")
        except RecipeError as error:
            return _Ending("impossible", f"impossible: {error}")
        if outcome.reason == "interrupted":
            return None
        return _Ending("complete", f"{watch.accuracy:.1%} after {watch.epochs}", watch.accuracy)
