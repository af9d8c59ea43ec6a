from pathlib import Path

import pytest

import mien
from mien.base.model_file import read_manifest
from mien.base.recipe import Recipe, load_recipe


def test_progressive_resizing_ends_at_the_full_crop():
    recipe = load_recipe("demo", ["progressive_resizing=[[0.4, 28], [0.7, 36]]", "input.crop_px=44"])
    assert [recipe.side_px(progress) for progress in (0.0, 0.39, 0.4, 0.69, 0.7, 1.0)] == [28, 28, 36, 36, 44, 44]
    assert Recipe().side_px(0.0) == 48


def test_class_weights_combine_with_partial_oversampling():
    assert Recipe(class_weights="balanced", balance={"sampling": "oversample", "share": 0.5}).balance.share == 0.5


def test_the_digest_follows_what_shapes_the_result():
    recipe = Recipe()
    assert recipe.digest == recipe.model_copy(update={"name": "other", "description": "words"}).digest
    assert recipe.digest != recipe.model_copy(update={"seed": 1}).digest


def test_digest_ignores_new_keys_at_their_default():
    # Pinned: a key that recipes gain has a default that changes nothing, so finished runs are still found by digest.
    assert load_recipe("study-b").digest == "sha256:62b0ef952d0355122f71ae553ce139fc1bbc373cf4a2285d9aca76a1fa2e529f"
    same = load_recipe("study-b", ["tuning.frozen_epochs=0", "tuning.layer_decay=1.0"])
    assert same.digest == load_recipe("study-b").digest
    assert load_recipe("study-b", ["tuning.layer_decay=0.9"]).digest != same.digest


SHIPPED = Path(mien.__file__).parent / "shipped"


@pytest.mark.parametrize("name", sorted(file.parent.name for file in SHIPPED.glob("*/model.onnx")))
def test_a_shipped_recipe_keeps_the_digest_of_its_model(name):
    """Oracle: the digest in the model's manifest, which was written before keys were renamed."""
    manifest = read_manifest(SHIPPED / name / "model.onnx")
    recipe = load_recipe(str(SHIPPED / name / "recipe.toml"))
    assert recipe.digest == manifest.recipe_digest
    assert recipe.recalibrate_bn
