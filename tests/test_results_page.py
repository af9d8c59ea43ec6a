"""The results page and its charts say what the kept files say, and name only models that ship.

Oracle: the files themselves, read again; predictions, counted again; the digests in each shipped ``card.json``.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from mien.base.recipe import Recipe
from mien.evaluation.named_metrics import resample
from mien.evaluation.predictions import Predictions
from mien.evaluation.seed_variance import compare_repeats
from mien.inference.find_model import SHIPPED, find_run

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *(page for page in DOCS.rglob("*.md") if page.name != "lab-notebook.md")]
KEPT = sorted((ROOT / "benchmarks" / "kept").glob("*.json"))
FRESH = "run `make docs-charts`"


STUDIES = sorted((ROOT / "benchmarks" / "results").glob("*.json"))


@pytest.fixture(scope="module", autouse=True)
def scripts_in_path():
    sys.path.insert(0, str(DOCS))
    yield
    sys.path.remove(str(DOCS))


def shipped_digests():
    cards = [json.loads((find_run(name).path / "card.json").read_text(encoding="utf-8")) for name in SHIPPED]
    return {digest for card in cards for digest in card["sha256"].values()}


def shipped_names():
    return {name for model in SHIPPED for name in (model, f"{model}-int8")}


@pytest.mark.parametrize("name", ["results", "studies"])
def test_the_page_is_what_the_files_say(name):
    import make_tables

    assert (DOCS / f"{name}.md").read_text(encoding="utf-8") == make_tables.page(name), FRESH


@pytest.mark.parametrize("name", ["results", "studies"])
def test_each_chart_is_of_the_files_as_they_are_and_on_its_page(name):
    import make_charts

    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    for chart, (files, _) in make_charts.drawings(name).items():
        image = make_charts.IMAGES / f"{chart}.svg"
        assert make_charts.stamp_of(image) == make_charts.digest(files), FRESH
        assert f"](images/{chart}.svg)" in page
        assert image.stat().st_size < 150_000


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_a_kept_study_agrees_with_its_predictions_and_its_recipes_still_load(file):
    """Oracle: the predicted classes beside it, counted here and compared by the paired bootstrap."""
    import kept

    study = kept.study(file.stem)
    with np.load(file.with_suffix(".npz")) as archive:
        arrays = dict(archive)
    of_runs = {}
    for name, variant in study.variants.items():
        if "recipe" in variant:  # not "former_recipe": of a setting that mien no longer has
            Recipe.model_validate_json(json.dumps({"name": name, **variant["recipe"]}))
        if variant["metrics"]:
            labels, predicted = arrays[f"{name}/labels"], arrays[f"{name}/predicted"]
            assert variant["metrics"]["accuracy"]["values"] == pytest.approx((predicted == labels).mean(axis=1))
            of_runs[name] = dict(zip(arrays[f"{name}/seeds"].tolist(), predicted, strict=True))
    compared = study.content["comparisons"][0]
    baseline, first = compared["baseline"], compared["variants"][0]
    if compared["classes"] == "all":
        seeds = [seed for seed in of_runs[first["variant"]] if seed in of_runs[baseline]]
        runs = [of_runs[name][seed] for name in (baseline, first["variant"]) for seed in seeds]
        drawn = resample([certain(arrays, baseline, each) for each in runs], ["accuracy"])
        [found] = compare_repeats(drawn[: len(seeds)], drawn[len(seeds) :])
        kept_one = first["differences"]["accuracy"]
        assert vars(found.difference) == pytest.approx(kept_one["difference"])
        assert found.p_value == pytest.approx(kept_one["p_value"])


def certain(arrays, variant, predicted):
    """Predictions that are sure of their classes."""
    classes = tuple(map(str, arrays[f"{variant}/classes"]))
    ids, labels = arrays[f"{variant}/sample_ids"], arrays[f"{variant}/labels"]
    return Predictions(ids, labels, np.eye(len(classes))[predicted], classes, "validation", "")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_names_only_model_files_that_ship(path):
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"\b(?:default|fast|best)-(?:int\d+|fp\d+|uint\d+)\b", text)) <= shipped_names()
    for line in text.splitlines():
        if "SHA-256" in line:
            assert set(re.findall(r"\b[0-9a-f]{64}\b", line)) <= shipped_digests()


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_a_kept_measurement_is_of_a_model_that_ships(path):
    """A file that gives a digest was measured with that model; one that was copied by hand says so."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    found = kept.get("sha256")
    digests = {found} if isinstance(found, str) else set((found or {}).values())
    assert digests <= shipped_digests()
    assert digests or kept["note"]
    for row in kept.get("rows", []):
        model = row["name"].split(",")[0]
        assert model in shipped_names() or model.startswith("fer==")
