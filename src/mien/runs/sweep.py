"""Search a space: train many short runs of one recipe with different values, one by one.

Each trial is a run folder in ``OUT/trials``. Optuna draws values, prunes, and stores trials in ``OUT/trials.db``. A
finished trial keeps recipe, environment and history. Weights are removed to save disk space; to get the best ones
again, train ``best.toml``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import StorageInternalError
from optuna.pruners import NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from mien.base.errors import RecipeError, RunError, StoppedError, TrainingError, arg
from mien.base.files import write_bytes, write_text
from mien.base.labels import parse_scheme
from mien.base.recipe import Recipe, dump_recipe
from mien.base.run_folder import HistoryLine, RunFolder, best_epoch
from mien.data.dataset import Dataset
from mien.page.blocks import Column, Table
from mien.runs.space import Space
from mien.training.callback import Callback, Callbacks, interruptible
from mien.training.heads import target_fingerprints
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.state import check_network

DATABASE = "trials.db"

_DONE = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class TrialResult:
    """A finished trial.

    Attributes:
        number: number of the trial, from 0; also the name of its folder.
        outcome: ``complete``, ``pruned`` by successive halving, ``diverged``, or ``invalid`` (contradicting values).
        accuracy: validation accuracy of the best epoch, 0..1; NaN unless complete.
        epochs: number of epochs.
        seconds: time of training and validation.
        values: values by key.
    """

    number: int
    outcome: str
    accuracy: float
    epochs: int
    seconds: float
    values: Mapping[str, Any]


def best_first(trials: Sequence[TrialResult]) -> list[TrialResult]:
    """Sort trials: complete ones first, then by accuracy, then by number."""

    def rank(trial: TrialResult) -> tuple[bool, float, int]:
        accuracy = -1.0 if math.isnan(trial.accuracy) else trial.accuracy
        return trial.outcome != "complete", -accuracy, trial.number

    return sorted(trials, key=rank)


@dataclass(frozen=True)
class SweepResult:
    """The result of a sweep.

    Attributes:
        folder: folder of the sweep.
        trials: finished trials by number.
        total: planned number of trials.
        was_stopped: whether Ctrl-C ended the sweep.
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
        """Path of the best trial's recipe; no file exists until a trial is complete."""
        return self.folder / "best.toml"

    def to_dict(self) -> dict[str, object]:
        """Return a summary, JSON-ready."""
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
    device: str = "auto",
    callback: Callback | None = None,
    on_trial_end: Callable[[str], None] = lambda text: None,
    metadata: Mapping[str, Any] | None = None,
) -> SweepResult:
    """Run a sweep until all its trials are finished.

    Raises:
        DataError: the data lacks a split or a class that the recipe needs.
        RunError: the folder is in use, or has other content, such as a sweep of another space or other data.
    """
    total = trials or space.trials
    in_scheme = faces.with_scheme(parse_scheme(space.base.classes))
    # Report a missing split now, not in the first trial.
    in_scheme.of_split("train")
    in_scheme.of_split("validation")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with RunFolder(out).alone(), _opened(space, faces, out) as study, interruptible() as interrupted:
        found = _results(study, space, out, total)
        # A process may have been killed right after storing a trial's result.
        _write(space, found)
        while len(found.trials) < total and not found.was_stopped:
            number = len(found.trials)
            run = RunFolder(out / "trials" / f"{number:04}")
            trial_metadata = {**(metadata or {}), "trial": number}
            # The seed depends only on the number, so a resumed trial draws the same values.
            study.sampler = TPESampler(seed=int(np.random.SeedSequence((space.seed, number)).generate_state(1)[0]))
            try:
                study.optimize(_Objective(space, faces, run, callback, trial_metadata, device), n_trials=1)
            except StoppedError:
                return replace(found, was_stopped=True)
            for weights in (run.last, run.best):
                weights.unlink(missing_ok=True)
            found = _results(study, space, out, total, was_stopped=interrupted.is_set())
            _write(space, found)
            on_trial_end(_in_words(study.trials[-1], number))
    return found


def check_networks(space: Space) -> None:
    """Check that the network can be built at each end of its ranges. Raises :class:`RecipeError`."""
    for key, recipe in space.recipes_at_the_ends():
        if key.startswith(("model.", "input.", "progressive_resizing")):
            try:
                check_network(recipe)
            except RecipeError as error:
                raise RecipeError(
                    f"The search space {space.name} cannot vary '{key}': {error.raw}", code="space-network"
                ) from None


