"""Oracles: pages of splits that lack something; a model that may not be asked."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.base.labels import SCHEMES
from mien.base.recipe import SAID, Recipe, load_recipe
from mien.base.run_folder import RunFolder, find_run
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions, read_predictions
from mien.inference.predictor import Predictor, load
from mien.pipeline import evaluation_files
from mien.pipeline.measured_split import MeasuredSplit, faces_of_predictions, match_faces
from mien.reporting.comparison import compare_predictions, comparison_subsets_table, comparison_table, short_names
from mien.reporting.paper import hyperparameters, methods_text, paper_files
from mien.reporting.report_page import report_page
from mien.reporting.sections import ReportContext
from support import HtmlPage, make_predictions, page_codes, raises, write_report


def test_report_applies_the_label_scheme_of_the_predictions(faces, tmp_path):
    """Study B's two classes: neutral and disgust are dropped; the fingerprint is that of the data as it was read."""
    merged = faces.with_scheme(SCHEMES["binary"])
    part = merged.of_split("validation")
    predictions = make_predictions(part.labels, merged.classes, part.rows, fingerprint=faces.fingerprint)
    assert np.array_equal(match_faces(faces_of_predictions(faces, predictions), predictions).images, part.images)
    write_report(tmp_path, predictions, faces=faces)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "data:image/png" in page
    assert 'id="worst"' in page
    with raises(DataError, "data-differs", "sha256:"):
        write_report(tmp_path / "no", predictions, faces=part)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("labels", [[3], [3] * 4, [0, 2, 3, 4, 5, 6] * 5], ids=["one row", "one class", "no disgust"])
def test_report_accepts_a_split_without_some_classes(labels, faces, tmp_path):
    written = write_report(tmp_path, make_predictions(labels, faces.classes), metadata={"model": "<lame>"})
    page = written.page.read_text(encoding="utf-8")
    assert "&lt;lame&gt;" in page
    absent = [name for index, name in enumerate(faces.classes) if index not in labels]
    assert f": {', '.join(absent)}." in re.search("<header>(.*?)</header>", page, re.DOTALL)[1]
    assert ">nan<" not in page.lower()
    again = write_report(tmp_path / "again", make_predictions(labels, faces.classes), metadata={"model": "<lame>"})
    assert again.page.read_bytes() == written.page.read_bytes()


def test_report_predicts_no_face_of_the_test_split_and_needs_no_mistake(faces, tiny_run, tmp_path, monkeypatch):
    """The model's answers to test faces under another name: it is shown none of them again."""
    model, part = load(tiny_run.path), faces.of_split("test")
    predictions = Predictions(part.rows, part.labels, model.probabilities(part.images), faces.classes, "mine", "")

    monkeypatch.setattr(Predictor, "probabilities", lambda *_, **__: pytest.fail("asked"))
    page = write_report(tmp_path / "out", predictions, faces=faces, model=model).page
    assert "new-predictions-skipped" in page_codes(page.read_text(encoding="utf-8"))
    predictions = Predictions(np.arange(2), np.array([3, 4]), np.eye(7)[[3, 4]], faces.classes, "mine", "")
    page = write_report(tmp_path, predictions).page.read_text(encoding="utf-8")
    assert page_codes(page).count("no-mistakes") == 2, "pairs and worst mistakes"


