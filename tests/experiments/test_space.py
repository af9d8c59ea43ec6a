"""Oracle: the recipe's own checks; what a file says by hand."""

import pytest

from mien.errors import RecipeError
from mien.experiments.space import load_space, parse_space, space_names
from mien.recipe_file import dump_recipe, load_recipe

HEAD = 'recipe = "quick"\ntrials = 3\n'


def space_of(parameters: str, head: str = HEAD):
    return parse_space(f"{head}[parameters]\n{parameters}", "mine.toml")


def test_every_space_that_comes_with_mien_is_possible():
    assert space_names() == ["quick"]
    for name in space_names():
        assert load_space(name).name == name


def test_a_space_is_read_as_it_is_written():
    space = space_of(
        """
        optim.lr = { log = [0.01, 1.0] }
        "augment.erasing" = { uniform = [0, 0.5] }
        batch_size = { integer = [64, 256] }
        optim.name = { choice = ["sgd", "adamw"] }
        model.widths = { choice = [[16, 32, 64, 128], [32, 64, 128, 256]] }
        """,
        'recipe = "quick"\ntrials = 3\nseed = 7\nepochs = 9\n[pruning]\nfirst_epoch = 2\n',
    )
    assert (space.name, space.trials, space.seed, space.base.epochs) == ("mine", 3, 7, 9)
    assert (space.pruning.first_epoch, space.pruning.factor) == (2, 3)
    distributions = {key: each.distribution() for key, each in space.ranges.items()}
    lr, erasing, batch = (distributions[key] for key in ("optim.lr", "augment.erasing", "batch_size"))
    assert (lr.low, lr.high, lr.log) == (0.01, 1.0, True)
    assert (erasing.low, erasing.high, erasing.log) == (0, 0.5, False)
    assert (batch.low, batch.high) == (64, 256)
    values = space.values({"optim.name": '"adamw"', "model.widths": "[16, 32, 64, 128]", "optim.lr": 0.1})
    recipe = space.recipe_for(values)
    assert (recipe.optim.name, recipe.optim.lr, recipe.model.settings["widths"]) == ("adamw", 0.1, [16, 32, 64, 128])
    assert recipe.augment == load_recipe("quick").augment


def test_the_digest_is_of_what_shapes_the_search():
    first = space_of("optim.lr = { log = [0.01, 1.0] }")
    same = space_of('"optim.lr" = { log = [0.01, 1] }', 'recipe = "quick"\ntrials = 300\n')
    assert first.digest == same.digest
    others = [
        space_of("optim.lr = { uniform = [0.01, 1.0] }"),
        space_of("optim.lr = { log = [0.01, 2.0] }"),
        space_of("optim.lr = { log = [0.01, 1.0] }", f"{HEAD}seed = 1\n"),
        space_of("optim.lr = { log = [0.01, 1.0] }", f"{HEAD}epochs = 5\n"),
        space_of("optim.lr = { log = [0.01, 1.0] }", f"{HEAD}[pruning]\nfirst_epoch = 2\n"),
        space_of("optim.lr = { log = [0.01, 1.0] }", 'recipe = "short"\ntrials = 3\n'),
    ]
    assert len({first.digest, *(each.digest for each in others)}) == 7


def test_a_recipes_file_is_looked_for_beside_the_space(tmp_path):
    (tmp_path / "base.toml").write_text(dump_recipe(load_recipe("short", ["name=based"])))
    (tmp_path / "mine.toml").write_text('recipe = "base.toml"\ntrials = 1\nparameters.epochs = { integer = [1, 2] }\n')
    with pytest.raises(RecipeError, match=r"cannot vary 'epochs': it is the budget"):
        load_space(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text('recipe = "base.toml"\ntrials = 1\noptim.lr = { log = [0.1, 1.0] }\n')
    with pytest.raises(RecipeError, match=r"unknown key 'optim'"):
        load_space(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text(
        'recipe = "base.toml"\ntrials = 1\n[parameters]\noptim.lr = { log = [0.1, 1] }\n'
    )
    assert load_space(str(tmp_path / "mine.toml")).base.name == "based"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("optim.lrr = { log = [0.01, 1.0] }", ", varied, has an unknown key 'optim.lrr'. Did you mean 'optim.lr'?"),
        ("erasing = { uniform = [0.0, 0.5] }", "Did you mean 'augment.erasing'?"),
        ("optim.momentum = { uniform = [0.5, 1.5] }", "optim.momentum = 1.5"),
        ("batch_size = { uniform = [16, 64] }", "batch_size = 16.0"),
        ('optim.name = { choice = ["sgd", "lion"] }', "optim.name = 'lion'"),
        ("optim.lr = { loguniform = [0.01, 1.0] }", "unknown key 'parameters.optim.lr.loguniform'"),
        ("optim.lr = { log = [0.01, 1.0], uniform = [0.0, 1.0] }", "a range is one of uniform, log, integer, choice"),
        ("optim.lr = { log = [1.0, 0.01] }", "the low end 1.0 is not below the high end 0.01"),
        ("optim.weight_decay = { log = [0.0, 0.01] }", "the low end 0.0 of a logarithmic range is not above 0"),
        ("optim.lr = { log = [0.01] }", "parameters.optim.lr.log.1"),
        ("optim.lr = { choice = [0.1] }", "parameters.optim.lr.choice"),
        ("optim.lr = { choice = [0.1, 0.1] }", "a choice holds each value once"),
        ("optim.lr = [0.01, 1.0]", "'optim.lr' needs a range, e.g. optim.lr = { log = [0.01, 1.0] }"),
        ("optim.lr = {}", "a range is one of"),
        ('optim.lr = { log = [0.01, 1.0] }\n"optim.lr" = { log = [0.01, 1.0] }', "gives 'optim.lr' twice"),
        ('classes = { choice = ["seven", "six"] }', "accuracies under different classes do not compare"),
        ("seed = { integer = [0, 9] }", "is luck"),
        ("", "parameters"),
        ("optim.lr = ", "not valid TOML"),
    ],
)
def test_a_wrong_range_is_one_line_that_says_where(parameters, words):
    with pytest.raises(RecipeError) as caught:
        space_of(parameters)
    assert "mine.toml" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ('recipe = "quick"\n', "has no 'trials'"),
        ('recipe = "quik"\ntrials = 3\n', "Did you mean 'quick'?"),
        (f"{HEAD}trails = 3\n", "unknown key 'trails'. Did you mean 'trials'?"),
        (f"{HEAD}[pruning]\nfirst = 3\n", "unknown key 'pruning.first'. Did you mean 'first_epoch'?"),
        (f"{HEAD}epochs = 4\n[pruning]\nfirst_epoch = 4\n", "nothing could be cut"),
        ('recipe = "quick"\ntrials = 0\n', "trials = 0"),
        ('recipe = "quick"\ntrials = 2.5\n', "trials = 2.5"),
    ],
)
def test_a_wrong_head_is_one_line(head, words):
    with pytest.raises(RecipeError) as caught:
        space_of("optim.lr = { log = [0.01, 1.0] }", head)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"), [("quack", "Did you mean 'quick'?"), ("nowhere/mine.toml", "cannot be read: No such file")]
)
def test_a_space_that_is_not_there(name, words):
    with pytest.raises(RecipeError, match=r"space") as caught:
        load_space(name)
    assert words in str(caught.value)
