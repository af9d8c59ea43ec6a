"""Oracles: the studies that come with mien, and texts with one fault each."""

import pytest

from mien.base.errors import RecipeError, StudyError
from mien.runs.spec import load_study, parse_study, study_names
from support import raises

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


def test_a_restricted_study_keeps_its_comparisons():
    study = load_study("study-a").restricted(["adam", "sgd-0.1"])
    assert [each.variants for each in study.comparisons] == [("adam", "sgd-0.1")]
    assert not load_study("study-a").restricted(["sgd-0.01", "sgd-0.1"]).comparisons


@pytest.mark.parametrize(("old", "new", "code", "found"), [
    ('name = "slow"', 'name = "base"', "study-value", "'base'"),
    ('baseline = "base"', 'baseline = "bsae"', "study-value", "'bsae'"),
    ('after = "base"', 'after = "tuned"', "study-value", "after = 'tuned'"),
    ('from = "base"', 'from = "nobody"', "study-value", "from = 'nobody'"),
    ('"optim.lr" = 0.01, epochs = 3', '"optim.rl" = 0.01', "recipe-value", " optim.lr,"),
    ('"optim.lr" = 0.01, epochs = 3', "seed = 5", "study-value", "'seed'"),
    ('set = { classes = "five" }', "seeds = [0, 5]", "study-value", "the seed 5"),
    ("seeds = [0, 1]", "seeds = [0, 0]", "study-value", "two seeds are '0'"),
    ("seeds = [0, 1]", 'metrics = ["accuracy", "accuracy"]', "study-value", "'accuracy'"),
    ('name = "base"', 'name = "base"\npublished = { acuracy = 0.5 }', "study-value", "'acuracy'"),
    ('name = "base"', 'name = "base"\npublished = { log_loss = 0.5 }', "study-value", "'log_loss'"),
    ('name = "base"', 'name = "base"\npublished = { accuracy = 61 }', "study-value", "61% is 0.61"),
    ('classes = "binary"\n', 'classes = "bianry"\n', "study-value", "'binary'"),
    ('classes = "binary"\n', "", "study-value", "'after' and 'classes'"),
    ("seeds = [0, 1]", "seeds = []", "study-value", "seeds"),
    ("seeds = [0, 1]", 'metrics = ["acuracy"]', "study-value", "'accuracy'"),
    ("seeds = [0, 1]", "sedes = [0]", "study-value", "'seeds'"),
    ('name = "slow"', 'nmae = "slow"', "study-value", "'variants[1].name'"),
    ('recipe = "short"', 'recipe = "shrot"', "recipe-unknown", "'short'"),
    ('recipe = "short"', "recipe = short", "study-value", ""),
])  # fmt: skip
def test_a_study_rejects_a_fault(old, new, code, found):
    assert old in GOOD
    with raises((StudyError, RecipeError), code, found):
        parse_study(GOOD.replace(old, new, 1), "x")


def test_a_nested_key_keeps_the_rest_of_its_table_unless_it_names_another_model():
    study = parse_study(GOOD.replace('"optim.lr" = 0.01', "optim.lr = 0.01"), "small")
    slow, base = (study.recipe_of(study.variant(name), 0) for name in ("slow", "base"))
    assert slow.optim == base.optim.model_copy(update={"lr": 0.01})
    assert slow.optim.weight_decay > 0
    study = parse_study(GOOD.replace('"optim.lr" = 0.01', 'model = { name = "vgg11", width = 8 }'), "small")
    assert study.recipe_of(study.variant("slow"), 0).model.model_dump() == {"name": "vgg11", "width": 8}


def test_a_study_finds_its_recipe_beside_it(tmp_path):
    (tmp_path / "mine.toml").write_text("epochs = 9\n")
    (tmp_path / "study.toml").write_text(GOOD.replace('recipe = "short"', 'recipe = "mine.toml"'))
    study = load_study(str(tmp_path / "study.toml"))
    assert study.recipe_of(study.variant("base"), 0).epochs == 9


def test_an_unknown_study_or_variant_suggests_the_nearest():
    with raises(StudyError, "study-unknown") as caught:
        load_study("study-z")
    assert "'study-a'" in str(caught.value) or "'study-b'" in str(caught.value)
    with raises(StudyError, "study-unreadable"):
        load_study("gone.toml")
    with raises(StudyError, "study-value", "'base'"):
        parse_study(GOOD, "small").variant("bas")


@pytest.mark.parametrize("name", study_names())
def test_built_in_studies_load(name):
    study = load_study(name)
    assert study.name == name
    assert study.question.endswith("?")
    assert all(variant.title for variant in study.variants)


def test_a_study_finds_a_users_file_beside_it_or_names_it(tmp_path, monkeypatch):
    """Oracle: `[model] file` of a recipe, which is beside the recipe."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "studies" / "study.toml"
    file.parent.mkdir()
    file.write_text(GOOD.replace('"optim.lr" = 0.01', 'loss = { file = "parts.py", name = "own" }'))
    with raises(RecipeError, "model-file", file.parent / "parts.py"):
        load_study(file)
    (file.parent / "parts.py").write_text("own = None\n")
    study = load_study("studies/study.toml")
    assert study.recipe_of(study.variant("slow"), 0).loss.file == "studies/parts.py"


def test_a_study_takes_metrics_of_mien_and_of_a_users_file(tmp_path):
    metrics = 'metrics = ["kappa", "recall.sad", { file = "parts.py", name = "sure" }]'
    file = tmp_path / "study.toml"
    file.write_text(GOOD.replace("seeds = [0, 1]", metrics))
    with raises(StudyError, "study-value", tmp_path / "parts.py"):
        load_study(file)
    (tmp_path / "parts.py").write_text(
        "def sure(labels, probabilities):\n    return probabilities.max(axis=1).mean()\n"
    )
    assert list(load_study(file).named_metrics) == ["kappa", "recall.sad", "sure"]
    assert load_study(file).restricted(["base"]).metrics == load_study(file).metrics
