"""Oracle: the page as a parser reads it: what it says, that all tags close, that it loads nothing."""

from dataclasses import replace

import numpy as np
import pytest

from mien.base.errors import Notice
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate, SubsetMetrics
from mien.page.page import CaptionedChart, Table
from mien.page.wording import shown
from mien.reporting.report_page import SUMMARY, next_section, report_page, summary_section, training_section
from mien.reporting.sections import ReportContext
from support import HtmlPage, block_codes, page_codes

HISTORY = [
    {"epoch": epoch, "seconds": 1.0, "learning_rate": 0.1, "train_loss": 1.0, "train_accuracy": 0.5,
     "validation_loss": 1.0, "validation_accuracy": 0.5 + 0.1 * (epoch == 2)}
    for epoch in (1, 2, 3)
]  # fmt: skip


def evaluation_of(classes=("sad", "happy"), rows: int = 1234, present: int | None = None):
    labels = np.arange(rows) % (present or len(classes))
    probabilities = np.full((rows, len(classes)), 0.2 / (len(classes) - 1))
    probabilities[np.arange(rows), labels] = 0.8
    made = Predictions(np.arange(rows), labels, probabilities, tuple(classes), "test", "")
    return evaluate_predictions(made, resamples=10)


def written(tmp_path, **changes) -> str:
    content = {
        "title": "A small network", "evaluation": evaluation_of(), "history": HISTORY, "best_epoch": 2,
        "class_counts": {"train": [30, 40], "test": [617, 617]},
        "metadata": {"Model": "model.onnx", "Data": "sha256:" + "ab" * 32},
    }  # fmt: skip
    content |= changes
    evaluation = content.pop("evaluation")
    classes = evaluation.classes
    predictions = Predictions(np.arange(1), np.zeros(1, dtype=int), np.eye(len(classes))[:1], classes, "test", "")
    title, metadata = content.pop("title"), content.pop("metadata")
    report_page(ReportContext(predictions, evaluation, **content), title, metadata, SUMMARY).write(tmp_path)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def codes(text: str) -> list[str]:
    """Of what is unknown; the page is without data."""
    return [each for each in page_codes(text) if each not in {"copies-unknown"}]


def test_page_states_split_samples_and_metrics_and_has_unique_ids(tmp_path, charts):
    page = HtmlPage(written(tmp_path))
    opening = page.words[: page.words.index("Accuracy")]
    for words in ("test", "1,234", "2 classes"):
        assert words in opening
    shown = ("100.0%", "99.7–100.0%", "Macro-F1", "macro average", "617", "epoch kept (2)", "2 of 3", "model.onnx")
    for words in shown:
        assert words in page.words
    assert ("id", "limits") in page.attributes
    assert ("id", "of-this-data") in page.attributes
    assert ("id", "shows-faces") not in page.attributes
    assert page.tags.count("svg") == 5
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value for name, value in page.attributes if name == "aria-labelledby"} <= set(ids)


def test_history_table_keeps_epochs_and_small_rates():
    """Oracle: the numbers by hand, of which a decimal with three places would be 1.000 and 0.000."""
    predictions = Predictions(np.arange(2), np.arange(2), np.eye(2), ("a", "b"), "validation", "")
    history = [{"epoch": 1, "learning_rate": 1.5e-5}]
    context = ReportContext(predictions, evaluate_predictions(predictions, 10), history=history, best_epoch=1)
    (table,) = training_section(context).parts(Table)
    assert not training_section(context).parts(CaptionedChart), "one epoch is no curve"
    texts = [shown(value, column.format) for column, value in zip(table.columns, table.rows[0], strict=True)]
    assert texts == ["1", "1.5e-05"]


def test_page_states_what_is_unknown(tmp_path):
    assert codes(written(tmp_path)) == []
    assert ("id", "metadata") in HtmlPage(written(tmp_path)).attributes
    text = written(tmp_path, history=(), class_counts={}, metadata={})
    page = HtmlPage(text)
    assert codes(text) == ["history-unknown", "class-balance-unknown"]
    assert ("id", "metadata") not in page.attributes
    assert (page.tags.count("svg"), codes(written(tmp_path, history=[]))) == (1, ["history-unknown"])


CLASSES = ("angry", "happy", "sad")


def context_of(labels, read, sure=0.8):
    """Samples of these classes, read as those, with so much confidence."""
    labels, read = np.array(labels), np.array(read)
    probabilities = np.full((len(labels), 3), (1 - sure) / 2)
    probabilities[np.arange(len(labels)), read] = sure
    predictions = Predictions(np.arange(len(labels)), labels, probabilities, CLASSES, "validation", "")
    return ReportContext(predictions, evaluate_predictions(predictions, 50))


def words(section):
    return [block.words for block in section.blocks]


LABELS = [0] * 40 + [1] * 40 + [2] * 40
READ = [0] * 20 + [2] * 20 + [1] * 40 + [2] * 36 + [0] * 4


def test_summary_states_measured_values():
    """Recalls of 50, 100 and 90%; 20 of 40 angry ones read as sad; 96 of 120 right at a confidence of 80%."""
    found = words(summary_section(context_of(LABELS, READ)))
    assert len(found) == 5
    expected = (
        ("happy", "100.0%", "angry", "50.0%"), ("angry", "sad", "20 of 40", "50.0%"), ("80.0%",), (), ("33.3%",),
    )  # fmt: skip
    for sentence, values in zip(found, expected, strict=True):
        assert all(value in sentence for value in values), sentence
    assert block_codes(summary_section(context_of(LABELS, READ))) == ["copies-unknown"]
    good, bad = (" ".join(words(next_section(context_of(LABELS, read)))) for read in (LABELS, [1] * 120))
    for said in ("recalibrate_bn", "angry, sad"):
        assert said in bad
        assert said not in good
    assert "mien report" in good
    assert not any(isinstance(each, Notice) for each in words(next_section(context_of(LABELS, READ))))
    context, one = context_of(LABELS, READ), Estimate(0.8, 0.7, 0.9)
    subsets = (SubsetMetrics("all samples", 120, one, one), SubsetMetrics("without leaked samples", 113, one, one))
    context = replace(context, evaluation=replace(context.evaluation, subsets=subsets))
    assert any(sentence.startswith("7 samples of 120") for sentence in words(summary_section(context)))
    assert any("mien audit" in each for each in words(next_section(context)))
    trained = replace(context, evaluation=replace(context.evaluation, trained_on=7))  # no audit of the data finds these
    for one in (trained, context_of(LABELS, READ)):
        assert "mien audit" not in " ".join(words(next_section(one)))


@pytest.mark.parametrize(("labels", "read", "sure", "codes"), [
    (LABELS, [1] * 120, 0.4, ["overconfident", "copies-unknown", "one-answer"]),
    (LABELS, LABELS, 0.6, ["underconfident", "copies-unknown"]),
    (LABELS, LABELS[40:] + LABELS[:40], 0.4, ["overconfident", "copies-unknown", "no-better-than-one-class"]),
    ([1] * 9, [1] * 9, 0.99, ["copies-unknown"]),
], ids=["collapsed", "all right", "all wrong", "one class"])  # fmt: skip
def test_summary_has_a_code_for_each_problem(labels, read, sure, codes):
    assert block_codes(summary_section(context_of(labels, read, sure))) == codes
