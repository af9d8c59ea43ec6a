"""Oracles: the studies that come with mien, and texts with one fault each."""

import optuna
import pytest

from mien.base.errors import DataError, RecipeError, StudyError
from mien.base.recipe import dump_recipe, load_recipe
from mien.runs.space import _KIND, load_space, parse_space
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
    study = parse_study(GOOD.replace('"optim.lr" = 0.01', 'model = { name = "vgg11", width = 8 }'), "small")
    assert study.recipe_of(study.variant("slow"), 0).model.model_dump() == {"name": "vgg11", "width": 8}
    study = parse_study(GOOD, "small")
    slow = study.recipe_of(study.variant("slow"), 0)
    assert (slow.optim.lr, slow.epochs, slow.seed, slow.name) == (0.01, 3, 0, "small-slow")
    assert study.recipe_of(study.variant("base"), 1, ["epochs=2"]).epochs == 2
    assert (study.seeds_of(study.variant("slow")), study.seeds_of(study.variant("merged"))) == ((0,), (0, 1))
    tuned = study.recipe_of(study.variant("tuned"), 1)
    assert (tuned.classes, tuned.seed) == ("five", 1)


def test_a_study_finds_its_recipe_beside_it(tmp_path):
    (tmp_path / "mine.toml").write_text("epochs = 9\n")
    (tmp_path / "study.toml").write_text(GOOD.replace('recipe = "short"', 'recipe = "mine.toml"'))
    study = load_study(str(tmp_path / "study.toml"))
    assert study.recipe_of(study.variant("base"), 0).epochs == 9
    study = load_study("study-a").restricted(["adam", "sgd-0.1"])
    assert [each.variants for each in study.comparisons] == [("adam", "sgd-0.1")]
    assert not load_study("study-a").restricted(["sgd-0.01", "sgd-0.1"]).comparisons


def test_an_unknown_study_or_variant_suggests_the_nearest():
    with raises(StudyError, "study-unknown", "'study-a'"):
        load_study("study-aa")
    with raises(StudyError, "study-unreadable"):
        load_study("gone.toml")
    with raises(StudyError, "study-value", "'base'"):
        parse_study(GOOD, "small").variant("bas")
    with raises(RecipeError, "space-unknown", "'quick'"):
        load_space("quack")
    with raises(RecipeError, "space-unreadable"):
        load_space("nowhere/mine.toml")
    assert _KIND.names() == ["quick"]
    assert load_space("quick").name == "quick"


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
    metrics, file = 'metrics = ["kappa", "recall.sad", { file = "parts.py", name = "sure" }]', tmp_path / "study.toml"
    file.write_text(GOOD.replace("seeds = [0, 1]", metrics))
    with raises(StudyError, "study-value", tmp_path / "parts.py"):
        load_study(file)
    (tmp_path / "parts.py").write_text("def sure(labels, probabilities):\n    return probabilities.max(1).mean()\n")
    assert list(load_study(file).named_metrics) == ["kappa", "recall.sad", "sure"]
    load_study(file).check_classes(("sad", "happy"), (), ())
    study = load_study(file)
    with raises(StudyError, "study-value", "'bas'"):
        study.recipe_of(study.variant("base"), 0, [("bas:class_weights.a:b", 2)])
    (tmp_path / "parts.py").write_text("def sure(labels, probabilities):\n    return probabilities[:, 5].mean()\n")
    with raises(DataError, "own-part", "sure"):
        load_study(file).check_classes(("sad", "happy"), (), ())
    study = load_study(file)
    with raises(StudyError, "study-value", "'bas'"):
        study.recipe_of(study.variant("base"), 0, [("bas:class_weights.a:b", 2)])


HEAD = 'recipe = "quick"\ntrials = 3\n'


def space_of(parameters, head=HEAD):
    return parse_space(f"{head}[parameters]\n{parameters}", "mine.toml")


def test_a_space_reads_its_ranges():
    space = space_of(
        """
        optim.lr = { log = [0.01, 1.0] }
        "augment.random_erasing" = { uniform = [0, 0.5] }
        batch_size = { integer = [64, 256] }
        optim.name = { choice = ["sgd", "adamw"] }
        model.widths = { choice = [[16, 32, 64, 128], [32, 64, 128, 256]] }
        """,
        'recipe = "quick"\ntrials = 3\nseed = 7\nepochs = 9\n[pruning]\nfirst_epoch = 2\n',
    )
    assert (space.name, space.trials, space.seed, space.base.epochs) == ("mine", 3, 7, 9)
    assert (space.pruning.first_epoch, space.pruning.factor) == (2, 3)
    trial = optuna.create_study().ask()
    for key, each in space.parameters.items():
        each.suggest(trial, key)
    distributions = trial.distributions
    lr, erasing, batch = (distributions[key] for key in ("optim.lr", "augment.random_erasing", "batch_size"))
    assert (lr.low, lr.high, lr.log) == (0.01, 1.0, True)
    assert (erasing.low, erasing.high, erasing.log) == (0, 0.5, False)
    assert (batch.low, batch.high) == (64, 256)
    values = space.values({"optim.name": '"adamw"', "model.widths": "[16, 32, 64, 128]", "optim.lr": 0.1})
    recipe = space.recipe_for(values)
    assert (recipe.optim.name, recipe.optim.lr, recipe.model.settings["widths"]) == ("adamw", 0.1, [16, 32, 64, 128])
    assert recipe.augment == load_recipe("quick").augment


