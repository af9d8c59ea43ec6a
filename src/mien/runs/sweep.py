"""Search a space: train many short runs of one recipe with different values.

Each trial is a run folder in ``OUT/trials``. Optuna draws values, prunes, and stores trials in ``OUT/trials.db``, or in
a database that several machines share. A finished trial keeps recipe, environment and history. Weights are removed to
save disk space; to get the best ones again, train ``best.toml``.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.pruners import NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from mien.base.errors import RecipeError, RunError, StoppedError, TrainingError, without_password
from mien.base.files import write_bytes, write_text
from mien.base.labels import parse_scheme
from mien.base.recipe import Recipe, dump_recipe
from mien.base.run_folder import HistoryLine, RunFolder, best_epoch
from mien.base.spec_file import toml_value
from mien.data.dataset import Dataset
from mien.models.registry import starts_from_scratch
from mien.page.page import Column, Table
from mien.page.wording import counted, duration_text, percent
from mien.runs.space import Space
from mien.training.callback import Callback, Callbacks, interruptible
from mien.training.heads import target_fingerprints
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.state import check_network

DATABASE = "trials.db"
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ExperimentalWarning)
    _RETRY = RetryHeartbeatStaleTrialCallback()


@dataclass(frozen=True)
class TrialResult:
    """A finished trial.

    Attributes:
        number: number of the trial, from 0; also the name of its folder.
        outcome: ``complete``, ``pruned`` by successive halving, ``diverged``, or ``invalid`` (contradicting values).
        accuracy: validation accuracy of the best epoch, 0..1; NaN without an epoch.
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
    """Sort trials: complete ones first, by accuracy, then by number."""
    return sorted(trials, key=lambda trial: (-trial.accuracy if trial.outcome == "complete" else 0, trial.number))


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
    space: Space, faces: Dataset, out: Path, *, trials: int | None = None, device: str = "auto",
    storage: str | None = None, callback: Callback | None = None,
    on_trial_end: Callable[[str], None] = lambda text: None, metadata: Mapping[str, Any] | None = None,
) -> SweepResult:  # fmt: skip
    """Run a sweep until all its trials are finished.

    Raises DataError: the data lacks a split or a class that the recipe needs. Raises RunError: the folder or database
    is in use, or has other content, such as a sweep of another space or other data.
    """
    if (total := space.trials if trials is None else trials) < 1:
        raise RunError(f"A sweep has 1 or more trials; found {trials}.", code="options")
    in_scheme = faces.with_scheme(parse_scheme(space.base.classes))
    # Report a missing split now, not in the first trial.
    in_scheme.of_split("train")
    in_scheme.of_split("validation")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # Several processes may share a database, and then also a folder.
    alone = RunFolder(out).locked() if storage is None else nullcontext()
    with alone, _opened(space, faces, out, storage) as study, interruptible() as interrupted:
        trainer = _Trainer(space, faces, out, storage is not None, device, callback, metadata or {})

        def after(study: optuna.Study, trial: FrozenTrial) -> None:
            if trial.state in _FINISHED:
                _write(space, _results(study, space, out, total))
                on_trial_end(_line(trial, space))
            if interrupted.is_set():
                study.stop()

        # A process may have been killed right after storing a trial's result.
        _write(space, result := _results(study, space, out, total))
        if len(result.trials) < total:
            study.optimize(trainer, callbacks=[after, MaxTrialsCallback(total, _FINISHED)], catch=(StoppedError,))
        result = _results(study, space, out, total)
    return replace(result, was_stopped=interrupted.is_set() or trainer.was_stopped)


def check_networks(space: Space) -> None:
    """Check that the network can be built at each end of its ranges. Raises :class:`RecipeError`."""
    if space.base.tuning.fit_head and starts_from_scratch(space.base.model):
        words = f"'{space.base.name}' fits a head to a trained network; a sweep starts from random weights."
        raise RecipeError(words, code="fit-head")
    for key, recipe in space.recipes_at_the_ends():
        if key.startswith(("model.", "input.", "progressive_resizing")):
            try:
                check_network(recipe, 2)
            except RecipeError as error:
                words = f"The search space {space.name} cannot vary '{key}': {error}"
                raise RecipeError(words, code="space-value") from None


