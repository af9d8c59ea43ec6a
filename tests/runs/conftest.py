"""A tiny study that runs in seconds, and spaces to search."""

from types import SimpleNamespace

import pytest

from mien.base.recipe import dump_recipe
from mien.runs.plan import StudyCallback, read_completed
from mien.runs.spec import parse_study

TINY_STUDY = """
name = "small"
title = "A small study"
question = "Does it run?"
recipe = "RECIPE"
seeds = [0, 1]
metrics = ["accuracy", "macro_f1", "recall.disgust"]
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
[[comparisons]]
title = "base and merged, as two classes"
variants = ["base", "merged"]
baseline = "base"
classes = "binary"
"""


@pytest.fixture(scope="session")
def tiny_study_file(tmp_path_factory, tiny_recipe_text):
    """Two trained variants, one of them begun from the other, one merged, one that diverges."""
    folder = tmp_path_factory.mktemp("study")
    recipe = folder / "tiny.toml"
    recipe.write_text(tiny_recipe_text.replace("epochs = 2", "epochs = 1"))
    file = folder / "small.toml"
    file.write_text(TINY_STUDY.replace("RECIPE", str(recipe)))
    return file


class Told(StudyCallback):
    """A callback that remembers."""

    def __init__(self):
        self.lines = []

    def on_epochs(self, run, done):
        self.lines.append((run.variant, run.recipe.seed, done))

    def on_run_end(self, run, completed):
        self.lines.append((run.variant, run.recipe.seed, "failed" if completed.record.failed else "ended"))


@pytest.fixture
def told():
    """A fresh :class:`Told`."""
    return Told()


@pytest.fixture(scope="session")
def done(tmp_path_factory, tiny_study_file, faces):
    """The tiny study, run in this process to the end. Tests that change its folders work on a copy."""
    from mien.runs.scheduler import StudyContext, make_plan, run_all

    study, out = parse_study(tiny_study_file.read_text(), "small"), tmp_path_factory.mktemp("out")
    context = StudyContext({(48, 1): faces}, out, out / "results", {"data": "rendered"})
    runs, told = make_plan(study, context.faces_by_form), Told()
    assert run_all(runs, {}, context, told)
    return SimpleNamespace(study=study, context=context, runs=runs, finished=read_completed(context.results), told=told)


LR = "optim.lr = { log = [0.001, 1.0] }\n"


@pytest.fixture
def space_file(tmp_path, tiny_recipe):
    """Write a space of the tiny recipe, and say where it is."""

    def write(parameters=LR, trials=3, epochs=2, more=""):
        (tmp_path / "tiny.toml").write_text(dump_recipe(tiny_recipe))
        file, head = tmp_path / "space.toml", f'recipe = "tiny.toml"\ntrials = {trials}\nepochs = {epochs}\n{more}'
        file.write_text(f"{head}\n[parameters]\n{parameters}")
        return file

    return write
