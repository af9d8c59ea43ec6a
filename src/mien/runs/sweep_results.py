"""What a sweep writes into its folder: trials.csv, best.toml, and the page with its charts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.data.dataset import Dataset
from mien.errors import Notice
from mien.files import write_bytes, write_text
from mien.page.page import Page
from mien.page.wording import samples_text
from mien.recipe import Recipe
from mien.recipe_file import dump_recipe
from mien.runs.space import Space
from mien.runs.sweep_section import sweep_sections, trials_table
from mien.runs.trials import Axis, TrialResult, best_trial

if TYPE_CHECKING:
    from mien.runs.storage import TrialStorage


@dataclass(frozen=True)
class SweepResult:
    """The result of a sweep.

    Attributes:
        trials: the finished ones.
        base: the recipe's own value of each searched key.
        total: how many there will be.
        importance: fraction of the variance of accuracy that each key explains; empty with too few complete trials.
        interrupted: whether Ctrl-C ended this worker.
        page: report.html; None while no trial is finished.
    """

    trials: tuple[TrialResult, ...]
    base: Mapping[str, Any]
    total: int
    importance: Mapping[str, float]
    interrupted: bool
    page: Path | None

    @property
    def best(self) -> TrialResult | None:
        """The most accurate complete trial."""
        return best_trial(self.trials)


def write_small_files(out: Path, space: Space, storage: TrialStorage) -> None:
    """Write trials.csv and best.toml. Raises :class:`mien.errors.RunError`."""
    # Under the lock: a worker that read the trials earlier must not write later.
    with storage.lock:
        trials = trial_results(space, storage)
        if not trials:
            return
        write_bytes(out / "trials.csv", trials_table(trials, tuple(space.ranges)).to_csv())
        best = best_trial(trials)
        if best is not None:
            write_text(out / "best.toml", dump_recipe(best_recipe(space, best, len(trials))))


def write_page(
    out: Path,
    space: Space,
    storage: TrialStorage,
    faces: Dataset,
    total: int,
    interrupted: bool,
    metadata: Mapping[str, Any],
) -> SweepResult:
    """Write report.html with its charts and tables, and return the result.

    Args:
        out: the sweep's folder.
        space: what was searched.
        storage: its trials.
        faces: under the recipe's label scheme.
        total: how many trials there will be.
        interrupted: whether Ctrl-C ended this worker.
        metadata: what else a reader needs: data, command, ...

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
        RunError: the file system refused.
    """
    with storage.lock:
        trials, base = trial_results(space, storage), _own_values(space)
        if not trials:
            return SweepResult((), base, total, {}, interrupted, None)
        importance = storage.importance()
        sections = sweep_sections(trials, [_axis(space, key) for key in space.ranges], base, importance)
        unfinished = Notice(f"{len(trials)} of {total} trials are finished.", code="trials-unfinished")
        page = Page(
            title=f"Sweep of {space.base.name}",
            lead=f"Metrics on the validation split: {samples_text(len(faces.of_split('validation')))}, "
            f"{len(faces.classes)} classes.",
            sections=sections,
            notices=[] if len(trials) >= total else [unfinished],
            metadata={
                "space": f"{space.name} ({space.digest[:19]}), seed {space.seed}",
                "recipe": f"{space.base.name} ({space.base.digest[:19]}), {space.base.epochs} epochs",
                "fingerprint of the data": faces.fingerprint_without_test,
                **{name: str(value) for name, value in metadata.items()},
            },
        )
        written = page.write(out)
    return SweepResult(tuple(trials), base, total, importance, interrupted, written.page)


def trial_results(space: Space, storage: TrialStorage) -> list[TrialResult]:
    """The finished trials, in the order of their numbers."""
    return [
        TrialResult(
            number=trial.number,
            outcome=trial.user_attrs["outcome"],
            accuracy=math.nan if trial.value is None else trial.value,
            epochs=trial.user_attrs["epochs"],
            seconds=trial.user_attrs["seconds"],
            values=space.values(trial.params),
            began_as=next(iter(storage.continues(trial)), None),
        )
        for trial in storage.done()
    ]


def best_recipe(space: Space, best: TrialResult, trials: int) -> Recipe:
    """The recipe of the best trial, under a name of its own."""
    words = f"Trial {best.number}, the best of {trials} of {space.name}: {best.accuracy:.1%} on validation"
    return space.recipe_for(best.values).model_copy(update={"name": f"{space.base.name}-best", "description": words})


def _axis(space: Space, key: str) -> Axis:
    each = space.ranges[key]
    if each.choice is not None:
        return Axis(key, 0, len(each.choice) - 1, choices=each.choice)
    return Axis(key, *each.ends, is_log=each.log is not None)


def _own_values(space: Space) -> dict[str, Any]:
    """The recipe's own value of each key that is searched."""
    content: Any = space.base.model_dump(mode="json")
    values = {}
    for key in space.ranges:
        value = content
        for part in key.split("."):
            value = value.get(part, "its default") if isinstance(value, dict) else value
        values[key] = value
    return values
