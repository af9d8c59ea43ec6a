"""Oracles: mien.evaluation.paired_tests on the same predictions; the page as it stands on disk."""

import csv
import io
import json
import re
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

import mien as mien_api
from mien.base.labels import SCHEMES
from mien.base.run_folder import RunFolder
from mien.data.parquet import write_parquet
from mien.data.read import ReadOptions, load_dataset, read_data
from mien.evaluation.predictions import read_predictions, write_predictions
from mien.pipeline.training_run import run_recipe
from mien.reporting.comparison import compare_predictions
from mien.training.plan import plan_training
from support import FIELDS, make_predictions, note_codes, noted, page_codes, ran, refused


@pytest.fixture(scope="module")
def three(faces):
    """Three classifiers of the rendered validation faces, none of them trained."""
    chosen = faces.of_split("validation")
    of_data = (chosen.labels, faces.classes, chosen.rows, "validation", faces.fingerprint)
    return [make_predictions(*of_data, seed=seed, skill=skill) for seed, skill in enumerate((1.0, 2.0, 1.0))]


@pytest.fixture
def folders(three, tmp_path):
    for name, predictions in zip(("weak", "strong", "third"), three, strict=True):
        write_predictions(tmp_path / name / "predictions_validation.npz", predictions)
    return tmp_path / "weak", tmp_path / "strong", tmp_path / "third"


def test_compare_prints_a_table_and_writes_a_page(mien, three, folders, faces, face_parquet, tmp_path):
    weak, strong, _ = folders
    answer = ran(mien("compare", weak, strong, "--data", face_parquet, "--out", tmp_path / "out"))
    found = compare_predictions(three[0], three[1])
    assert re.search(rf"\bonly strong: {found.mcnemar.only_second}\b", answer.out)
    table = json.loads((tmp_path / "out" / "tables" / "comparison-differences.json").read_text())
    assert (len(table), table[0]["first"]) == (3 + len(faces.classes), found.accuracy.first)
    assert table[0]["difference"]["low"] == found.accuracy.difference.low
    assert re.search(rf"accuracy +{100 * found.accuracy.first:.1f}% ", answer.out), "differences are in points"
    assert re.search(rf"accuracy .*% +\+{100 * found.accuracy.difference.value:.1f} ", answer.out)
    further = mien("compare", weak, strong, "--metric", "kappa", "--json")
    expected = compare_predictions(three[0], three[1], metrics=["kappa"]).differences["kappa"].to_dict()
    assert json.loads(further.out)[0]["kappa"] == expected
    for line in table:
        assert line["metric"] in answer.out
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    # Both are in one folder, whose name is long.
    assert answer.out.splitlines()[1].split() == ["metric", "weak", "strong", "difference", "95%", "interval", "p"]
    assert re.findall(r"<th>([^<]*)</th>", page)[:2] == ["weak", "strong"]
    assert "data:image/png" in page
    assert "only" in page
    assert (tmp_path / "out" / "figures" / "comparison-recall.svg").is_file()
    rows = json.loads((tmp_path / "out" / "tables" / "comparison-samples.json").read_text())
    assert sorted(line["sample"] for line in rows) == sorted([*found.only_first.tolist(), *found.only_second.tolist()])


def test_compare_notes_temperatures_and_averaging(mien, three, folders, tmp_path):
    weak, strong, third = folders
    write_predictions(weak / "predictions_validation.npz", replace(three[0], temperature=1.0))
    same = mien("compare", weak, strong, "--json")
    assert ("note" in same.err, "notes" in json.loads(same.out)[0]) == (False, False)
    write_predictions(strong / "predictions_validation.npz", replace(three[1], temperature=0.75))
    write_predictions(third / "predictions_validation.npz", replace(three[2], note="the mean over 10 views"))
    told = mien("compare", weak, strong, third, "--out", tmp_path / "out", "--json")
    words = (
        f"{weak} at temperature 1 and {strong} at temperature 0.75: log loss depends on the temperature",
        f"the predictions of {third} are the mean over 10 views",
    )
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert note_codes(told.err) == ["temperatures-differ", "predictions-averaged"]
    for each, content in zip(words, json.loads(told.out), strict=True):
        noted(told, note_codes(told.err)[words.index(each)], each)
        assert content["notes"] == each
        assert each in page
    write_predictions(weak / "predictions_validation.npz", replace(three[0], temperature=0.5))
    assert "temperature" not in mien("compare", weak, strong).err, "both as the models answer in use"
    refused(mien("compare", strong / "predictions_validation.npz", weak), "predictions-missing", "--predictions")
    write_predictions(tmp_path / "fewer.npz", three[0].subset(np.arange(1, len(three[0]))))
    refused(mien("compare", weak, "--predictions", tmp_path / "fewer.npz", "--out", tmp_path / "b"), "data-differs")
    assert not (tmp_path / "b").exists()


