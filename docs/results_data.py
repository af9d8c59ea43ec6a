"""What the results page and its charts are made from: result files in this repository, and no other source.

``benchmarks/results`` holds the studies' finished runs, ``benchmarks/kept`` the output of benchmarks, and each shipped
model's folder its card, metrics, history and robustness.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mien.evaluation.robustness import RobustnessResult
from mien.evaluation.robustness_file import read_robustness
from mien.inference.find_model import SHIPPED, find_run
from mien.models.registry import completed
from mien.recipe_file import load_recipe
from mien.study.results import CompletedRun, PlannedRun, StudyPlan, read_completed
from mien.study.spec import Study, load_study
from mien.study.table import StudyTable, tabulate

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "benchmarks" / "results"
SPEED = ROOT / "benchmarks" / "kept" / "inference.json"
MARGIN = ROOT / "benchmarks" / "kept" / "margin.json"


@dataclass(frozen=True)
class Model:
    """A model that comes with mien, as its folder describes it."""

    name: str
    card: dict[str, Any]
    metrics: dict[str, Any]
    robustness: RobustnessResult
    history: dict[str, list[float]]

    @property
    def label(self) -> dict[str, float]:
        """Accuracy on FER2013's label, all samples."""
        return dict(self.metrics["headline"]["accuracy"])

    def output(self, name: str) -> dict[str, Any] | None:
        """Metrics of an output on FER+'s majority; None where the model was not measured so."""
        outputs = self.metrics.get("votes", {}).get("majority", [])
        return next((each for each in outputs if each["output"] == name), None)


@cache
def models() -> tuple[Model, ...]:
    """All that ship, in their order."""
    found = []
    for name in SHIPPED:
        folder = find_run(name).path
        found.append(
            Model(
                name,
                _json(folder / "card.json"),
                _json(folder / "metrics.json"),
                read_robustness(folder).result,
                history(folder / "history.csv"),
            )
        )
    return tuple(found)


def history(file: Path) -> dict[str, list[float]]:
    """The columns of a ``history.csv``; none of a model that is a mean of weights."""
    if not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


@cache
def speed() -> list[dict[str, Any]]:
    """Rows of ``benchmarks/inference.py --keep`` of model files; predictions never take torch."""
    return [row for row in _json(SPEED)["rows"] if not row["name"].endswith(", torch")]


@cache
def margin() -> dict[str, Any]:
    """What ``benchmarks/margin.py --keep`` wrote."""
    return _json(MARGIN)


@cache
def study_table(name: str, spec: str = "", recipe: str = "", *, all_metrics: bool = False) -> StudyTable:
    """A study's table from its finished runs, as ``mien study NAME --finished`` makes it; needs no data set.

    Its runs are those of :func:`runs_of`. ``spec`` is the study that they follow where it has another name, ``recipe``
    the one of ``--recipe``.
    """
    study = load_study(spec or name)
    study = study.model_copy(update={"recipe": recipe or study.recipe})
    if not all_metrics:
        study = study.model_copy(update={"metrics": ("accuracy",)})
    done = [(each.record.variant, each) for each in runs_of(name)]
    done += _run_elsewhere(study, {(variant, each.record.seed) for variant, each in done})
    planned = [_planned(variant, each) for variant, each in done]
    by_key = {run.key: each for run, (_, each) in zip(planned, done, strict=True)}
    return tabulate(study, StudyPlan(tuple(planned), {}), by_key)


def runs_of(name: str) -> list[CompletedRun]:
    """A study's finished runs, by the names of their folders."""
    found = read_completed(RUNS).values()
    done = [each for each in found if each.folder.name.startswith(f"{name}-{each.record.variant}-seed")]
    return sorted(done, key=lambda each: each.folder.name)


def run_of(name: str, variant: str, seed: int) -> CompletedRun:
    """One finished run of a study."""
    return next(each for each in runs_of(name) if (each.record.variant, each.record.seed) == (variant, seed))


def _run_elsewhere(study: Study, known: Set[tuple[str, int]]) -> list[tuple[str, CompletedRun]]:
    """Variants that were first run as another study's, which a study does not repeat: the same recipe from scratch."""
    kept = read_completed(RUNS)
    data = {each.record.data_fingerprint for each in kept.values()}
    found = []
    for variant in study.variants:
        if variant.after or variant.init_from or variant.clean or variant.optional:
            continue
        for seed in study.seeds_of(variant):
            recipe = completed(study.recipe_of(variant, seed))
            keys = [PlannedRun(variant.name, recipe, each, (), 0).key for each in data]
            found += [(variant.name, kept[key]) for key in keys if key in kept and (variant.name, seed) not in known]
    return found


def _planned(variant: str, done: CompletedRun) -> PlannedRun:
    record = done.record
    return PlannedRun(
        variant, load_recipe(str(done.folder / "recipe.toml")), record.data_fingerprint, (), record.train_faces,
        cleaned_fingerprint=record.key,
    )  # fmt: skip


def _json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))
