"""Oracles: counts by hand, and the codes of what is wrong."""

from dataclasses import replace

import numpy as np
import pytest

from mien.base.errors import Notice
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate, SubsetMetrics
from mien.reporting.context import ReportContext
from mien.reporting.in_words import next_section, summary_section
from support import block_codes

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


@pytest.mark.parametrize(
    ("labels", "read", "sure", "codes"),
    [
        (LABELS, [1] * 120, 0.4, ["overconfident", "copies-unknown", "one-answer"]),
        (LABELS, LABELS, 0.6, ["underconfident", "copies-unknown"]),
        (LABELS, LABELS[40:] + LABELS[:40], 0.4, ["overconfident", "copies-unknown", "no-better-than-one-class"]),
        ([1] * 9, [1] * 9, 0.99, ["copies-unknown"]),
    ],
    ids=["collapsed", "all right", "all wrong", "one class"],
)
def test_summary_has_a_code_for_each_problem(labels, read, sure, codes):
    assert block_codes(summary_section(context_of(labels, read, sure))) == codes


def test_summary_counts_leaked_samples_and_advises_an_audit():
    context, one = context_of(LABELS, READ), Estimate(0.8, 0.7, 0.9)
    subsets = (SubsetMetrics("all samples", 120, one, one), SubsetMetrics("without leaked samples", 113, one, one))
    context = replace(context, evaluation=replace(context.evaluation, subsets=subsets))
    assert any(sentence.startswith("7 samples of 120") for sentence in words(summary_section(context)))
    assert any("mien audit" in each for each in words(next_section(context)))
    trained = replace(context, evaluation=replace(context.evaluation, trained_on=7))  # no audit of the data finds these
    assert not any(
        "mien audit" in each for one in (trained, context_of(LABELS, READ)) for each in words(next_section(one))
    )


def test_advice_depends_on_the_metrics():
    good, bad = (" ".join(words(next_section(context_of(LABELS, read)))) for read in (LABELS, [1] * 120))
    for said in ("recalibrate_bn", "angry, sad"):
        assert said in bad
        assert said not in good
    assert "mien report" in good
    assert not any(isinstance(each, Notice) for each in words(next_section(context_of(LABELS, READ))))
