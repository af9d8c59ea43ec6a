import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mien
from mien.base.errors import RecipeError
from mien.base.model_file import read_manifest
from mien.base.recipe import Recipe, check_recipe, dump_recipe, list_recipes, load_recipe, tuned
from support import raises


@pytest.mark.parametrize("name", list_recipes())
def test_built_in_recipes_have_a_description_and_survive_a_round_trip(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert check_recipe(tomllib.loads(dump_recipe(recipe)), "again") == recipe


@pytest.mark.parametrize("optim", [{"momentum": 0.0}, {"name": "adamw"}, {"nesterov": False, "momentum": 0.0}])
def test_recipe_omits_nesterov_where_it_is_off(optim):
    recipe = check_recipe({"optim": optim}, "mine")
    content = tomllib.loads(dump_recipe(recipe))
    assert not content["optim"].get("nesterov")
    assert check_recipe(content, "again").digest == recipe.digest


@pytest.mark.parametrize(("text", "found"), [
    ("epoch = 3", "'epochs'"),
    ("[optim]\nlearning_rte = 1", "'optim.learning_rte'"),
    ("lr = 0.1", "'optim.lr'"),
    ("[augment]\nlr = 0.1", "'optim.lr'"),
    ("[optim]\nlr = 0", "optim.lr = 0"),
    ("[augment]\nmixup = 1e39", "augment.mixup = 1e+39"),
    ("batch_size = 1000000000000", "batch_size = 1000000000000"),
    ("[optim]\nname = 'lion'", "optim.name = 'lion'"),
    ("classes = 'sevn'", "'seven'"),
    ("[input]\ncrop_px = 99", "crop_px 99"),
    ("epochs = ", ""),
    ("name = '../x'", "name = '../x'"),
    ("epochs = 1979-05-27", "epochs = '1979-05-27'"),
    ("[optim]\nbetas = [0.8, 0.9]", "optim.betas"),
    ("[schedule]\nstep_epochs = 3", "schedule.step_epochs = 3"),
    ("[balance]\neffective_beta = 0.9", "class_weights = 'effective'"),
    ("class_weights = 'balanced'\n[balance]\nsampling = 'batches'",
     "balance.sampling = 'batches' and class_weights = 'balanced'"),
    ("class_weights = 'effective'\n[balance]\nlogit_adjustment = 1",
     "class_weights = 'effective' and balance.logit_adjustment = 1"),
    ("[balance]\nsampling = 'undersample'\nlogit_adjustment = 1",
     "balance.sampling = 'undersample' and balance.logit_adjustment = 1"),
    ("[balance]\nsampling = 'undersample'\nshare = 0.5", "balance.share = 0.5"),
    ("[balance]\nshare = 0.5", "balance.share = 0.5"),
])  # fmt: skip
def test_load_recipe_rejects_bad_values_and_names_the_key(text, found, tmp_path):
    (tmp_path / "mine.toml").write_text(text)
    with raises(RecipeError, "recipe-value", "mine.toml") as caught:
        load_recipe(tmp_path / "mine.toml")
    assert found.lower() in str(caught.value).lower()


def test_changes_of_a_recipe_are_toml_values_words_or_pairs():
    changes = ["optim.lr=0.01", "optim.name=adam", "augment.flip = true", "model.widths=[8, 16]", "seed=3"]
    recipe = load_recipe("demo", changes)
    assert (recipe.optim.lr, recipe.optim.name, recipe.augment.flip, recipe.seed) == (0.01, "adam", True, 3)
    assert recipe.model.settings["widths"] == [8, 16]
    changes = {"optim.lr": 0.01, "epochs": np.int64(3)}
    assert load_recipe("demo", changes) == load_recipe("demo", ["optim.lr=0.01", "epochs=3"])
    assert Recipe(class_weights="balanced", balance={"sampling": "oversample", "share": 0.5}).balance.share == 0.5
    recipe = load_recipe("demo", ["progressive_resizing=[[0.4, 28], [0.7, 36]]", "input.crop_px=44"])
    assert [recipe.side_px(progress) for progress in (0.0, 0.39, 0.4, 0.69, 0.7, 1.0)] == [28, 28, 36, 36, 44, 44]
    assert Recipe().side_px(0.0) == 48


@pytest.mark.parametrize(
    "change",
    ["optim.lr", "=3", "epochs.lr=1", "optim.rate=1", "optim.lr=-1", "progressive_resizing=[[0.5, 99]]",
     "epochs=" + "9" * 5000, "epochs=" + "[" * 5000, "progressive_resizing=[[0.5, 20], [0.2, 30]]"],
)  # fmt: skip
def test_load_recipe_rejects_bad_changes(change):
    with raises(RecipeError, "recipe-value", change.partition("=")[0]):
        load_recipe("demo", [change])


def test_unknown_names_and_files(tmp_path):
    with raises(RecipeError, "recipe-unknown", "'demo'"):
        load_recipe("dmo")
    with raises(RecipeError, "recipe-unreadable"):
        load_recipe(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with raises(RecipeError, "recipe-unreadable"):
        load_recipe(str(tmp_path / "bad.toml"))
    (tmp_path / "mine.toml").write_text("epochs = 3\n", encoding="utf-8-sig")
    assert load_recipe(str(tmp_path / "mine.toml")).epochs == 3


@given(st.text())
def test_any_text_survives_a_round_trip(text):
    assert check_recipe(tomllib.loads(dump_recipe(Recipe(description=text))), "x").description == text


def test_changing_the_network_drops_former_settings():
    """A user who sets model.name alone must not hear of settings that came from the recipe."""
    assert load_recipe("quick", ["model.name=timm"]).model.settings == {}
    assert load_recipe("quick", ["model.width=8", "model.name=resnet18"]).model.settings == {"width": 8}
    before = load_recipe("teacher-vgg").model.settings
    assert before
    assert load_recipe("teacher-vgg", ["model.name=vgg16"]).model.settings == before
    assert load_recipe("quick", ["model.name=mien", "model.dropout=0.3"]).model.settings["dropout"] == 0.3


def test_the_digest_follows_what_shapes_the_result_and_a_dump_names_every_key():
    recipe = Recipe()
    assert recipe.digest == recipe.model_copy(update={"name": "other", "description": "words"}).digest
    assert recipe.digest != recipe.model_copy(update={"seed": 1}).digest
    assert load_recipe("study-b").digest == "sha256:62b0ef952d0355122f71ae553ce139fc1bbc373cf4a2285d9aca76a1fa2e529f"
    same = load_recipe("study-b", ["tuning.frozen_epochs=0", "tuning.layer_decay=1.0"])
    assert same.digest == load_recipe("study-b").digest
    assert load_recipe("study-b", ["tuning.layer_decay=0.9"]).digest != same.digest
    content = tomllib.loads(dump_recipe(Recipe()))
    assert (set(content), content["optim"]["betas"]) == (set(Recipe.model_fields), [0.9, 0.999])


def test_a_recipe_knows_the_built_in_one_that_it_is_of(tmp_path):
    file = tmp_path / "quick.toml"
    file.write_text(dump_recipe(load_recipe("quick")))
    built_in, own = load_recipe("quick", ["name=exp1"]), load_recipe(file)
    copy = built_in.model_copy(update={"seed": 3})
    assert [each.built_in for each in (built_in, copy, tuned(copy, own), own, Recipe(name="quick"))] == [
        *["quick"] * 3, "", "",
    ]  # fmt: skip
    assert (load_recipe("quick") == own, load_recipe("quick").model_dump() == own.model_dump()) == (True, True)


def test_a_recipes_schema_has_a_description_of_each_augmentation_and_nothing_of_papers():
    schema = Recipe.model_json_schema()
    assert '"cites"' not in json.dumps(schema)
    keys = schema["$defs"]["AugmentRecipe"]["properties"]
    assert {key for key, value in keys.items() if "description" not in value} == {"rotation_degrees", "name"}
    assert keys["noise"]["description"] == "fraction of images with added Gaussian noise"


SHIPPED = Path(mien.__file__).parent / "shipped"


@pytest.mark.parametrize("name", sorted(file.parent.name for file in SHIPPED.glob("*/model.onnx")))
def test_a_shipped_recipe_keeps_the_digest_of_its_model(name):
    """Oracle: the digest in the model's manifest, which was written before keys were renamed."""
    manifest, recipe = read_manifest(SHIPPED / name / "model.onnx"), load_recipe(str(SHIPPED / name / "recipe.toml"))
    assert recipe.digest == manifest.recipe_digest
    assert recipe.recalibrate_bn
