"""The results page and its charts say what the kept files say, and name only models that ship.

Oracle: the files themselves, read again; the digests in each shipped ``card.json``.
"""

import json
import re
import sys
from pathlib import Path

import pytest

from mien.inference.find_model import SHIPPED, find_run

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *(page for page in DOCS.rglob("*.md") if page.name != "lab-notebook.md")]
KEPT = sorted((ROOT / "benchmarks" / "kept").glob("*.json"))
FRESH = "run `make docs-charts`"


@pytest.fixture(scope="module")
def made():
    """The module that makes the page."""
    sys.path.insert(0, str(DOCS))
    import make_results

    return make_results


def shipped_digests():
    cards = [json.loads((find_run(name).path / "card.json").read_text(encoding="utf-8")) for name in SHIPPED]
    return {digest for card in cards for digest in card["sha256"].values()}


def shipped_names():
    return {name for model in SHIPPED for name in (model, f"{model}-int8")}


@pytest.fixture(scope="module", params=["results", "studies"])
def of_page(request, made):
    """The module that makes each of the two pages."""
    return made if request.param == "results" else made.make_studies


def test_the_page_is_what_the_files_say(of_page):
    page = of_page.page()
    assert of_page.PAGE.read_text(encoding="utf-8") == page, FRESH
    assert "{{" not in page


def test_each_chart_is_of_the_files_as_they_are(made, of_page):
    for name, (files, _) in of_page.drawings().items():
        assert files
        assert all(file.is_file() for file in files), name
        assert made.stamp_of(made.IMAGES / f"{name}.svg") == made.digest(files), FRESH


def test_each_chart_is_on_the_page_and_is_small(made, of_page):
    page = of_page.PAGE.read_text(encoding="utf-8")
    for name in of_page.drawings():
        assert f"](images/{name}.svg)" in page
        assert (made.IMAGES / f"{name}.svg").stat().st_size < 150_000


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
