"""One run of a study: trained from where it was left, and kept with what came out, or with why nothing could."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.artifact import read_manifest
from mien.errors import StoppedError, TrainingError
from mien.evaluation.scores import read_scores
from mien.experiments.run import run_recipe
from mien.experiments.study_plan import FacesOfSize, folder_of
from mien.experiments.study_results import Finished, Planned, Record, keep_result
from mien.run_folder import best_epoch
from mien.training.device import threads


@dataclass(frozen=True)
class Yard:
    """What every run of a study needs to know.

    Attributes:
        faces_of_size: the data.
        out: run folders go to ``out/runs``.
        results: where finished runs are kept; see :mod:`mien.experiments.study_results`.
        facts: for environment.json.
    """

    faces_of_size: FacesOfSize
    out: Path
    results: Path
    facts: Mapping[str, Any]


def execute(
    run: Planned,
    kept: Finished | None,
    yard: Yard,
    tell: Callable[[int], None],
    must_stop: Callable[[], bool],
) -> Finished | None:
    """Train and keep one run.

    Args:
        run: its parent's folder must hold weights.
        kept: what is kept of it already, which stays.
        yard: data and places.
        tell: is told how many epochs are done.
        must_stop: whether to end at the next step.

    Returns:
        What is kept, or None where it was stopped.

    Raises:
        MienError: as :func:`mien.experiments.run.run_recipe`; a loss that is not a number is kept as a failed run.
    """
    folder = folder_of(run, yard.out)
    faces = yard.faces_of_size[run.recipe.input.size_px]
    start = None if run.parent is None else folder_of(run.parent, yard.out)
    failed = ""
    try:
        result = run_recipe(
            run.recipe, faces, folder, resume=True, start=start, watch=_Watch(tell, must_stop), facts=yard.facts
        )
        if result.outcome.reason == "interrupted":
            return None
    except StoppedError:
        return None
    except TrainingError as error:
        failed = error.reason
    if kept is None:
        history = folder.read_history()
        record = _record(
            run,
            failed,
            epochs=len(history),
            best_epoch=best_epoch(history, run.recipe) if history else 0,
            seconds=history[-1]["seconds"] if history else 0.0,
            parameters=0 if failed else read_manifest(folder.model).parameters,
            environment=folder.read_environment(),
        )
        scores = None if failed else read_scores(folder.scores("validation"))
        kept = keep_result(yard.results, run.folder_name, record, folder, scores)
    # It serves --resume alone, and is the largest file by far; without it the folder counts as finished.
    folder.last.unlink(missing_ok=True)
    return kept


def without_parent(run: Planned, known: Mapping[str, Finished], yard: Yard) -> Finished | None:
    """A run whose parent could not be trained is kept as failed; None where it can begin."""
    parent = None if run.parent is None else known.get(run.parent.key)
    if run.parent is None or parent is None or not parent.record.failed:
        return None
    failed = f"It begins with {run.parent.variant}, seed {run.parent.recipe.seed}, which could not be trained."
    return keep_result(yard.results, run.folder_name, _record(run, failed), folder_of(run, yard.out), None)


def _record(
    run: Planned,
    failed: str,
    *,
    epochs: int = 0,
    best_epoch: int = 0,
    seconds: float = 0.0,
    parameters: int = 0,
    environment: Mapping[str, Any] | None = None,
) -> Record:
    facts = environment or {}
    return Record(
        key=run.key,
        variant=run.variant,
        seed=run.recipe.seed,
        recipe_digest=run.recipe.digest,
        data_fingerprint=run.data_fingerprint,
        started_from=run.start_digest if run.parent is None else run.parent.key,
        train_faces=run.train_faces,
        epochs=epochs,
        best_epoch=best_epoch,
        seconds=seconds,
        threads=threads(),
        parameters=parameters,
        failed=failed,
        machine={name: str(facts[name]) for name in ("machine", "device", "torch") if name in facts},
    )


class _Watch:
    """A :class:`mien.training.loop.Watch` that tells of epochs, and ends the run when it must."""

    def __init__(self, tell: Callable[[int], None], must_stop: Callable[[], bool]) -> None:
        self._tell = tell
        self._must_stop = must_stop
        self._stopped = False

    def step(self, epoch: int, images: int, loss: float) -> None:
        if not self._stopped and self._must_stop():
            self._stopped = True
            # The loop ends in order on the first Ctrl-C; here it comes from the study's own process.
            signal.raise_signal(signal.SIGINT)

    def epoch(self, line: dict[str, float], is_best: bool) -> None:
        self._tell(int(line["epoch"]))
