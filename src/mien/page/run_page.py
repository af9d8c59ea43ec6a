"""The short page of a run, ``report.html``, that training and evaluation write: three sections of the full report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mien.evaluation.results import Evaluation
from mien.page.page import Page
from mien.page.sections import (
    confusion_section,
    evaluation_lead,
    metrics_section,
    threshold_section,
    training_section,
)
from mien.page.votes import votes_section


def run_page(
    title: str,
    evaluation: Evaluation,
    *,
    history: Sequence[Mapping[str, Any]] = (),
    best_epoch: int | None = None,
    class_counts: Mapping[str, Sequence[int]] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Page:
    """Build the page; nothing is written yet.

    Args:
        title: such as the name of the run.
        evaluation: metrics of C classes.
        history: one mapping for each epoch with the keys ``epoch``, ``learning_rate``, ``train_loss``,
            ``train_accuracy``, ``validation_loss``, ``validation_accuracy`` (accuracies 0..1; None or NaN if unknown);
            empty if the training is unknown.
        best_epoch: the epoch whose weights were kept; None if unknown.
        class_counts: for each split, C counts of faces.
        metadata: such as model, data, recipe, versions and command, in this order on the page.

    Raises:
        DataError: a split does not have C counts.
        MissingExtraError: matplotlib is not installed.
    """
    sections = [metrics_section(evaluation), confusion_section(evaluation)]
    if evaluation.threshold is not None:
        sections.append(threshold_section(evaluation.threshold))
    if evaluation.votes is not None:
        sections.append(votes_section(evaluation.votes))
    sections.append(training_section(history, best_epoch, class_counts or {}, evaluation.classes))
    return Page(title, evaluation_lead(evaluation), sections, metadata or {}, classes=evaluation.classes)
