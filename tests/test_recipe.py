from pathlib import Path

import pytest

import mien
from mien.artifact import read_manifest
from mien.errors import RecipeError
from mien.recipe import Recipe
from mien.recipe_file import load_recipe, parse_recipe
from mien.renamed_keys import RENAMED_KEYS, _give_notice, with_renamed_keys
from support import note_codes, raises


def test_early_sizes_give_way_to_the_full_crop():
    recipe = load_recipe("demo", ["progressive_resizing=[[0.4, 28], [0.7, 36]]", "input.crop_px=44"])
    sides = [recipe.side_px(progress) for progress in (0.0, 0.39, 0.4, 0.69, 0.7, 1.0)]
    assert sides == [28, 28, 36, 36, 44, 44]
    assert Recipe().side_px(0.0) == 48


def test_classes_filled_up_in_part_may_be_weighed_for_the_rest():
    recipe = parse_recipe("class_weights = 'balanced'\n[balance]\nsampling = 'warp'\nshare = 0.5", "x")
    assert recipe.balance.share == 0.5


def test_the_digest_follows_what_shapes_the_result():
    recipe = Recipe()
    assert recipe.digest == recipe.model_copy(update={"name": "other", "description": "words"}).digest
    assert recipe.digest != recipe.model_copy(update={"seed": 1}).digest


def test_a_digest_outlives_new_keys():
    # Pinned: a key that recipes gain has a default that changes nothing, so finished runs are still found by digest.
    assert load_recipe("study-b").digest == "sha256:62b0ef952d0355122f71ae553ce139fc1bbc373cf4a2285d9aca76a1fa2e529f"
    same = load_recipe("study-b", ["tuning.frozen_epochs=0", "tuning.layer_decay=1.0"])
    assert same.digest == load_recipe("study-b").digest
    assert load_recipe("study-b", ["tuning.layer_decay=0.9"]).digest != same.digest


SHIPPED = Path(mien.__file__).parent / "shipped"


@pytest.mark.parametrize("name", ["default", "fast", "best"])
def test_a_shipped_recipe_keeps_the_digest_of_its_model(name):
    """Oracle: the digest in the model's manifest, which was written before keys were renamed."""
    manifest = read_manifest(SHIPPED / name / "model.onnx")
    assert load_recipe(str(SHIPPED / name / "recipe.toml")).digest == manifest.recipe_digest
    stored = Recipe.model_validate(with_renamed_keys(manifest.recipe))
    assert stored.digest == manifest.recipe_digest
    assert stored.recalibrate_bn
    augment = manifest.recipe["augment"]  # by its former name in a model of before
    assert stored.augment.random_erasing == augment.get("erasing", augment.get("random_erasing"))


def test_keys_of_an_older_recipe_are_read(caplog):
    """Oracle: the same recipe by today's keys. The notice names each key once."""
    today = "consistency_loss = 0.5\nprogressive_resizing = [[0.5, 28]]\nrecalibrate_bn = true\n"
    today += "[augment]\ntranslate = 0.1\nrandom_erasing = 0.2\nmixup_off_epochs = 0.3\n[distill]\nalpha = 0.7\n"
    old = today
    for before, after in RENAMED_KEYS.items():
        old = old.replace(f"{after.rpartition('.')[2]} =", f"{before.rpartition('.')[2]} =")
    assert old != today
    _give_notice.cache_clear()
    recipes = [parse_recipe(text, "r") for text in (today, old, old)]
    assert recipes[0] == recipes[1] == recipes[2]
    assert recipes[0].digest == recipes[1].digest
    assert len(caplog.records) == 1
    assert note_codes(caplog.records[0].getMessage()) == ["recipe-keys-renamed"]
    assert all(f"{before} is now {after}" in caplog.text for before, after in RENAMED_KEYS.items())


def test_a_key_by_both_names_is_refused():
    with raises(RecipeError, "recipe-key-twice"):
        parse_recipe("[distill]\nalpha = 0.5\nshare = 0.5", "r")