def test_compare_takes_models_of_two_input_sizes(mien, tiny_run, face_folder, tmp_path, tiny_recipe):
    """Oracle: the comparison of what both wrote; the model sees its own size."""
    # A run that sees 40 px where the tiny one sees 48.
    form = tiny_recipe.input.model_copy(update={"size_px": 40, "crop_px": 36})
    recipe, run = tiny_recipe.model_copy(update={"epochs": 1, "input": form}), RunFolder(tmp_path / "run of 40 px")
    run_recipe(plan_training(recipe, read_data(face_folder, ReadOptions(size_px=40)).faces), run)
    small_run = run
    for name, run in (("usual", tiny_run), ("smaller", small_run)):
        ran(mien("evaluate", run.path, "--data", face_folder, "--out", tmp_path / name))
    folders = [tmp_path / "usual", tmp_path / "smaller"]
    predictions = [read_predictions(folder / "predictions_validation.npz") for folder in folders]
    assert predictions[0].data_fingerprint == predictions[1].data_fingerprint
    compared = ran(mien("compare", *folders, "--data", face_folder, "--out", tmp_path / "compared", "--json"))
    expected = compare_predictions(*predictions, names=tuple(map(str, folders))).to_dict()
    assert {name: json.loads(compared.out)[0][name] for name in expected} == expected
    assert mien_api.compare(*folders, face_folder).to_dict()["accuracy"] == expected["accuracy"]
    page = (tmp_path / "compared" / "report.html").read_text(encoding="utf-8")
    assert 'id="shows-faces"' in page
    assert "faces-without-data" not in page_codes(page)
    options = ("--data", face_folder, "--out", tmp_path / "page", "--no-explain")
    ran(mien("report", folders[1], "--model", small_run.path, *options))


def test_compare_measures_both_without_leaked_samples(mien, three, faces, tmp_path):
    """Of two validation rows a copy is in train; the list drops one of these, which the models may have learnt."""
    train, validation = (np.flatnonzero(faces.split == split)[:2] for split in ("train", "validation"))
    images, labels = np.asarray(faces.images).copy(), faces.labels.copy()
    images[train], labels[train[0]] = images[validation], labels[validation[0]]
    labels[train[1]] = (labels[validation[1]] + 1) % 7
    write_parquet(replace(faces, images=images, labels=labels), tmp_path / "leaky.parquet")
    clean = tmp_path / "clean.toml"
    clean.write_text(
        f'version = 1\ndata_fingerprint = "{load_dataset(tmp_path / "leaky.parquet").fingerprint}"\n'
        f'drop = [{{row = {faces.rows[train[0]]}, split = "train", label = "{faces.classes[labels[train[0]]]}", '
        'kind = "leak", reason = "r", source = "s"}]\n'
    )
    files = []
    for name, predictions in zip(("weak", "strong"), three[:2], strict=True):
        write_predictions(tmp_path / f"{name}.npz", replace(predictions, data_fingerprint=""))
        files += ["--predictions", tmp_path / f"{name}.npz"]
    given = ("--data", tmp_path / "leaky.parquet", "--clean", clean, "--out", tmp_path / "out")
    answer = ran(mien("compare", *files, *given, "--json"))
    subsets, count = json.loads(answer.out)[0]["subsets"], len(three[0])
    for side, predictions in zip(("first", "second"), three, strict=False):
        right = predictions.probabilities.argmax(axis=1) == predictions.labels
        kept = [np.ones(count, dtype=bool), np.arange(count) >= 2, np.arange(count) != 1]
        assert [part[side]["count"] for part in subsets] == [count, count - 2, count - 1]
        assert [part[side]["accuracy"]["value"] for part in subsets] == pytest.approx([right[k].mean() for k in kept])
    table = json.loads((tmp_path / "out" / "tables" / "comparison-without-copies.json").read_text())
    assert [line["samples"] for line in table] == [count, count - 2, count - 1]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "without leaked samples" in page
    assert sha256(clean.read_bytes()).hexdigest() in page
    assert "subsets" not in json.loads(mien("compare", *files, "--json").out)[0]
    # The page adds faces, and nothing to the metrics.
    assert mien("compare", *files, *given[:-2], "--json").out == answer.out
    for name, predictions, list_ in (("weak", three[0], None), ("strong", three[1], clean)):
        made_for = load_dataset(tmp_path / "leaky.parquet", clean=list_).fingerprint
        write_predictions(tmp_path / f"{name}.npz", replace(predictions, data_fingerprint=made_for))
    assert mien("compare", *files, *given[:-2], "--json").out == answer.out
    shown = mien("compare", *files, *given[:-2])
    assert (shown.code, len(re.findall(r"without leaked samples +\d", shown.out))) == (0, 2), shown


