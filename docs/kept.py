"""What the pages of results are made from: files in this repository, and no other source.

``benchmarks/results`` holds a study: its table and runs in ``NAME.json``, the predicted classes of its runs, sample
by sample, in ``NAME.npz``. ``benchmarks/kept`` has the output of benchmarks, and each shipped model's folder its card,
metrics, history and robustness.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mien.evaluation.results import Estimate
from mien.evaluation.robustness import RobustnessResult, read_robustness
from mien.evaluation.seed_variance import Spread
from mien.inference.find_model import SHIPPED, find_run

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SPEED = ROOT / "benchmarks" / "kept" / "inference.json"


@dataclass(frozen=True)
class Model:
    """A model that comes with mien, as its folder describes it."""

    name: str
    card: dict[str, Any]
    metrics: dict[str, Any]
    robustness: RobustnessResult
    history: list[dict[str, float]]

    @property
    def label(self) -> dict[str, float]:
        """Accuracy on FER2013's label, all samples."""
        return dict(self.metrics["headline"]["accuracy"])

    def output(self, name: str) -> dict[str, Any] | None:
        """Metrics of an output on FER+'s majority; None where the model was not measured so."""
        outputs = self.metrics.get("votes", {}).get("majority", [])
        return next((each for each in outputs if each["output"] == name), None)


@dataclass(frozen=True)
class Study:
    """The kept results of a study.

    ``content`` is the file: ``variants`` and ``comparisons`` as ``mien study`` writes them, with the recipe of each
    variant where it differs from the defaults, and ``runs`` with their machines and histories.
    """

    name: str
    content: dict[str, Any]

    @property
    def metrics(self) -> list[str]:
        """Names of its metrics, the first one first."""
        return list(self.content["metrics"])

    @property
    def variants(self) -> dict[str, dict[str, Any]]:
        """By name."""
        return {each["variant"]: each for each in self.content["variants"]}

    def runs(self, variant: str) -> list[dict[str, Any]]:
        """The runs of a variant, by seed."""
        return [each for each in self.content["runs"] if each["variant"] == variant]

    def spread(self, variant: str, metric: str) -> Spread | None:
        """A metric over a variant's runs; None without one."""
        found = self.variants[variant]["metrics"].get(metric)
        if found is None:
            return None
        return Spread(tuple(found["values"]), found["mean"], found["deviation"], Estimate(**found["interval"]))

    def differences(self, variant: str) -> dict[str, dict[str, Any]]:
        """From the baseline, by metric, in the first comparison that has this variant."""
        compared = (each for one in self.content["comparisons"] for each in one["variants"])
        return next(dict(each["differences"]) for each in compared if each["variant"] == variant)


@cache
def study(name: str) -> Study:
    """The kept results of one study. JSON has no NaN: its file says null."""
    text = (RESULTS / f"{name}.json").read_text(encoding="utf-8")

    def with_nan(each: dict[str, Any]) -> dict[str, Any]:
        return {key: math.nan if value is None else value for key, value in each.items()}

    return Study(name, json.loads(text, object_hook=with_nan))


@cache
def models() -> tuple[Model, ...]:
    """All that ship, in their order."""
    found = []
    for name in SHIPPED:
        run = find_run(name)
        parts = _json(run.path / "card.json"), _json(run.path / "metrics.json"), read_robustness(run.path)
        found.append(Model(name, *parts, run.read_history()))
    return tuple(found)


@cache
def speed() -> list[dict[str, Any]]:
    """Rows of ``benchmarks/inference.py --keep``."""
    return list(_json(SPEED)["rows"])


def _json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))
