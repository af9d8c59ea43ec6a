"""Oracle: the page as a parser reads it: what it says, that all tags close, that it loads nothing."""

import numpy as np

from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.reporting.context import ReportContext
from mien.reporting.report_page import SUMMARY, report_page, training_section
from support import HtmlPage, page_codes

HISTORY = [
    {"epoch": epoch, "seconds": 1.0, "learning_rate": 0.1, "train_loss": 1.0, "train_accuracy": 0.5,
     "validation_loss": 1.0, "validation_accuracy": 0.5 + 0.1 * (epoch == 2)}
    for epoch in (1, 2, 3)
]  # fmt: skip


def evaluation_of(classes=("sad", "happy"), rows: int = 1234, present: int | None = None):
    labels = np.arange(rows) % (present or len(classes))
    probabilities = np.full((rows, len(classes)), 0.2 / (len(classes) - 1))
    probabilities[np.arange(rows), labels] = 0.8
    return evaluate_predictions(
        Predictions(np.arange(rows), labels, probabilities, tuple(classes), "test", ""), resamples=10
    )


def written(tmp_path, **changes) -> str:
    content = {
        "title": "A small network",
        "evaluation": evaluation_of(),
        "history": HISTORY,
        "best_epoch": 2,
        "class_counts": {"train": [30, 40], "test": [617, 617]},
        "metadata": {"Model": "model.onnx", "Data": "sha256:" + "ab" * 32},
    }
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


def test_page_states_split_samples_and_metrics(tmp_path, charts):
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


def test_page_has_unique_ids(tmp_path, charts):
    page = HtmlPage(written(tmp_path))
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value for name, value in page.attributes if name == "aria-labelledby"} <= set(ids)


def test_history_table_keeps_epochs_and_small_rates():
    """Oracle: the numbers by hand, of which a decimal with three places would be 1.000 and 0.000."""
    predictions = Predictions(np.arange(2), np.arange(2), np.eye(2), ("a", "b"), "validation", "")
    history = [{"epoch": 1, "learning_rate": 1.5e-5}]
    context = ReportContext(predictions, evaluate_predictions(predictions, 10), history=history, best_epoch=1)
    (table,) = training_section(context).tables()
    assert [column.show(value) for column, value in zip(table.columns, table.rows[0], strict=True)] == ["1", "1.5e-05"]


def test_page_states_what_is_unknown(tmp_path):
    assert codes(written(tmp_path)) == []
    assert ("id", "metadata") in HtmlPage(written(tmp_path)).attributes
    text = written(tmp_path, history=(), class_counts={}, metadata={})
    page = HtmlPage(text)
    assert codes(text) == ["history-unknown", "class-balance-unknown"]
    assert ("id", "metadata") not in page.attributes
    assert page.tags.count("svg") == 1
    assert codes(written(tmp_path, history=[])) == ["history-unknown"]
