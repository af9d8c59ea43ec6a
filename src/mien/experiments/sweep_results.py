"""What a sweep leaves in its folder: trials.csv, best.toml, and the page with its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.data.faceset import FaceSet
from mien.experiments.space import Space
from mien.files import write_bytes, write_text
from mien.recipe import Recipe
from mien.recipe_file import dump_recipe
from mien.report import wording
from mien.report.full_page import write_files
from mien.report.rendering import render
from mien.report.sections.sweep import sweep_sections, trials_table
from mien.report.trials import Axis, TrialLine, best_trial

if TYPE_CHECKING:
    from mien.experiments.journal import Journal


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to.

    Attributes:
        trials: the finished ones.
        base: the recipe's own value of each key that was searched.
        total: how many there shall be.
        importance: share of the variance of accuracy that each key explains; empty where too few ran to their end.
        interrupted: whether Ctrl-C ended this worker.
        page: report.html; None while no trial is finished.
    """

    trials: tuple[TrialLine, ...]
    base: Mapping[str, Any]
    total: int
    importance: Mapping[str, float]
    interrupted: bool
    page: Path | None

    @property
    def best(self) -> TrialLine | None:
        """The most accurate trial of those that ran to their end."""
        return best_trial(self.trials)


def write_small_files(out: Path, space: Space, journal: Journal) -> None:
    """Write trials.csv and best.toml. Raises :class:`mien.errors.RunError`."""
    # In turn: a worker that read the journal earlier must not write later.
    with journal.turn():
        trials = trial_lines(space, journal)
        if not trials:
            return
        write_bytes(out / "trials.csv", trials_table(trials, tuple(space.ranges)).to_csv())
        best = best_trial(trials)
        if best is not None:
            write_text(out / "best.toml", dump_recipe(best_recipe(space, best, len(trials))))


def write_page(
    out: Path, space: Space, journal: Journal, faces: FaceSet, total: int, interrupted: bool, facts: Mapping[str, Any]
) -> SweepResult:
    """Write report.html with its figures and tables, and say what was found.

    Args:
        out: the sweep's folder.
        space: what was searched.
        journal: its trials.
        faces: under the recipe's label scheme.
        total: how many trials there shall be.
        interrupted: whether Ctrl-C ended this worker.
        facts: what else a reader needs.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
        RunError: the file system refused.
    """
    with journal.turn():
        trials, base = trial_lines(space, journal), _own_values(space)
        if not trials:
            return SweepResult((), base, total, {}, interrupted, None)
        importance = journal.importance()
        sections = sweep_sections(trials, [_axis(space, key) for key in space.ranges], base, importance)
        page = render(
            "full.html.j2",
            title=f"Sweep of {space.base.name}",
            split="validation",
            rows=len(faces.of_split("validation")),
            class_count=len(faces.classes),
            evaluation=None,
            absent=[],
            sections=sections,
            left_out=[] if len(trials) >= total else [f"{len(trials)} of {total} trials are finished."],
            facts={
                "space": f"{space.name} ({space.digest[:19]}), seed {space.seed}",
                "recipe": f"{space.base.name} ({space.base.digest[:19]}), {space.base.epochs} epochs",
                "fingerprint of the data": faces.fingerprint_without_test,
                **{name: str(value) for name, value in facts.items()},
            },
            wording=wording,
        )
        written = write_files(out, page, sections)
    return SweepResult(tuple(trials), base, total, importance, interrupted, written.page)


def trial_lines(space: Space, journal: Journal) -> list[TrialLine]:
    """The finished trials, in the order of their numbers."""
    return [
        TrialLine(
            number=trial.number,
            end=trial.user_attrs["end"],
            accuracy=math.nan if trial.value is None else trial.value,
            epochs=trial.user_attrs["epochs"],
            seconds=trial.user_attrs["seconds"],
            values=space.values(trial.params),
        )
        for trial in journal.done()
    ]


def best_recipe(space: Space, best: TrialLine, trials: int) -> Recipe:
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