def test_a_digest_depends_on_what_shapes_the_search():
    first = space_of("optim.lr = { log = [0.01, 1.0] }")
    assert first.digest == space_of('"optim.lr" = { log = [0.01, 1] }', 'recipe = "quick"\ntrials = 300\n').digest
    others = [
        space_of("optim.lr = { uniform = [0.01, 1.0] }"),
        space_of("optim.lr = { log = [0.01, 2.0] }"),
        space_of("optim.lr = { log = [0.01, 1.0] }", f"{HEAD}seed = 1\n"),
        space_of("optim.lr = { log = [0.01, 1.0] }", f"{HEAD}epochs = 5\n"),
        space_of("optim.lr = { log = [0.01, 1.0] }", f"{HEAD}[pruning]\nfirst_epoch = 2\n"),
        space_of("optim.lr = { log = [0.01, 1.0] }", 'recipe = "short"\ntrials = 3\n'),
    ]
    assert len({first.digest, *(each.digest for each in others)}) == 7
    plain, changed = load_space("quick"), load_space("quick", ["epochs=5", "seed=3"])
    assert (changed.base.epochs, changed.base.seed) == (5, 3)
    assert load_space("quick", "epochs=5").base == load_space("quick", {"epochs": 5}).base
    assert changed.parameters == plain.parameters
    assert changed.digest != plain.digest
    for change in ("optim.lr=0.1", "optim.lr = 0.1", "optim={lr=0.1}", "optim.lr.x=1"):
        with raises(RecipeError, "space-value", "'optim.lr'"):
            load_space("quick", [change])


def test_a_space_finds_its_recipe_beside_it(tmp_path):
    (tmp_path / "base.toml").write_text(dump_recipe(load_recipe("short", ["name=based"])))
    (tmp_path / "mine.toml").write_text('recipe = "base.toml"\ntrials = 1\nparameters.epochs = { integer = [1, 2] }\n')
    with raises(RecipeError, "space-value"):
        load_space(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text('recipe = "base.toml"\ntrials = 1\noptim.lr = { log = [0.1, 1.0] }\n')
    with raises(RecipeError, "space-value"):
        load_space(str(tmp_path / "mine.toml"))
    text = 'recipe = "base.toml"\ntrials = 1\n[parameters]\noptim.lr = { log = [0.1, 1] }\n'
    (tmp_path / "mine.toml").write_text(text)
    assert load_space(str(tmp_path / "mine.toml")).base.name == "based"


@pytest.mark.parametrize(("parameters", "code", "found"), [
    ("optim.lrr = { log = [0.01, 1.0] }", "recipe-value", "'optim.lr'"),
    ("optim.momentum = { uniform = [0.5, 1.5] }", "recipe-value", "optim.momentum = 1.5"),
    ('optim.name = { choice = ["sgd", "lion"] }', "recipe-value", "optim.name = 'lion'"),
    ("optim.lr = { loguniform = [0.01, 1.0] }", "space-value", "parameters.optim.lr.loguniform"),
    ("optim.lr = { log = [0.01, 1.0], uniform = [0.0, 1.0] }", "space-value", "uniform, log, integer, choice"),
    ("optim.lr = { log = [1.0, 0.01] }", "space-value", "lower end 1.0 is not below the upper end 0.01"),
    ("optim.weight_decay = { log = [0.0, 0.01] }", "space-value", "0.0"),
    ("optim.lr = { log = [0.01] }", "space-value", "parameters.optim.lr.log"),
    ("optim.lr = { choice = [0.1] }", "space-value", "parameters.optim.lr.choice"),
    ("optim.lr = [0.01, 1.0]", "space-value", "parameters.optim.lr"),
    ('classes = { choice = ["seven", "six"] }', "space-value", "'classes'"),
    ("seed = { integer = [0, 9] }", "space-value", "'seed'"),
    ("input = { choice = [{ size_px = 48 }, { size_px = 64 }] }", "space-value", "'input'"),
    ("", "space-value", "parameters"),
    ("optim.lr = ", "space-value", ""),
])  # fmt: skip
def test_a_space_rejects_a_wrong_range(parameters, code, found):
    with raises(RecipeError, code, "mine.toml", found):
        space_of(parameters)


@pytest.mark.parametrize(("head", "code", "found"), [
    ('recipe = "quick"\n', "space-value", "'trials'"),
    ('recipe = "quik"\ntrials = 3\n', "recipe-unknown", "'quick'"),
    (f"{HEAD}trails = 3\n", "space-value", "'trials'"),
    (f"{HEAD}[pruning]\nfirst = 3\n", "space-value", "'pruning.first_epoch'"),
    ('recipe = "quick"\ntrials = 0\n', "space-value", "trials = 0"),
])  # fmt: skip
def test_a_space_rejects_wrong_keys(head, code, found):
    with raises(RecipeError, code, found):
        space_of("optim.lr = { log = [0.01, 1.0] }", head)
