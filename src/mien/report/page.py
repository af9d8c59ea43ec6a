"""The short page, ``report.html``, that training and evaluation write: figures, confusion, curves.

Everything is in the file: no script, no font, no picture from elsewhere. ``mien report`` writes the full one:
full_page.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from mien.errors import DataError
from mien.evaluation.results import Evaluation, Part
from mien.evaluation.threshold import ThresholdResult
from mien.files import write_text
from mien.report import wording
from mien.report.figures import class_bars, confusion_heat_map, training_curve
from mien.report.plots import threshold_plot
from mien.report.rendering import render


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    evaluation: Evaluation,
    history: Sequence[Mapping[str, Any]] | None,
    best_epoch: int | None,
    class_counts: Mapping[str, Sequence[int]],
    facts: Mapping[str, str],
    threshold: ThresholdResult | None = None,
    subsets: Sequence[Part] = (),
) -> None:
    """Write the report, whole or not at all; the same input gives the same bytes.

    Args:
        path: the HTML file.
        title: what is reported on, e.g. the run's name.
        evaluation: C classes.
        history: one mapping per epoch with the keys ``epoch``, ``learning_rate``, ``train_loss``,
            ``train_accuracy``, ``validation_loss``, ``validation_accuracy`` (accuracies 0..1; None or NaN where
            unknown); None or empty where the model's training is not known.
        best_epoch: the epoch whose weights were measured, marked on the curves; None where unknown.
        class_counts: for each split, the number of faces of each of the C classes; may be empty.
        facts: what else a reader needs, such as model, data, recipe, versions and command, in the order to show.
        threshold: between two classes, with its ROC curve; None where it is not shown.
        subsets: the score on all rows and without those that copies spoil; empty where that is not known.

    Raises:
        DataError: a split's counts are not one per class.
        MissingExtraError: matplotlib or jinja2 is not installed.
        RunError: the file system refused.
    """
    write_text(path, report_html(title, evaluation, history, best_epoch, class_counts, facts, threshold, subsets))


def report_html(
    title: str,
    evaluation: Evaluation,
    history: Sequence[Mapping[str, Any]] | None,
    best_epoch: int | None,
    class_counts: Mapping[str, Sequence[int]],
    facts: Mapping[str, str],
    threshold: ThresholdResult | None = None,
    subsets: Sequence[Part] = (),
) -> str:
    """Return the page that :func:`write_report` writes; arguments and errors are the same."""
    for split, counts in class_counts.items():
        if len(counts) != len(evaluation.classes):
            raise DataError(
                f"The report needs one number of faces for each of {len(evaluation.classes)} classes; "
                f"found {len(counts)} for the split '{split}'."
            )
    return render(
        "report.html.j2",
        title=title,
        evaluation=evaluation,
        history=history,
        class_counts=class_counts,
        facts=facts,
        wording=wording,
        best_epoch=best_epoch,
        absent=[figures.name for figures in evaluation.per_class if not figures.support],
        curves=[(what, training_curve(history, what, best_epoch)) for what in ("accuracy", "loss")] if history else [],
        confusion=confusion_heat_map(evaluation.confusion, evaluation.classes),
        threshold=threshold,
        subsets=subsets,
        roc=threshold_plot(threshold) if threshold is not None else None,
        bars=class_bars(class_counts, evaluation.classes) if class_counts else None,
    )
