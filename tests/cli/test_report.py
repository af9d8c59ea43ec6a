"""Oracles: the page as a parser reads it; the files beside it against metrics.json and the predictions."""

import csv
import json
import re
import shutil

from mien.base.model_file import read_manifest
from mien.evaluation.predictions import read_predictions
from support import page_codes, ran


def test_report_of_a_run_has_page_and_files(mien, tiny_run, face_parquet, tmp_path, charts):
    arguments = ("report", tiny_run.path, "--data", face_parquet, "--no-explain", "--json")
    answer = ran(mien(*arguments, "--out", tmp_path / "out"))
    content, page = json.loads(answer.out), (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert content["bytes"] == len(page.encode()) < 8_000_000
    for section in ("metrics", "calibration", "worst", "training"):
        assert f'id="{section}"' in page
    assert f"epoch kept ({read_manifest(tiny_run.model).epoch})" in page
    assert "data:image/png;base64," in page
    assert "<script src" not in page
    cells = set(re.findall(r'xlink:href="#(confusion-[^"]+)"', page))
    assert cells
    assert cells <= set(re.findall(r'id="([^"]+)"', page)), "a click on a cell leads to its faces"
    on_disk = {file for file in (tmp_path / "out").rglob("*.*") if file.name != "report.html"}
    assert {str(file) for file in on_disk} == set(content["files"])
    for stem in ("roc-classes", "reliability", "confusion", "accuracy-curve"):
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


def test_report_without_data_has_no_face(mien, tiny_run, tmp_path):
    folder = tmp_path / "evaluated"
    folder.mkdir()
    shutil.copy(tiny_run.predictions("validation"), folder)
    tables, own = folder / "report-validation" / "tables", folder / "report-validation" / "my.csv"
    stale = [tables / "mirror.csv", tables / "a b.csv"]
    tables.mkdir(parents=True)
    for file in (*stale, own, folder / "report-validation" / "report.html"):
        file.write_text("of earlier\n<!-- Written beside this page:\ntables/a b.csv\ntables/mirror.csv\n-->\n")
    answer = ran(mien("report", folder))
    page = (folder / "report-validation" / "report.html").read_text(encoding="utf-8")
    assert answer.out.strip() == str(folder / "report-validation" / "report.html")
    assert not any(file.exists() for file in stale)
    assert own.exists()
    assert "data:image" not in page
    unknown = ("history-unknown", "class-balance-unknown", "copies-unknown")
    assert set(page_codes(page)) >= {"robustness-not-measured", "new-predictions-skipped", *unknown}


def test_report_of_a_run_with_data_has_all_sections(mien, tiny_run, face_parquet, tmp_path, monkeypatch):
    """Maps and what mien robustness left in OUT are there without being asked for."""
    ran(mien("robustness", tiny_run.path, "--data", face_parquet, "--limit", 9, "--out", tmp_path / "out"))
    ran(mien("report", tiny_run.path, "--data", face_parquet, "--out", tmp_path / "out"))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for section in ("attention", "robustness"):
        assert f'id="{section}"' in page
    assert 'id="skipped"' not in page
    table = json.loads((tmp_path / "out" / "tables" / "robustness.json").read_text())
    assert all(round(45 * line["mean"], 6).is_integer() for line in table), "nine faces, five strengths"
    checks = json.loads((tmp_path / "out" / "tables" / "explanation-checks.json").read_text())
    assert ([line["method"] for line in checks][-1], len(checks)) == ("occlusion", 3)
    # A run folder with the name of a built-in model is that run.
    shutil.copytree(tiny_run.path, tmp_path / "default")
    monkeypatch.chdir(tmp_path)
    ran(mien("report", "default", "--out", "out"))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert str(tmp_path / "default") in page
    assert read_manifest(tiny_run.model).full_name in re.search("<h1>(.*?)</h1>", page)[1]