@contextmanager
def _opened(space: Space, faces: Dataset, out: Path, url: str | None) -> Iterator[optuna.Study]:
    """Open or create the sweep's Optuna study in its database. Raises :class:`RunError`."""
    data = " ".join([faces.fingerprint_without_test, *target_fingerprints(space.base, faces).values()])
    # Optuna takes a URL, in which a folder's ?, % and { have a meaning.
    halving, place = space.pruning, url or URL.create("sqlite", database=str(out / DATABASE)).render_as_string()
    shown = out / DATABASE if url is None else without_password(url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            # In a shared database, a process that sends no sign of life for two minutes counts as killed.
            beat = None if url is None else 60
            storage = RDBStorage(place, heartbeat_interval=beat, heartbeat_stale_trial_callback=_RETRY)
        try:
            study = optuna.create_study(
                storage=storage,
                study_name="sweep" if url is None else f"{space.name} {space.digest[7:15]}",
                direction="maximize",
                load_if_exists=True,
                pruner=NopPruner() if halving is None else SuccessiveHalvingPruner(halving.first_epoch, halving.factor),
            )
            for key, value, what in (("space", space.digest, "another space"), ("data", data, "other data")):
                if study.user_attrs.get(key, value) != value:
                    raise RunError(f"{shown} has a sweep of {what}. Choose another --out.", code="sweep-database")
                if key not in study.user_attrs:
                    study.set_user_attr(key, value)
            if url is None:
                # No other process uses this database, so their process was killed.
                for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                    study.tell(trial.number, state=TrialState.FAIL)
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (StorageInternalError, SQLAlchemyError, ImportError) as error:
        words = f"{shown} cannot be used: {str(error.__cause__ or error).splitlines()[0]}. If it is damaged, "
        words += "choose another --out; else mend that, and the same command goes on with its trials."
        raise RunError(words, code="sweep-database") from error


@dataclass
class _Trainer:
    """Trains the trials: the objective of Optuna's study."""

    space: Space
    faces: Dataset
    out: Path
    is_shared: bool
    device: str
    callback: Callback | None
    metadata: Mapping[str, Any]
    was_stopped: bool = False

    def __call__(self, trial: optuna.Trial) -> float:
        """Train a trial and return its accuracy. Raises TrialPruned if it has none, StoppedError if it was stopped."""
        number = self._number(trial)
        trial.set_user_attr("number", number)
        run, outcome, accuracy = RunFolder(self.out / "trials" / f"{number:04}"), "complete", None
        try:
            accuracy = self._accuracy(trial, number, run)
        except optuna.TrialPruned:
            outcome = "pruned"
        except RecipeError as error:
            outcome = "invalid"
            trial.set_user_attr("reason", str(error))
        except StoppedError:
            self.was_stopped = True
            trial.study.stop()
            if self.is_shared:
                # Optuna stores the trial as failed; let this or another machine try its values again.
                _RETRY(trial.study, trial.study.get_trials(deepcopy=False)[trial.number])
            raise
        except TrainingError as error:
            if error.code != "loss-not-finite":
                raise
            outcome = "diverged"
        history = run.read_history()
        seconds = history[-1]["seconds"] if history else 0.0
        for key, value in {"outcome": outcome, "epochs": len(history), "seconds": seconds}.items():
            trial.set_user_attr(key, value)
        for weights in (run.last, run.best):
            weights.unlink(missing_ok=True)
        if accuracy is None:
            raise optuna.TrialPruned
        return accuracy

    def _number(self, trial: optuna.Trial) -> int:
        """Return the number of a trial; a trial that was stopped and is tried again keeps it, and so its folder."""
        failed = [] if self.is_shared else trial.study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        return int(trial.user_attrs.get("number", trial.number - len(failed)))

    def _accuracy(self, trial: optuna.Trial, number: int, run: RunFolder) -> float:
        # The seed depends only on the number, so that a sweep can be repeated.
        seed = np.random.SeedSequence((self.space.seed, number)).generate_state(1)[0]
        trial.study.sampler = TPESampler(seed=int(seed))
        recipe = self.space.recipe_for(self.space.suggest(trial))
        plan = plan_training(recipe, self.faces)
        pruning = _Pruning(trial, recipe, run)
        if not pruning.should_stop():
            trained = train(
                plan,
                run,
                resume=True,
                callback=Callbacks(self.callback, pruning),
                environment={**self.metadata, "trial": number},
                device=self.device,
            )
            if trained.was_stopped and not pruning.should_stop():
                raise StoppedError("The trial was stopped.", code="stopped")
        if pruning.should_stop():
            raise optuna.TrialPruned
        return _best_accuracy(run.read_history(), recipe)


class _Pruning(Callback):
    """Reports each epoch to Optuna, also those of before a resumption, and ends the trial if Optuna prunes it."""

    def __init__(self, trial: optuna.Trial, recipe: Recipe, run: RunFolder) -> None:
        self._trial, self._recipe, self._run = trial, recipe, run
        self._epochs, self._is_pruned = 0, False
        self._report()

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        self._report()

    def should_stop(self) -> bool:
        return self._is_pruned

    def _report(self) -> None:
        history = self._run.read_history()
        while self._epochs < len(history) and not self._is_pruned:
            self._epochs += 1
            self._trial.report(_best_accuracy(history[: self._epochs], self._recipe), self._epochs)
            self._is_pruned = self._epochs < self._recipe.epochs and self._trial.should_prune()


def _best_accuracy(history: Sequence[HistoryLine], recipe: Recipe) -> float:
    return history[best_epoch(history, recipe) - 1]["validation_accuracy"]


def _line(trial: FrozenTrial, space: Space) -> str:
    found, values = trial.user_attrs, space.values(trial.params)
    reason = f" ({found['reason']})" if "reason" in found else ""
    reached = f", {percent(trial.value)}" if trial.state is TrialState.COMPLETE and trial.value is not None else ""
    shown = ", ".join(
        f"{key} = {format(value, '.4g') if isinstance(value, float) else toml_value(value)}"
        for key, value in values.items()
    )
    ended = f"trial {found['number']}: {found['outcome']}{reason}{reached}"
    return f"{ended}, {counted(found['epochs'], 'epoch')}, {duration_text(found['seconds'])}: {shown}"


def _results(study: optuna.Study, space: Space, out: Path, total: int) -> SweepResult:
    finished = study.get_trials(deepcopy=False, states=_FINISHED)
    trials = [
        TrialResult(
            number=trial.user_attrs.get("number", index),
            outcome=trial.user_attrs["outcome"],
            accuracy=math.nan if trial.value is None else trial.value,
            epochs=trial.user_attrs["epochs"],
            seconds=trial.user_attrs["seconds"],
            values=space.values(trial.params),
        )
        for index, trial in enumerate(finished)
    ]
    return SweepResult(out, tuple(trials), total)


def _write(space: Space, found: SweepResult) -> None:
    if not found.trials:
        return
    keys = tuple(space.parameters)
    columns = tuple(map(Column, ("trial", "outcome", "accuracy", "epochs", "seconds", *keys)))
    rows = [
        (trial.number, trial.outcome, trial.accuracy, trial.epochs, trial.seconds, *map(trial.values.get, keys))
        for trial in best_first(found.trials)
    ]
    write_bytes(found.folder / "trials.csv", Table("trials", columns, rows).to_csv())
    best = found.best
    if best is not None:
        words = f"Trial {best.number}, the best of {len(rows)} of {space.name}: {best.accuracy:.1%} on validation"
        update: dict[str, Any] = {"name": f"{space.base.name}-best", "description": words}
        recipe = space.recipe_for(best.values)
        for table, part in (recipe.own_parts | ({"model": recipe.model} if recipe.model.file else {})).items():
            update[table] = part.model_copy(update={"file": str(Path(part.file).absolute())})
        write_text(found.best_recipe, dump_recipe(recipe.model_copy(update=update)))
