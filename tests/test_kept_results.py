"""What is kept of former measurements is consistent, and pages name only models that ship."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from mien.base.recipe import Recipe
from mien.inference.find_model import SHIPPED, find_run

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *(page for page in (ROOT / "docs").rglob("*.md") if page.name != "lab-notebook.md")]
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


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_names_only_model_files_that_ship(path):
    text = path.read_text(encoding="utf-8")
    shipped = {name for model in SHIPPED for name in (model, f"{model}-int8")}
    assert set(re.findall(r"\b(?:default|fast|best)-(?:int\d+|fp\d+|uint\d+)\b", text)) <= shipped
    cards = [json.loads((find_run(name).path / "card.json").read_text(encoding="utf-8")) for name in SHIPPED]
    digests = {digest for card in cards for digest in card["sha256"].values()}
    for line in text.splitlines():
        if "SHA-256" in line:
            assert set(re.findall(r"\b[0-9a-f]{64}\b", line)) <= digests