OWN = "positive=happy+surprise,negative=angry+fear+sad"


def test_merged_first_and_merged_after_meet_on_the_same_rows(mien, tmp_path, tiny_run, recipe_file, face_parquet):
    """The story of Study B's 6b and 7: the second model knows disgust as negative, the first has no such rows."""
    first = tmp_path / "first"
    ran(mien("train", recipe_file, "--data", face_parquet, "--out", first, "--classes", "binary-with-disgust"))
    assert 'classes = "binary-with-disgust"' in (first / "recipe.toml").read_text()
    words = ("--classes", "binary", "--out", tmp_path / "after")
    after = ran(mien("evaluate", tiny_run.path, "--data", face_parquet, *words))
    noted(after, "classes-merged", "'binary'")
    merged = read_predictions(tmp_path / "after" / "predictions_validation.npz")
    plain = read_predictions(tiny_run.predictions("validation"))
    assert len(merged) == int(np.isin(plain.labels, [0, 2, 3, 4, 5]).sum())
    expected = SCHEMES["binary"].merge_probabilities(plain.probabilities, plain.classes)
    assert merged.probabilities == pytest.approx(expected[np.isin(plain.sample_ids, merged.sample_ids)], abs=1e-5)
    folders = tmp_path / "after", first
    refused(mien("compare", *folders), "data-differs", "--shared-only")
    compared = ran(mien("compare", *folders, "--shared-only", "--json"))
    assert json.loads(compared.out)[0]["samples"] == len(merged)
    gone = int((plain.labels == 1).sum())
    noted(compared, "samples-excluded", f"0 of {len(merged)}", folders[0], f"{gone} of {len(merged) + gone}", first)
    ran(mien("compare", *folders, "--shared-only", "--data", face_parquet, "--out", tmp_path / "page"))
    text = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    (shared,) = re.findall(r'<tr><th scope="row">samples</th><td>(.*?)</td></tr>', text)
    for value in (f"0 of {len(merged)}", f"{gone} of {len(merged) + gone}"):
        assert value in shared


def test_predict_merges(mien, tiny_run, face_folder):
    arguments = ("predict", "--model", tiny_run.path, "--crops", face_folder / "test" / "happy", "--classes", OWN)
    answer = mien(*arguments, "--csv")
    noted(answer, "classes-left-out", "disgust, neutral;")
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert set(rows[0]) == {"source", *FIELDS, "positive", "negative"}


def test_train_rejects_a_scheme_that_empties_a_split(mien, tmp_path, recipe_file, faces):
    kept = (faces.split != "validation") | np.isin(faces.labels, [1, 6])
    write_parquet(faces.subset(kept), tmp_path / "faces.parquet")
    arguments = ("train", recipe_file, "--data", tmp_path / "faces.parquet", "--out", tmp_path / "out")
    refused(mien(*arguments, "--classes", "five"), "label-scheme", "'five'")
    assert not (tmp_path / "out").exists()
