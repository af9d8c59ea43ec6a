"""Oracle: the recipe's own checks; what a file says by hand."""

import optuna
import pytest

from mien.base.errors import RecipeError
from mien.base.recipe import dump_recipe, load_recipe
from mien.runs.space import _KIND, load_space, parse_space
from support import raises

HEAD = 'recipe = "quick"\ntrials = 3\n'


def space_of(parameters, head=HEAD):
    return parse_space(f"{head}[parameters]\n{parameters}", "mine.toml")


def test_built_in_spaces_load():
    assert _KIND.names() == ["quick"]
    for name in _KIND.names():
        assert load_space(name).name == name


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


def test_a_space_finds_its_recipe_beside_it(tmp_path):
    (tmp_path / "base.toml").write_text(dump_recipe(load_recipe("short", ["name=based"])))
    (tmp_path / "mine.toml").write_text('recipe = "base.toml"\ntrials = 1\nparameters.epochs = { integer = [1, 2] }\n')
    with raises(RecipeError, "space-value"):
        load_space(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text('recipe = "base.toml"\ntrials = 1\noptim.lr = { log = [0.1, 1.0] }\n')
    with raises(RecipeError, "space-value"):
        load_space(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text(
        'recipe = "base.toml"\ntrials = 1\n[parameters]\noptim.lr = { log = [0.1, 1] }\n'
    )
    assert load_space(str(tmp_path / "mine.toml")).base.name == "based"


@pytest.mark.parametrize(("parameters", "code", "found"), [
    ("optim.lrr = { log = [0.01, 1.0] }", "recipe-value", "'optim.lr'"),
    ("random_erasing = { uniform = [0.0, 0.5] }", "recipe-value", "'augment.random_erasing'"),
    ("optim.momentum = { uniform = [0.5, 1.5] }", "recipe-value", "optim.momentum = 1.5"),
    ("batch_size = { uniform = [16, 64] }", "recipe-value", "batch_size = 16.0"),
    ('optim.name = { choice = ["sgd", "lion"] }', "recipe-value", "optim.name = 'lion'"),
    ("optim.lr = { loguniform = [0.01, 1.0] }", "space-value", "parameters.optim.lr.loguniform"),
    ("optim.lr = { log = [0.01, 1.0], uniform = [0.0, 1.0] }", "space-value", "uniform, log, integer, choice"),
    ("optim.lr = { log = [1.0, 0.01] }", "space-value", "lower end 1.0 is not below the upper end 0.01"),
    ("optim.weight_decay = { log = [0.0, 0.01] }", "space-value", "0.0"),
    ("optim.lr = { log = [0.01] }", "space-value", "parameters.optim.lr.log"),
    ("optim.lr = { choice = [0.1] }", "space-value", "parameters.optim.lr.choice"),
    ("optim.lr = [0.01, 1.0]", "space-value", "parameters.optim.lr"),
    ("optim.lr = {}", "space-value", "uniform, log, integer, choice"),
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
    ('recipe = "quick"\ntrials = 2.5\n', "space-value", "trials = 2.5"),
])  # fmt: skip
def test_a_space_rejects_wrong_keys(head, code, found):
    with raises(RecipeError, code, found):
        space_of("optim.lr = { log = [0.01, 1.0] }", head)


def test_an_unknown_space_suggests_the_nearest():
    with raises(RecipeError, "space-unknown", "'quick'"):
        load_space("quack")
    with raises(RecipeError, "space-unreadable"):
        load_space("nowhere/mine.toml")


def test_a_space_takes_changes_except_of_searched_keys():
    plain, changed = load_space("quick"), load_space("quick", ["epochs=5", "seed=3"])
    assert (changed.base.epochs, changed.base.seed) == (5, 3)
    assert load_space("quick", "epochs=5").base == load_space("quick", {"epochs": 5}).base
    assert changed.parameters == plain.parameters
    assert changed.digest != plain.digest
    for change in ("optim.lr=0.1", "optim.lr = 0.1", "optim={lr=0.1}", "optim.lr.x=1"):
        with raises(RecipeError, "space-value", "'optim.lr'"):
            load_space("quick", [change])
