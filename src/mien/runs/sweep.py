"""Search a space: train many short runs of one recipe with different values, one by one.

Each trial is a run folder in ``OUT/trials``. Optuna draws values, prunes, and stores trials in ``OUT/trials.db``. A
finished trial keeps recipe, environment and history. Weights are removed to save disk space; to get the best ones
again, train ``best.toml``.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import StorageInternalError
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from mien.base.errors import RecipeError, RunError, StoppedError, TrainingError
from mien.base.files import write_bytes, write_text
from mien.base.labels import parse_scheme
from mien.base.recipe import Recipe, dump_recipe
from mien.base.run_folder import HistoryLine, RunFolder, best_epoch
from mien.data.dataset import Dataset
from mien.models.registry import starts_from_scratch
from mien.page.blocks import Column, Table
from mien.page.wording import counted
from mien.runs.space import Pruning, Space
from mien.training.callback import Callback, Callbacks, interruptible
from mien.training.heads import target_fingerprints
from mien.training.loop import train
from mien.training.plan import plan_training
from mien.training.state import check_network

DATABASE = "trials.db"
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


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
    callback: Callback | None = None, on_trial_end: Callable[[str], None] = lambda text: None,
    metadata: Mapping[str, Any] | None = None,
) -> SweepResult:  # fmt: skip
    """Run a sweep until all its trials are finished.

    Raises DataError: the data lacks a split or a class that the recipe needs. Raises RunError: the folder is in use, or
    has other content, such as a sweep of another space or other data.
    """
    if (total := space.trials if trials is None else trials) < 1:
        raise RunError(f"A sweep has 1 or more trials; found {trials}.", code="sweep-trials")
    in_scheme = faces.with_scheme(parse_scheme(space.base.classes))
    # Report a missing split now, not in the first trial.
    in_scheme.of_split("train")
    in_scheme.of_split("validation")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with RunFolder(out).alone(), _opened(space, faces, out) as study, interruptible() as interrupted:
        result = _results(study, space, out, total)
        # A process may have been killed right after storing a trial's result.
        _write(space, result)
        for number in range(len(result.trials), total):
            # The seed depends only on the number, so a resumed trial draws the same values.
            study.sampler = TPESampler(seed=int(np.random.SeedSequence((space.seed, number)).generate_state(1)[0]))
            trial, run = study.ask(), RunFolder(out / "trials" / f"{number:04}")
            options = {"callback": callback, "environment": {**(metadata or {}), "trial": number}, "device": device}
            outcome, why, accuracy = _run_trial(space, faces, trial, run, options)
            if outcome == "stopped":
                study.tell(trial, state=TrialState.FAIL)
                return replace(result, was_stopped=True)
            history = run.read_history()
            seconds = history[-1]["seconds"] if history else 0.0
            for key, value in {"outcome": outcome, "epochs": len(history), "seconds": seconds}.items():
                trial.set_user_attr(key, value)
            study.tell(trial, accuracy, TrialState.PRUNED if accuracy is None else TrialState.COMPLETE)
            for weights in (run.last, run.best):
                weights.unlink(missing_ok=True)
            result = _results(study, space, out, total)
            _write(space, result)
            reached = "" if accuracy is None else f", {accuracy:.1%}"
            on_trial_end(f"trial {number}: {outcome}{why}, {counted(len(history), 'epoch')}{reached}, {seconds:.0f} s")
            if interrupted.is_set():
                return replace(result, was_stopped=True)
    return result


def check_networks(space: Space) -> None:
    """Check that the network can be built at each end of its ranges. Raises :class:`RecipeError`."""
    if space.base.tuning.fit_head and starts_from_scratch(space.base.model):
        words = f"'{space.base.name}' fits a head to a trained network; a sweep starts from random weights."
        raise RecipeError(words, code="head-alone")
    for key, recipe in space.recipes_at_the_ends():
        if key.startswith(("model.", "input.", "progressive_resizing")):
            try:
                check_network(recipe)
            except RecipeError as error:
                words = f"The search space {space.name} cannot vary '{key}': {error}"
                raise RecipeError(words, code="space-network") from None


@contextmanager
def _opened(space: Space, faces: Dataset, out: Path) -> Iterator[optuna.Study]:
    """Open or create the sweep's Optuna study in its database. Raises :class:`RunError`."""
    data = " ".join([faces.fingerprint_without_test, *target_fingerprints(space.base, faces).values()])
    try:
        # Optuna takes a URL, in which a folder's ?, % and { have a meaning.
        storage = RDBStorage(URL.create("sqlite", database=str(out / DATABASE)).render_as_string())
        try:
            study = optuna.create_study(storage=storage, study_name="sweep", direction="maximize", load_if_exists=True)
            for key, value, what in (("space", space.digest, "another space"), ("data", data, "other data")):
                if study.user_attrs.get(key, value) != value:
                    raise RunError(
                        f"{out} belongs to a sweep of {what}; nothing in it was changed. Choose another --out.",
                        code=f"sweep-other-{key}",
                    )
                if key not in study.user_attrs:
                    study.set_user_attr(key, value)
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (StorageInternalError, SQLAlchemyError) as error:
        words = f"{out / DATABASE} cannot be used: {str(error.__cause__ or error).splitlines()[0]}. If it is damaged, "
        words += "choose another --out; else mend that, and the same command goes on with its trials."
        raise RunError(words, code="sweep-database") from error