def test_report_states_why_sections_are_missing(faces, tiny_run, tmp_path, monkeypatch):
    model, part = load(tiny_run.path), faces.of_split("validation")
    predictions = Predictions(part.rows, part.labels, model.probabilities(part.images), faces.classes, "validation", "")

    def codes(name, given, **more):
        page = write_report(tmp_path / name, given, **more).page.read_text(encoding="utf-8")
        assert 'id="attention"' not in page
        (notices,) = re.findall('<section aria-labelledby="skipped">.*?</section>', page, re.DOTALL)
        return [*page_codes(notices), *re.findall(r"(?:Give|and) --(\w+)", notices)]

    unmeasured = "robustness-not-measured"
    assert codes("neither", predictions) == [unmeasured, "new-predictions-skipped", "data", "model"]
    assert codes("no-data", predictions, model=model) == [unmeasured, "new-predictions-skipped", "data"]
    assert codes("no-model", predictions, faces=faces) == [unmeasured, "new-predictions-skipped", "model"]
    assert codes("left-out", predictions, faces=faces, model=model, explain=False) == [unmeasured, "attention-skipped"]
    of_test = codes("test", replace(predictions, split="test"), model=model)
    assert of_test == ["robustness-skipped", "new-predictions-skipped"]


def test_report_replaces_only_its_own_files(faces, tmp_path):
    first = write_report(tmp_path, make_predictions([0, 2, 3, 4, 5, 6] * 5, faces.classes))
    ours = {file.relative_to(tmp_path) for file in first.files}
    others = [tmp_path / "figures" / "mine.png", tmp_path / "tables" / "audit.csv", tmp_path / "mine.csv"]
    for file in others:
        file.write_bytes(b"x")
    page = first.page.read_text(encoding="utf-8")
    first.page.write_text(page.replace("page:\n", "page:\n../mine.csv\nmine.csv\nfigures/../mine.csv\n"), "utf-8")
    again = write_report(tmp_path, make_predictions([3, 3, 3, 3], faces.classes))
    left = {file.relative_to(tmp_path) for file in {*tmp_path.glob("*/*")} - {*others}}
    assert left == {file.relative_to(tmp_path) for file in again.files}
    assert ours - left
    assert all(file.read_bytes() == b"x" for file in others)


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
    unsaid = {"file", "file_sha256", "name", "mixup_probability", "mixup_off_epochs"}
    assert type(Recipe().augment).model_fields.keys() - {key.removeprefix("augment.") for key in SAID} == unsaid


def test_methods_leave_out_what_a_users_parts_replace(tmp_path):
    run, own = RunFolder(tmp_path / "r"), {"loss": "mine.cost", "optimizer": "mine.make", "augment": "mine.noise"}
    run.create(load_recipe("short", {"label_smoothing": 0.1}), {"not_of_the_recipe": own})
    found = methods_text(run, COUNTS, 1)
    assert "Own code: loss mine.cost, optimizer mine.make, augment mine.noise" in found
    assert [words for words in ("smoothing", "momentum", "mirrored", "not augmented") if words in found] == []
    assert methods_text(find_run("fast"), {}, 1) == ""
    values = dict(hyperparameters(load_recipe("study-b", {"augment.mixup": 0.2}), {"augment": "mine.noise"}).rows)
    assert (values["optim.lr"], values["augment.mixup"], values["augment"]) == ("0.0001", "0.2", "mine.noise")
    remixed = load_recipe("short", ["augment.file=a.py", "augment.name=f", "augment.remix=2"])
    assert "augment.remix" not in dict(hyperparameters(remixed, {"augment": "mine.noise"}).rows)
    assert not {"augment.cutmix", "augment.flip", "optim.momentum", "name", "description"} & set(values)


@pytest.mark.parametrize("name", ["short", "quick-votes", "study-b", "teacher-resnet", "head", "tune"])
def test_bibliography_has_what_the_paragraph_cites(tmp_path, name):
    texts = paper_files(run_of(tmp_path / "r", name), COUNTS, 1, "mine")
    cited = {key for keys in re.findall(r"\\cite\{([^}]*)\}", texts["methods.tex"]) for key in keys.split(",")}
    assert cited == set(re.findall(r"^@\w+\{([\w-]+),", texts["references.bib"], re.MULTILINE))
    assert {"mien", "fer2013"} <= cited
    assert ("ferplus" in cited) == (name == "quick-votes")
    assert "VERSION" not in texts["references.bib"]
    assert r"\label{tab:mine-hyperparameters}" in texts["hyperparameters.tex"]


