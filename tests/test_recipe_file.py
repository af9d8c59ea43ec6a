import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import RecipeError
from mien.recipe import Recipe
from mien.recipe_file import dump_recipe, load_recipe, parse_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads_says_what_it_is_for_and_survives_a_round_trip(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert parse_recipe(dump_recipe(recipe), "again") == recipe


def test_a_dumped_recipe_names_every_key():
    content = tomllib.loads(dump_recipe(Recipe()))
    assert set(content) == set(Recipe.model_fields)
    assert content["optim"]["betas"] == [0.9, 0.999]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "unknown key 'epoch'. Did you mean 'epochs'?"),
        ("[optim]\nlearning_rte = 1", "unknown key 'optim.learning_rte'"),
        ("lr = 0.1", "unknown key 'lr'. Did you mean 'optim.lr'?"),
        ("[augment]\nlr = 0.1", "unknown key 'augment.lr'. Did you mean 'optim.lr'?"),
        ("[optim]\nlr = 0", "optim.lr = 0: input should be greater than 0"),
        ("[optim]\nlr = nan", "optim.lr = nan"),
        ("[optim]\nlr = 1e39", "optim.lr = 1e+39"),
        ("[optim]\nweight_decay = 1e39", "optim.weight_decay = 1e+39"),
        ("[augment]\nmixup = 1e39", "augment.mixup = 1e+39"),
        ("[augment]\ncutmix = 1e39", "augment.cutmix = 1e+39"),
        ("batch_size = 1000000000000", "batch_size = 1000000000000"),
        ("[optim]\nlr = 'fast'", "optim.lr = 'fast'"),
        ("[optim]\nname = 'lion'", "optim.name = 'lion'"),
        ("epochs = 0", "epochs = 0"),
        ("classes = 'sevn'", "Did you mean 'seven'"),
        ("[input]\ncrop_px = 99", "crop_px 99 is larger than size_px 48"),
        ("[augment]\nflip = 3", "augment.flip = 3"),
        ("epochs = ", "not valid TOML"),
        ("epochs = " + "9" * 5000, "not valid TOML: exceeds the limit"),
        ("epochs = " + "[" * 5000, "not valid TOML: brackets are nested too deep"),
        ("epochs = '3'", "epochs = '3'"),
        ("seed = true", "seed = True"),
        ("epochs = 2.5", "epochs = 2.5"),
        ("name = '../x'", "name = '../x'"),
        ("epochs = 1979-05-27", "epochs = '1979-05-27'"),
        ("[input]\nstd = inf", "input.std"),
        ("[tuning]\nlayer_decay = 0", "tuning.layer_decay = 0: input should be greater than 0"),
        ("[tuning]\nfrozen_epochs = -1", "tuning.frozen_epochs = -1"),
        ("[balance]\nsampling = 'smote'", "balance.sampling = 'smote'"),
        ("[balance]\nfocal_gamma = -1", "balance.focal_gamma = -1"),
        ("[balance]\neffective_beta = 1", "balance.effective_beta = 1"),
        ("class_weights = 'balanced'\n[balance]\nsampling = 'batches'", "balance the classes twice"),
        ("class_weights = 'effective'\n[balance]\nlogit_adjustment = 1", "balance the classes twice"),
        ("[balance]\nsampling = 'undersample'\nlogit_adjustment = 1", "balance the classes twice"),
        ("[balance]\nsampling = 'undersample'\nshare = 0.5", "choose oversample, mixup or warp"),
        ("[balance]\nshare = 0.5", "choose oversample, mixup or warp"),
    ],
)
def test_a_bad_recipe_is_one_line_that_names_the_key(text, message):
    with pytest.raises(RecipeError) as error:
        parse_recipe(text, "mine.toml")
    assert message.lower() in str(error.value).lower()
    assert "mine.toml" in str(error.value)
    assert "\n" not in str(error.value)


def test_set_changes_keys_with_toml_values_or_words():
    changes = ["optim.lr=0.01", "optim.name=adam", "augment.flip = true", "model.widths=[8, 16]", "seed=3"]
    recipe = load_recipe("demo", changes)
    assert (recipe.optim.lr, recipe.optim.name, recipe.augment.flip, recipe.seed) == (0.01, "adam", True, 3)
    assert recipe.model.settings["widths"] == [8, 16]


@pytest.mark.parametrize(
    "change",
    [
        "optim.lr",
        "=3",
        "epochs.lr=1",
        "optim.rate=1",
        "optim.lr=-1",
        "early_sizes=[[0.5, 99]]",
        "epochs=" + "9" * 5000,
        "epochs=" + "[" * 5000,
        "early_sizes=[[0.5, 20], [0.2, 30]]",
    ],
)
def test_a_bad_set_is_an_error(change):
    with pytest.raises(RecipeError):
        load_recipe("demo", [change])


def test_changes_in_one_text_are_told_how_to_be_a_list():
    with pytest.raises(RecipeError, match=r"Write \['optim\.lr=0\.01'\]"):
        load_recipe("demo", "optim.lr=0.01")


def test_a_file_of_windows_notepad_is_read(tmp_path):
    (tmp_path / "mine.toml").write_text("epochs = 3\n", encoding="utf-8-sig")
    assert load_recipe(str(tmp_path / "mine.toml")).epochs == 3


def test_unknown_names_and_files(tmp_path):
    with pytest.raises(RecipeError, match="Did you mean 'demo'"):
        load_recipe("dmo")
    with pytest.raises(RecipeError, match="cannot be read: No such file"):
        load_recipe(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="not UTF-8"):
        load_recipe(str(tmp_path / "bad.toml"))


@given(st.text())
def test_any_text_survives_a_round_trip(text):
    recipe = Recipe(description=text)
    assert parse_recipe(dump_recipe(recipe), "x").description == text


def test_students_are_shown_the_same_epochs():
    """So that answers about the epochs of one serve all; oracle: each recipe's own table."""
    first, *others = (load_recipe(name) for name in ("student", "fast", "pruned"))
    for other in others:
        assert (other.augment, other.batch_size, other.classes) == (first.augment, first.batch_size, first.classes)
    assert load_recipe("fast").input == first.input
