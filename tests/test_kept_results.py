"""Kept results of former measurements are consistent."""

import json
from pathlib import Path

import numpy as np
import pytest

from mien.base.recipe import Recipe

ROOT = Path(__file__).parents[1]
STUDIES = sorted((ROOT / "benchmarks" / "results").glob("*.json"))


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_a_kept_study_agrees_with_its_predictions_and_its_recipes_still_load(file):
    """Oracle: the predicted classes beside it, counted here."""
    with np.load(file.with_suffix(".npz")) as archive:
        arrays = dict(archive)
    for variant in json.loads(file.read_text(encoding="utf-8"))["variants"]:
        name = variant["variant"]
        if "recipe" in variant:  # not "former_recipe": of a setting that mien no longer has
            Recipe.model_validate_json(json.dumps({"name": name, **variant["recipe"]}))
        if variant["metrics"]:
            right = arrays[f"{name}/predicted"] == arrays[f"{name}/labels"]
            assert variant["metrics"]["accuracy"]["values"] == pytest.approx(right.mean(axis=1))