@contextmanager
def _opened(space: Space, faces: Dataset, out: Path) -> Iterator[optuna.Study]:
    """Open or create the sweep's Optuna study in its database. Raises :class:`RunError`."""
    data = " ".join([faces.fingerprint_without_test, *target_fingerprints(space.base, faces).values()])
    pruning = space.pruning
    try:
        storage = RDBStorage(f"sqlite:///{out / DATABASE}")
        try:
            study = optuna.create_study(
                storage=storage,
                study_name="sweep",
                direction="maximize",
                load_if_exists=True,
                pruner=SuccessiveHalvingPruner(pruning.first_epoch, pruning.factor) if pruning else NopPruner(),
            )
            for key, value, what in (("space", space.digest, "another space"), ("data", data, "other data")):
                if study.user_attrs.get(key, value) != value:
                    raise RunError(
                        f"{out} belongs to a sweep of {what}; nothing in it was changed. Choose another {arg('out')}.",
                        code=f"sweep-other-{key}",
                    )
                if key not in study.user_attrs:
                    study.set_user_attr(key, value)
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (StorageInternalError, SQLAlchemyError) as error:
        raise RunError(
            f"{out / DATABASE} cannot be used: {str(error.__cause__ or error).splitlines()[0]}. Its trials "
            "are kept; the same command resumes the sweep.",
            code="sweep-database",
        ) from error


class _TrialCallback(Callback):
    """Reports each epoch to Optuna, and stops the run when the trial is pruned."""

    def __init__(self, trial: optuna.Trial, recipe: Recipe, run: RunFolder) -> None:
        self.history: list[HistoryLine] = []
        self.is_pruned = False
        self._trial, self._recipe, self._run = trial, recipe, run
        # Report the epochs that a stopped run has already finished.
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
class _Objective:
    """Trains one trial in its folder; the attributes are arguments of :func:`search`."""

    space: Space
    faces: Dataset
    run: RunFolder
    callback: Callback | None
    metadata: Mapping[str, Any]
    device: str

    def __call__(self, trial: optuna.Trial) -> float:
        """Train the trial and return its validation accuracy, 0..1.

        Raises:
            TrialPruned: the trial was pruned, its loss is not a number, or its values contradict each other.
            StoppedError: Ctrl-C was pressed; the trial does not count.
        """
        drawn = {key: values.suggest(trial, key) for key, values in self.space.ranges.items()}
        accuracy, outcome, why = self._train(trial, self.space.values(drawn))
        history = self.run.read_history()
        seconds = history[-1]["seconds"] if history else 0.0
        for key, value in {"outcome": outcome, "why": why, "epochs": len(history), "seconds": seconds}.items():
            trial.set_user_attr(key, value)
        if accuracy is None:
            raise optuna.TrialPruned
        return accuracy

    def _train(self, trial: optuna.Trial, values: Mapping[str, Any]) -> tuple[float | None, str, str]:
        """Return accuracy of a complete trial (else None), outcome, and the reason if values are invalid."""
        try:
            recipe = self.space.recipe_for(values)
            plan = plan_training(recipe, self.faces)
            reports = _TrialCallback(trial, recipe, self.run)
            if not reports.is_pruned:
                outcome = train(
                    plan, self.run, resume=True, callback=Callbacks(self.callback, reports),
                    environment=dict(self.metadata), device=self.device,
                )  # fmt: skip
        except RecipeError as error:
            return None, "invalid", f"invalid: {error}"
        except StoppedError:
            raise
        except TrainingError:
            return None, "diverged", ""
        if reports.is_pruned:
            return None, "pruned", ""
        if outcome.was_stopped:
            raise StoppedError(f"Trial {self.run.path.name} was stopped.")
        return reports.accuracy, "complete", ""


def _results(study: optuna.Study, space: Space, out: Path, total: int, was_stopped: bool = False) -> SweepResult:
    finished = study.get_trials(deepcopy=False, states=_DONE)
    trials = [
        TrialResult(
            number=number,
            outcome=trial.user_attrs["outcome"],
            accuracy=math.nan if trial.value is None else trial.value,
            epochs=trial.user_attrs["epochs"],
            seconds=trial.user_attrs["seconds"],
            values=space.values(trial.params),
        )
        for number, trial in enumerate(finished)
    ]
    return SweepResult(out, tuple(trials), total, was_stopped)


def _in_words(trial: FrozenTrial, number: int) -> str:
    words = [trial.user_attrs["why"] or trial.user_attrs["outcome"], f"{trial.user_attrs['epochs']} epochs"]
    words += [] if trial.value is None else [f"{trial.value:.1%}"]
    return f"trial {number}: {', '.join(words)}, {trial.user_attrs['seconds']:.0f} s"


def _write(space: Space, found: SweepResult) -> None:
    """Write trials.csv and, once a trial is complete, best.toml."""
    if not found.trials:
        return
    keys = tuple(space.ranges)
    columns = tuple(map(Column, ("trial", "outcome", "accuracy", "epochs", "seconds", *keys)))
    rows = [
        (trial.number, trial.outcome, trial.accuracy, trial.epochs, trial.seconds, *map(trial.values.get, keys))
        for trial in best_first(found.trials)
    ]
    write_bytes(found.folder / "trials.csv", Table("trials", columns, rows).to_csv())
    best = found.best
    if best is not None:
        words = f"Trial {best.number}, the best of {len(rows)} of {space.name}: {best.accuracy:.1%} on validation"
        update = {"name": f"{space.base.name}-best", "description": words}
        write_text(found.best_recipe, dump_recipe(space.recipe_for(best.values).model_copy(update=update)))
