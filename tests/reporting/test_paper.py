"""Oracles: a recipe's values by hand; the entries of BibTeX against the keys that are cited."""

import re

import pytest

from mien.base.recipe import load_recipe
from mien.base.run_folder import RunFolder
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import read_predictions
from mien.inference.find_model import find_run
from mien.reporting.context import ReportContext
from mien.reporting.paper import hyperparameters, methods_text, paper_files
from mien.reporting.report_page import report_page

COUNTS = {"train": [20_000, 8_709], "validation": [3_000, 589]}


def run_of(folder, name, **changes):
    run = RunFolder(folder)
    run.create(load_recipe(name, changes), {"data": "faces", "device": "cpu"})
    return run


def test_methods_state_data_optimiser_schedule_and_augmentation(tmp_path):
    run = run_of(tmp_path / "r", "short", **{"augment.mixup": 0.2, "schedule.name": "cosine", "seed": 7})
    found = methods_text(run, COUNTS, 1234)
    for words in (
        "(1,234 parameters)", "FER2013 with 28,709 train and 3,589 validation images", "Nesterov momentum 0.9",
        "a learning rate of 0.1", "fell to 0 along a cosine after rising from 0 in the first 10% of the steps",
        "shifted by up to 4% of the side, rotated by up to 4 degrees, zoomed by up to 5% and mixed by mixup",
        "The seed was 7",
    ):  # fmt: skip
        assert words in found, words


@pytest.mark.parametrize("name", ["short", "quick-votes", "study-b", "teacher-resnet", "head", "tune"])
def test_bibliography_has_what_the_paragraph_cites(tmp_path, name):
    texts = paper_files(run_of(tmp_path / "r", name), COUNTS, 1, "mine")
    cited = {key for keys in re.findall(r"\\cite\{([^}]*)\}", texts["methods.tex"]) for key in keys.split(",")}
    assert cited == set(re.findall(r"^@\w+\{([\w-]+),", texts["references.bib"], re.MULTILINE))
    assert {"mien", "fer2013"} <= cited
    assert ("ferplus" in cited) == (name == "quick-votes")
    assert "VERSION" not in texts["references.bib"]
    assert r"\label{tab:mine-hyperparameters}" in texts["hyperparameters.tex"]


def test_hyperparameters_leave_out_defaults():
    values = dict(hyperparameters(load_recipe("short", {"augment.mixup": 0.2})).rows)
    assert (values["optim.lr"], values["augment.mixup"], values["augment.flip"]) == ("0.1", "0.2", "yes")
    assert not {"augment.cutmix", "name", "description"} & set(values)


def test_built_in_model_has_no_text_of_its_training():
    assert methods_text(find_run("fast"), {}, 1) == ""


@pytest.mark.parametrize("is_training_data", [True, False])
def test_page_states_split_sizes_of_the_training_data_alone(tiny_run, is_training_data):
    predictions = read_predictions(tiny_run.predictions("validation"))
    context = ReportContext(
        predictions, evaluate_predictions(predictions, 10), class_counts={"train": [5] * 7}, run=tiny_run, parameters=9,
        is_training_data=is_training_data,
    )  # fmt: skip
    page = report_page(context, "t", {}, ())
    assert ("35 train" in page.documents["methods.tex"]) == is_training_data
