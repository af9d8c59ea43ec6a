"""Oracles: the studies that come with mien, and texts with one fault each."""

from __future__ import annotations

import pytest

from mien.errors import RecipeError, StudyError
from mien.experiments.study import load_study, parse_study, study_names

GOOD = """
name = "small"
title = "A small study"
recipe = "short"
seeds = [0, 1]

[[variants]]
name = "base"

[[variants]]
name = "slow"
set = { "optim.lr" = 0.01, epochs = 3 }
seeds = [0]

[[variants]]
name = "merged"
after = "base"
classes = "binary"

[[variants]]
name = "tuned"
from = "base"
set = { classes = "five" }

[[comparisons]]
title = "base against slow"
variants = ["base", "slow"]
baseline = "base"
"""


def test_a_study_gives_the_recipe_of_every_run():
    study = parse_study(GOOD, "small")
    slow = study.recipe_of(study.variant("slow"), 0)
    assert (slow.optim.lr, slow.epochs, slow.seed, slow.name) == (0.01, 3, 0, "small-slow")
    assert study.recipe_of(study.variant("base"), 1, ["epochs=2"]).epochs == 2
    assert study.seeds_of(study.variant("slow")) == (0,)
    assert study.seeds_of(study.variant("merged")) == (0, 1)
    tuned = study.recipe_of(study.variant("tuned"), 1)
    assert (tuned.classes, tuned.seed) == ("five", 1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "slow"', 'name = "base"', "two variants are called 'base'"),
        ('baseline = "base"', 'baseline = "bsae"', "names 'bsae', which is no variant"),
        ('after = "base"', 'after = "tuned"', "after = 'tuned', which is no variant above it"),
        ('from = "base"', 'from = "nobody"', "from = 'nobody'"),
        (
            '"optim.lr" = 0.01, epochs = 3',
            '"optim.rl" = 0.01',
            r"The variant 'slow' of the study x.*optim\.rl.*optim\.lr",
        ),
        ('"optim.lr" = 0.01, epochs = 3', "seed = 5", "'base' and 'slow' with one and the same recipe"),
        ('classes = "binary"\n', 'classes = "bianry"\n', "no label scheme 'bianry'.*binary"),
        ('classes = "binary"\n', "", "needs both 'after' and 'classes'"),
        ("seeds = [0, 1]", "seeds = []", "seeds"),
        ("seeds = [0, 1]", 'figures = ["acuracy"]', "no figure 'acuracy'.*accuracy"),
        ("seeds = [0, 1]", "sedes = [0]", "unknown key 'sedes'.*seeds"),
        ('recipe = "short"', 'recipe = "shrot"', "no recipe 'shrot'.*short"),
        ('recipe = "short"', "recipe = short", "not valid TOML"),
    ],
)
def test_a_study_with_a_fault_is_refused_in_one_line(old: str, new: str, words: str):
    assert old in GOOD
    with pytest.raises((StudyError, RecipeError), match=words) as caught:
        parse_study(GOOD.replace(old, new, 1), "x")
    assert "\n" not in str(caught.value)


def test_an_unknown_study_or_variant_suggests_the_nearest():
    with pytest.raises(StudyError, match="no study 'study-z'"):
        load_study("study-z")
    with pytest.raises(StudyError, match=r"gone\.toml cannot be read: No such file"):
        load_study("gone.toml")
    with pytest.raises(StudyError, match=r"no variant 'bas'.*'base'"):
        parse_study(GOOD, "small").variant("bas")


@pytest.mark.parametrize("name", study_names())
def test_every_study_that_comes_with_mien_loads(name: str):
    study = load_study(name)
    assert study.name == name
    assert study.question.endswith("?")
    assert all(variant.title for variant in study.variants)