def _run_trial(
    space: Space, faces: Dataset, trial: optuna.Trial, run: RunFolder, options: Mapping[str, Any]
) -> tuple[str, str, float | None]:
    """Train a trial in its folder. Return outcome, reason of invalid values, and the accuracy if complete."""
    values = space.values({key: each.suggest(trial, key) for key, each in space.parameters.items()})
    try:
        recipe = space.recipe_for(values)
        plan = plan_training(recipe, faces)
        pruning = _Pruning(trial, space.pruning, recipe, run)
        if not pruning.should_stop():
            callback = Callbacks(options["callback"], pruning)
            trained = train(plan, run, resume=True, **{**options, "callback": callback})
    except RecipeError as error:
        return "invalid", f": {error}", None
    except StoppedError:
        return "stopped", "", None
    except TrainingError as error:
        if error.code != "loss-not-finite":
            raise
        return "diverged", "", None
    if pruning.should_stop() or trained.was_stopped:
        return "pruned" if pruning.should_stop() else "stopped", "", None
    return "complete", "", _best_accuracy(run.read_history(), recipe)


class _Pruning(Callback):
    """Reports each epoch to Optuna, also those of a run that was stopped before, and stops the run if it prunes."""

    def __init__(self, trial: optuna.Trial, rule: Pruning | None, recipe: Recipe, run: RunFolder) -> None:
        self._trial, self._rule, self._recipe, self._run = trial, rule, recipe, run
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
            accuracy = _best_accuracy(history[: self._epochs], self._recipe)
            self._trial.report(accuracy, self._epochs)
            self._is_pruned = self._epochs < self._recipe.epochs and self._falls_behind(accuracy)

    def _falls_behind(self, accuracy: float) -> bool:
        """Apply successive halving among finished trials; Optuna's own also counts those that were stopped."""
        if self._rule is None:
            return False
        at = self._rule.first_epoch
        while at < self._epochs:
            at *= self._rule.factor
        if at != self._epochs:
            return False
        reports = [each.intermediate_values for each in self._trial.study.get_trials(False, _FINISHED)]
        ranked = sorted([accuracy, *(each[at] for each in reports if at in each)], reverse=True)
        return accuracy < ranked[max(len(ranked) // self._rule.factor, 1) - 1]


def _best_accuracy(history: Sequence[HistoryLine], recipe: Recipe) -> float:
    """Return the validation accuracy, 0..1, of the epoch whose weights the recipe keeps."""
    return history[best_epoch(history, recipe) - 1]["validation_accuracy"]


def _results(study: optuna.Study, space: Space, out: Path, total: int) -> SweepResult:
    finished = study.get_trials(deepcopy=False, states=_FINISHED)
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
    return SweepResult(out, tuple(trials), total)


def _write(space: Space, found: SweepResult) -> None:
    """Write trials.csv and, once a trial is complete, best.toml."""
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
