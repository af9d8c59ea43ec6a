"""Oracles: the page as a parser reads it; the files beside it against metrics.json and the scores."""

import csv
import json
import shutil

import numpy as np
import pytest

from mien.evaluation.scores import read_scores


def one_line(answer, *parts):
    assert answer.code == 2, answer
    assert answer.out == ""
    assert len(answer.err.splitlines()) == 1, answer.err
    for part in parts:
        assert part in answer.err


@pytest.fixture(scope="module")
def parquet(tmp_path_factory, faces):
    from mien.data.parquet import write_parquet

    path = tmp_path_factory.mktemp("data") / "faces.parquet"
    write_parquet(faces, path)
    return path


def written_scores(path, source, **changes):
    with np.load(source) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(path, **{**arrays, **changes})
    return path


def test_a_run_with_its_data_becomes_a_page_and_its_files(mien, tiny_run, parquet, tmp_path):
    arguments = ("report", tiny_run.path, "--data", parquet, "--no-explain", "--no-features", "--json")
    answer = mien(*arguments, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert content["bytes"] == len(page.encode()) < 8_000_000
    for words in ("In short", "How sure is it?", "The worst mistakes", "On which faces does it fail?", "best epoch"):
        assert words in page
    assert "data:image/png;base64," in page
    assert "<script" not in page
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
    scores = read_scores(tiny_run.scores("validation"))
    assert sum(line["rows"] for line in table) == (scores.probabilities.argmax(1) != scores.labels).sum()


def test_without_data_there_is_no_face_and_the_page_says_so(mien, tiny_run, tmp_path):
    folder = tmp_path / "evaluated"
    folder.mkdir()
    shutil.copy(tiny_run.scores("validation"), folder)
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
    assert "No data was given" in page
    assert "No data and no model was given" in page
    assert "There is no training history" in page


def test_a_model_file_finds_the_run_around_it(tiny_run, tmp_path):
    from mien.inference.locate import find_run_of_model

    assert find_run_of_model(tiny_run.model) == find_run_of_model(tiny_run.path) == tiny_run
    lone = shutil.copy(tiny_run.model, tmp_path)
    assert find_run_of_model(lone) is None


def test_a_run_and_its_data_give_the_whole_report_by_themselves(mien, tiny_run, parquet, tmp_path):
    """Maps, features and what mien robustness left in OUT are there without being asked for."""
    measured = mien("robustness", "--model", tiny_run.path, "--data", parquet, "--limit", 9, "--out", tmp_path / "out")
    assert measured.code == 0, measured.err
    answer = mien("report", tiny_run.path, "--data", parquet, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "What does it look at?" in page
    assert "How does it see the faces?" in page
    assert "How fragile is it?" in page
    assert 'class="left-out"' not in page
    table = json.loads((tmp_path / "out" / "tables" / "robustness.json").read_text())
    assert all(round(45 * line["mean"], 6).is_integer() for line in table), "nine faces, five strengths"
    checks = json.loads((tmp_path / "out" / "tables" / "explanation-checks.json").read_text())
    assert [line["method"] for line in checks][-1] == "occlusion"
    assert len(checks) == 5
    mapped = json.loads((tmp_path / "out" / "tables" / "feature-map.json").read_text())
    assert len(mapped) == len(read_scores(tiny_run.scores("validation")))
    near = json.loads((tmp_path / "out" / "tables" / "nearest-training-faces.json").read_text())
    assert {line["whose"] for line in near} <= {"label", "network"}


def test_scores_of_anybody_with_the_data(mien, tiny_run, parquet, tmp_path):
    file = written_scores(tmp_path / "other.npz", tiny_run.scores("validation"), data_fingerprint=np.array(""))
    answer = mien("report", "--scores", file, "--data", parquet, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "data:image/png" in page
    assert "other: validation" in page
    assert not (tmp_path / "out" / "tables" / "mirror.csv").exists()


def test_bad_scores_are_one_line_and_leave_nothing(mien, tiny_run, parquet, tmp_path):
    source = tiny_run.scores("validation")
    scores = read_scores(source)

    def attempt(**changes):
        file = written_scores(tmp_path / "bad.npz", source, data_fingerprint=np.array(""), **changes)
        return mien("report", "--scores", file, "--data", parquet, "--out", tmp_path / "out")

    holed = scores.probabilities.copy()
    holed[3, 0] = np.nan
    one_line(attempt(probabilities=holed), "must be numbers", "NaN")
    one_line(attempt(probabilities=scores.probabilities * 0.9), "must sum to 1")
    one_line(attempt(classes=np.array(list("abcdefg"))), "classes a, b", "--map")
    one_line(attempt(rows=scores.rows + 1), "same rows", "such as row")
    one_line(attempt(labels=(scores.labels + 1) % 7), "same true classes")
    one_line(attempt(split=np.array("mine"), rows=scores.rows + 10_000), "same rows")
    foreign = written_scores(tmp_path / "f.npz", source, data_fingerprint=np.array("sha256:0"))
    one_line(mien("report", "--scores", foreign, "--data", parquet, "--out", tmp_path / "out"), "are of data sha256:0")
    one_line(mien("report", "--out", tmp_path / "out"), "one of the two")
    one_line(mien("report", tiny_run.path, "--out", tiny_run.path), "is a run folder")
    one_line(mien("report", "--scores", source, "--split", "test", "--out", tmp_path / "out"), "--split chooses")
    one_line(mien("report", "--scores", source, "--map", "a=b", "--out", tmp_path / "out"), "--map is about data")
    one_line(mien("report", "--scores", source, "--skip-bad", "--out", tmp_path / "out"), "--skip-bad is about data")
    one_line(mien("report", tmp_path / "none", "--out", tmp_path / "out"), "is not a folder")
    missing = mien("report", tiny_run.path, "--split", "test", "--out", tmp_path / "out")
    one_line(missing, "scores_test.npz", "--data PATH --split test --out DIR")
    assert not (tmp_path / "out").exists()