@pytest.mark.parametrize("is_training_data", [True, False])
def test_page_states_split_sizes_of_the_training_data_alone(tiny_run, is_training_data):
    predictions = read_predictions(tiny_run.predictions("validation"))
    context = ReportContext(
        predictions, evaluate_predictions(predictions, 10), class_counts={"train": [5] * 7}, run=tiny_run, parameters=9,
        is_training_data=is_training_data,
    )  # fmt: skip
    assert ("35 train" in report_page(context, "t", {}, ()).documents["methods.tex"]) == is_training_data


def test_comparison_table_has_keys_independent_of_names():
    # The third class has no samples.
    made = [make_predictions(np.arange(30) % 2, "abc", seed=seed) for seed in (0, 1)]
    pair = compare_predictions(*made, resamples=20, names=("one", "value"))
    line = json.loads(comparison_table(pair).to_json())[0]
    assert list(line) == ["metric", "first", "second", "difference", "p"]
    found = pair.accuracy
    assert (line["first"], line["second"], line["p"]) == (found.first, found.second, found.p_value)
    assert re.findall("one|value", comparison_table(pair).caption) == ["value", "one"], "the second minus the first"
    assert [column.head for column in comparison_table(pair).columns] == ["", "one", "value", "", ""]
    assert [column.head for column in comparison_subsets_table(pair).columns][2:] == [
        f"{metric}, {name}" for metric in ("accuracy", "macro-F1") for name in ("one", "value")
    ]


@pytest.mark.parametrize(("first", "second", "heads"), [
    ("runs/mine", "runs/quick", ("runs/mine", "runs/quick")),
    ("/a/long/way/down/from/runs/mine", "/a/long/way/down/from/runs/quick", ("mine", "quick")),
    ("/a/long/way/of/mine/scores.npz", "/a/long/way/of/quick/scores.npz", ("mine", "quick")),
    ("C:\\a\\long\\way\\down\\to\\mine", "C:\\a\\long\\way\\down\\to\\quick", ("mine", "quick")),
    ("a" * 12 + "b" * 30 + "c" * 11, "quick", ("a" * 12 + "…" + "c" * 11, "quick")),
    ("default", "default", ("1: default", "2: default")),
    ("x" * 50 + "1" + "y" * 50, "x" * 50 + "2" + "y" * 50, tuple(f"{n}: {'x' * 12}…{'y' * 11}" for n in (1, 2))),
])  # fmt: skip
def test_short_names_are_short_and_different(first, second, heads):
    assert short_names(first, second) == heads


def test_report_refuses_a_model_of_other_classes(tmp_path):
    with raises(DataError, "classes-differ", "happy, sad"):
        write_report(tmp_path / "out", make_predictions([0, 1, 0, 1], ("happy", "sad")), model="tiny")
    assert not (tmp_path / "out").exists()


NASTY = "<img src=//x.org onerror=y()>"


def test_page_escapes_names_and_loads_nothing(faces, tmp_path):
    chosen = faces.of_split("validation")
    names = (NASTY, *faces.classes[1:])
    measured = MeasuredSplit(make_predictions(chosen.labels, names, chosen.rows))
    page = evaluation_files.write_report(
        tmp_path, measured, measured.evaluate(), title=NASTY, metadata={"model": NASTY}
    ).page
    text = page.read_text(encoding="utf-8")
    read = HtmlPage(text)
    assert read.words.count(NASTY) > 3, "title, metadata and tables show it as it is"
    addresses = [value for name, value in read.attributes if name in {"src", "href", "xlink:href", "srcset", "action"}]
    assert addresses
    assert all(each.startswith(("#", "data:")) for each in addresses)
    assert not any(name.startswith("on") for name, _ in read.attributes)
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r'https?://[^\s"<]+', text)) <= names, "which no browser opens"
