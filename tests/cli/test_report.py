"""Oracles: the page as a parser reads it; the files beside it against metrics.json and the predictions."""

import csv
import json
import re
import shutil

import numpy as np
import pytest

from mien.base.model_file import read_manifest
from mien.data.parquet import write_parquet
from mien.data.read import read_data
from mien.evaluation.predictions import read_predictions
from support import note_codes, page_codes, refused


@pytest.fixture(scope="module")
def parquet(tmp_path_factory, faces):
    path = tmp_path_factory.mktemp("data") / "faces.parquet"
    write_parquet(faces, path)
    return path


def written_scores(path, source, **changes):
    with np.load(source) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(path, **{**arrays, **changes})
    return path


def kept_epoch(page):
    """As the legend of the training curves has it; None without curves."""
    found = re.search(r"epoch kept \((\d+)\)", page)
    return found and int(found[1])


def test_a_run_with_its_data_becomes_a_page_and_its_files(mien, tiny_run, parquet, tmp_path):
    arguments = ("report", tiny_run.path, "--data", parquet, "--no-explain", "--no-features", "--json")
    answer = mien(*arguments, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert content["bytes"] == len(page.encode()) < 8_000_000
    for section in ("metrics", "calibration", "worst", "conditions", "training"):
        assert f'id="{section}"' in page
    assert kept_epoch(page) == read_manifest(tiny_run.model).epoch
    assert "data:image/png;base64," in page
    assert "<script src" not in page
    on_disk = {file for folder in ("figures", "tables") for file in (tmp_path / "out" / folder).iterdir()}
    assert {str(file) for file in on_disk} == set(content["files"])
    for stem in ("roc-classes", "reliability", "confusion", "dendrogram", "accuracy-curve"):
        assert (tmp_path / "out" / "figures" / f"{stem}.svg").is_file()
        assert (tmp_path / "out" / "figures" / f"{stem}.png").is_file()
    with (tmp_path / "out" / "tables" / "classification-report.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    measured = json.loads((tiny_run.path / "metrics.json").read_text())["per_class"]
    assert [line["class"] for line in lines[:-2]] == [each["name"] for each in measured]
    assert [float(line["recall"]) for line in lines[:-2]] == [each["recall"] for each in measured]
    table = json.loads((tmp_path / "out" / "tables" / "confused-pairs.json").read_text())
    predictions = read_predictions(tiny_run.predictions("validation"))
    assert sum(line["samples"] for line in table) == (predictions.probabilities.argmax(1) != predictions.labels).sum()


def test_a_run_brings_the_data_that_it_was_trained_on(mien, tiny_run, parquet, tmp_path):
    """Oracle: the faces on the page. Without the data, which may be gone, there are none."""
    run = tmp_path / "run"
    shutil.copytree(tiny_run.path, run)
    environment = json.loads((run / "environment.json").read_text())
    for data, has_faces in ((str(parquet), True), (str(tmp_path / "gone.csv"), False)):
        (run / "environment.json").write_text(json.dumps({**environment, "data": data}))
        answer = mien("report", run, "--no-explain", "--no-features", "--out", tmp_path / f"out{has_faces}")
        assert answer.code == 0, answer.err
        page = (tmp_path / f"out{has_faces}" / "report.html").read_text(encoding="utf-8")
        assert ("data:image/png;base64," in page) is has_faces
        assert ("[recorded-data-used]" in answer.err) is has_faces


def test_without_data_there_is_no_face_and_the_page_says_so(mien, tiny_run, tmp_path):
    folder = tmp_path / "evaluated"
    folder.mkdir()
    shutil.copy(tiny_run.predictions("validation"), folder)
    tables, own = folder / "report-validation" / "tables", folder / "report-validation" / "my.csv"
    stale = [tables / "mirror.csv", tables / "a b.csv"]
    tables.mkdir(parents=True)
    for file in (*stale, own, folder / "report-validation" / "report.html"):
        file.write_text(
            "of an earlier report\n<!-- Written beside this page:\ntables/a b.csv\ntables/mirror.csv\n-->\n"
        )
    answer = mien("report", folder)
    assert answer.code == 0, answer.err
    page = (folder / "report-validation" / "report.html").read_text(encoding="utf-8")
    assert answer.out.strip() == str(folder / "report-validation" / "report.html")
    assert not any(file.exists() for file in stale)
    assert own.exists()
    assert "data:image" not in page
    assert set(page_codes(page)) >= {
        *("conditions-without-data", "robustness-not-measured", "new-predictions-without-data-or-model"),
        *("history-unknown", "class-balance-unknown", "copies-unknown"),
    }


def test_the_predictions_file_says_which_model_and_data_made_it(mien, tiny_run, parquet, tmp_path):
    """Oracle: the same report with both given. Then the data is gone, and then it is other data."""
    data = shutil.copy(parquet, tmp_path / "faces.parquet")
    made = mien("evaluate", tiny_run.path, "--data", data, "--out", tmp_path / "made", "--quiet")
    assert made.code == 0, made.err
    read = read_predictions(tmp_path / "made" / "predictions_validation.npz")
    assert read.models == (str(tiny_run.path.resolve()),)
    assert read.data_options == ("--data", str(data.resolve()))
    short = ("--no-explain", "--no-features")

    def page(name, *options):
        answer = mien("report", tmp_path / "made", *short, "--out", tmp_path / name, *options)
        assert answer.code == 0, answer.err
        return (tmp_path / name / "report.html").read_text(encoding="utf-8"), answer.err

    found, told = page("found")
    given, _ = page("given", "--data", data, "--model", tiny_run.path)
    assert "recorded-data-used" in told
    assert found.count("data:image") == given.count("data:image") > 0
    assert found.count("<section") == given.count("<section")
    assert str(tiny_run.path) in found
    write_parquet(read_data(data).faces.of_split("validation"), data, overwrite=True)
    other, told = page("other")
    assert "recorded-unusable" in note_codes(told)
    assert "data:image" not in other
    assert str(tiny_run.path) in other
    data.unlink()
    without, told = page("without")
    assert "recorded-data-missing" in note_codes(told)
    assert "data:image" not in without
    assert kept_epoch(without) == read_manifest(tiny_run.model).epoch, "the model is still there, and with it its run"


def test_a_run_and_its_data_give_the_whole_report_by_themselves(mien, tiny_run, parquet, tmp_path):
    """Maps, features and what mien robustness left in OUT are there without being asked for."""
    measured = mien("robustness", tiny_run.path, "--data", parquet, "--limit", 9, "--out", tmp_path / "out")
    assert measured.code == 0, measured.err
    answer = mien("report", tiny_run.path, "--data", parquet, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for section in ("attention", "features", "robustness"):
        assert f'id="{section}"' in page
    assert 'class="notices"' not in page
    table = json.loads((tmp_path / "out" / "tables" / "robustness.json").read_text())
    assert all(round(45 * line["mean"], 6).is_integer() for line in table), "nine faces, five strengths"
    checks = json.loads((tmp_path / "out" / "tables" / "explanation-checks.json").read_text())
    assert [line["method"] for line in checks][-1] == "occlusion"
    assert len(checks) == 5
    mapped = json.loads((tmp_path / "out" / "tables" / "feature-map.json").read_text())
    assert len(mapped) == len(read_predictions(tiny_run.predictions("validation")))
    assert json.loads((tmp_path / "out" / "tables" / "nearest-training-faces.json").read_text())


def test_bad_scores_are_one_line_and_leave_nothing(mien, tiny_run, parquet, tmp_path):
    source = tiny_run.predictions("validation")
    predictions = read_predictions(source)

    def attempt(**changes):
        file = written_scores(tmp_path / "bad.npz", source, data_fingerprint=np.array(""), **changes)
        return mien("report", "--predictions", file, "--data", parquet, "--out", tmp_path / "out")

    holed = predictions.probabilities.copy()
    holed[3, 0] = np.nan
    refused(attempt(probabilities=holed), "probability-not-finite")
    refused(attempt(classes=np.array(list("abcdefg"))), "classes-differ", "--map")
    refused(attempt(labels=(predictions.labels + 1) % 7), "labels-differ")
    refused(attempt(split=np.array("mine"), sample_ids=predictions.sample_ids + 10_000), "samples-differ")
    foreign = written_scores(tmp_path / "f.npz", source, data_fingerprint=np.array("sha256:0"))
    of_foreign = mien("report", "--predictions", foreign, "--data", parquet, "--out", tmp_path / "out")
    refused(of_foreign, "data-differs", "sha256:0")
    refused(mien("report", "--out", tmp_path / "out"), "options")
    refused(mien("report", tiny_run.path, "--out", tiny_run.path), "out-is-run")
    refused(mien("report", "--predictions", source, "--split", "test", "--out", tmp_path / "out"), "options", "--split")
    refused(mien("report", "--predictions", source, "--map", "a=b", "--out", tmp_path / "out"), "options", "--map")
    refused(mien("report", tmp_path / "none", "--out", tmp_path / "out"), "predictions-missing")
    missing = mien("report", tiny_run.path, "--split", "test", "--out", tmp_path / "out")
    refused(missing, "predictions-missing", "predictions_test.npz", "--data PATH", "--split", "--out DIR")
    assert not (tmp_path / "out").exists()
