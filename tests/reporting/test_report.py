"""Oracles: pages of splits that lack something; a model that may not be asked."""

import re
from dataclasses import replace

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.base.labels import SCHEMES
from mien.evaluation.predictions import Predictions
from mien.inference.predictor import load
from mien.pipeline.measured_split import faces_of_predictions, match_faces
from support import make_predictions, page_codes, raises, write_report


def test_report_applies_the_label_scheme_of_the_predictions(faces, tmp_path):
    """Study B's two classes: neutral and disgust are dropped; the fingerprint is that of the data as it was read."""
    merged = faces.with_scheme(SCHEMES["binary"])
    part = merged.of_split("validation")
    predictions = make_predictions(part.labels, merged.classes, part.rows, fingerprint=faces.fingerprint)
    assert np.array_equal(match_faces(faces_of_predictions(faces, predictions), predictions).images, part.images)
    write_report(tmp_path, predictions, title="two classes", faces=faces)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "data:image/png" in page
    assert 'id="worst"' in page
    with raises(DataError, "data-differs", "sha256:"):
        write_report(tmp_path / "no", predictions, title="other data", faces=part)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    "labels", [[3], [3, 3, 3, 3], [0, 2, 3, 4, 5, 6] * 5], ids=["one row", "one class", "no disgust"]
)
def test_report_accepts_a_split_without_some_classes(labels, faces, tmp_path):
    written = write_report(tmp_path, make_predictions(labels, faces.classes), title="<lame>")
    page = written.page.read_text(encoding="utf-8")
    assert "&lt;lame&gt;" in page
    absent = [name for index, name in enumerate(faces.classes) if index not in labels]
    assert f": {', '.join(absent)}." in re.search("<header>(.*?)</header>", page, re.DOTALL)[1]
    assert ">nan<" not in page.lower()
    again = write_report(tmp_path / "again", make_predictions(labels, faces.classes), title="<lame>")
    assert again.page.read_bytes() == written.page.read_bytes()


def test_report_accepts_predictions_without_mistakes(faces, tmp_path):
    predictions = Predictions(np.arange(2), np.array([3, 4]), np.eye(7)[[3, 4]], faces.classes, "mine", "")
    page = write_report(tmp_path, predictions).page.read_text(encoding="utf-8")
    assert page_codes(page).count("no-mistakes") == 2, "pairs and worst mistakes"


def test_report_does_not_predict_faces_of_the_test_split(faces, tiny_run, tmp_path):
    """The model's answers to test faces under another name: it is shown none of them again."""
    model = load(tiny_run.path)
    part = faces.of_split("test")
    predictions = Predictions(part.rows, part.labels, model.probabilities(part.images), faces.classes, "mine", "")

    class Silent:
        classes, manifest = model.classes, model.manifest

        def probabilities(self, images, temperature=None):
            raise AssertionError("asked")

    page = write_report(tmp_path / "out", predictions, faces=faces, model=Silent()).page
    assert "new-predictions-of-test" in page_codes(page.read_text(encoding="utf-8"))


def test_report_states_why_sections_are_missing(faces, tiny_run, tmp_path, monkeypatch):
    model = load(tiny_run.path)
    part = faces.of_split("validation")
    predictions = Predictions(part.rows, part.labels, model.probabilities(part.images), faces.classes, "validation", "")

    def codes(name, given, **more):
        page = write_report(tmp_path / name, given, **more).page.read_text(encoding="utf-8")
        assert 'id="attention"' not in page
        (notices,) = re.findall('<section aria-labelledby="skipped">.*?</section>', page, re.DOTALL)
        return page_codes(notices)

    unmeasured = "robustness-not-measured"
    assert codes("neither", predictions) == [unmeasured, "new-predictions-without-data-or-model"]
    assert codes("no-data", predictions, model=model) == [unmeasured, "new-predictions-without-data"]
    assert codes("no-model", predictions, faces=faces) == [unmeasured, "new-predictions-without-model"]
    left_out = codes("left-out", predictions, faces=faces, model=model, explain=False)
    assert left_out == [unmeasured, "attention-not-wanted"]
    of_test = codes("test", replace(predictions, split="test"), model=model)
    assert of_test == ["robustness-of-test", "new-predictions-of-test"]


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
