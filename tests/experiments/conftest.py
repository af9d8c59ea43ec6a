"""What the tests of reports share, and a tiny study that runs in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mien.data.faceset import FaceSet
from mien.evaluation.scores import Scores
from mien.experiments.study import Study, parse_study
from mien.experiments.study_results import Finished, Plan, Planned, read_finished

if TYPE_CHECKING:
    from mien.experiments.study_run import Yard

TINY_STUDY = """
name = "small"
title = "A small study"
question = "Does it run?"
recipe = "RECIPE"
seeds = [0, 1]
figures = ["accuracy", "macro_f1", "recall.disgust"]

[[variants]]
name = "base"
title = "as it is"
published = { accuracy = 0.5 }

[[variants]]
name = "five"
title = "five classes, begun from base"
from = "base"
set = { classes = "five" }
seeds = [0]

[[variants]]
name = "merged"
title = "five, merged"
after = "five"
classes = "binary"

[[variants]]
name = "wild"
title = "a rate that cannot work"
set = { optim.lr = 1e30, optim.name = "sgd" }
seeds = [0]

[[variants]]
name = "lost"
title = "begun with what could not be trained"
from = "wild"
set = { classes = "five" }
seeds = [0]

[[variants]]
name = "elsewhere"
title = "begins with weights that are not here"
set = { model = { name = "timm", backbone = "resnet10t", pretrained = true, weights = "gone.safetensors" } }
seeds = [0]
optional = true

[[comparisons]]
title = "base and merged, as two classes"
variants = ["base", "merged"]
baseline = "base"
classes = "binary"
"""


@pytest.fixture(scope="session")
def tiny_study_file(tmp_path_factory: pytest.TempPathFactory, tiny_recipe_text: str) -> Path:
    """Two trained variants, one of them begun from the other, one merged, one that diverges."""
    folder = tmp_path_factory.mktemp("study")
    recipe = folder / "tiny.toml"
    recipe.write_text(tiny_recipe_text.replace("epochs = 2", "epochs = 1"))
    file = folder / "small.toml"
    file.write_text(TINY_STUDY.replace("RECIPE", str(recipe)))
    return file


@pytest.fixture(scope="session")
def tiny_study(tiny_study_file: Path) -> Study:
    """The same as a value."""
    return parse_study(tiny_study_file.read_text(), "small")


class Told:
    """A watch that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int, object]] = []

    def epochs(self, run: Planned, done: int) -> None:
        self.lines.append((run.variant, run.recipe.seed, done))

    def ended(self, run: Planned, finished: Finished) -> None:
        self.lines.append((run.variant, run.recipe.seed, "failed" if finished.record.failed else "ended"))


@pytest.fixture
def told() -> Told:
    """A fresh :class:`Told`."""
    return Told()


@dataclass(frozen=True)
class Done:
    """A study that was run to the end. Tests that change its folders work on a copy."""

    study: Study
    yard: Yard
    plan: Plan
    finished: dict[str, Finished]
    told: Told

    @property
    def runs(self) -> tuple[Planned, ...]:
        """All of the plan."""
        return self.plan.runs


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory, tiny_study: Study, faces: FaceSet) -> Done:
    """The tiny study, run in this process."""
    from mien.experiments.study_plan import make_plan
    from mien.experiments.study_run import Yard
    from mien.experiments.study_runs import run_all

    out = tmp_path_factory.mktemp("out")
    yard = Yard({48: faces}, out, out / "results", {"data": "rendered"})
    plan = make_plan(tiny_study, yard.faces_of_size)
    told = Told()
    assert run_all(plan.runs, {}, yard, told)
    return Done(tiny_study, yard, plan, read_finished(yard.results), told)


@pytest.fixture
def scored():
    """Scores of some skill for labels under classes: ``scored(labels, classes, rows, split, fingerprint)``."""

    def make(labels, classes, rows=None, split="validation", fingerprint="", seed=0):
        logits = np.random.default_rng(seed).normal(size=(len(labels), len(classes)))
        logits[np.arange(len(labels)), labels] += 1.5
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        rows = np.arange(len(labels)) if rows is None else rows
        return Scores(rows, np.asarray(labels), probabilities, tuple(classes), split, fingerprint)

    return make
