"""The report of a model's predictions as a page, with all possible sections or only the summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from mien.page.blocks import Section
from mien.page.page import Page
from mien.page.sections import (
    answers_section,
    confusion_section,
    evaluation_lead,
    metrics_section,
    training_section,
    votes_section,
)
from mien.reporting.attention import attention_section
from mien.reporting.context import ReportContext, Skipped
from mien.reporting.errors import cell_faces, pairs_section, robustness_section, worst_section
from mien.reporting.in_words import next_section, summary_section
from mien.reporting.probabilities import calibration_section, curves_section

SectionOf: TypeAlias = Callable[[ReportContext], Section | Skipped | None]


def _metrics(context: ReportContext) -> Section:
    return metrics_section(context.evaluation)


def _answers(context: ReportContext) -> Section | None:
    answer = context.evaluation.answer
    # If the answer is the most probable class, the next section shows the same metrics.
    return answers_section(answer) if answer is not None and answer.output else None


def _confusion(context: ReportContext) -> Section:
    return confusion_section(context.evaluation, cell_faces(context))


def _training(context: ReportContext) -> Section:
    return training_section(context.history, context.best_epoch, context.class_counts, context.classes)


def _votes(context: ReportContext) -> Section | None:
    return None if context.evaluation.votes is None else votes_section(context.evaluation.votes)


SUMMARY: tuple[SectionOf, ...] = (
    summary_section,
    _answers,
    _metrics,
    _confusion,
    _votes,
    _training,
    next_section,
)
"""Sections of the page that training and evaluation write; they are computed quickly."""

SECTIONS: tuple[SectionOf, ...] = (
    summary_section,
    _answers,
    _metrics,
    _confusion,
    curves_section,
    _training,
    calibration_section,
    _votes,
    pairs_section,
    worst_section,
    robustness_section,
    attention_section,
    next_section,
)
"""Sections of the report in order. A section that does not apply is None; without its input, it is Skipped."""


def report_page(
    context: ReportContext, title: str, metadata: Mapping[str, str], sections: Sequence[SectionOf] = SECTIONS
) -> Page:
    """Build the page of a report. No file is written.

    Sections that need further inputs are listed as skipped at the top. ``metadata`` says how the page was made: model,
    data, versions, command, in the order shown. Raises MissingExtraError without matplotlib.
    """
    built = [section(context) for section in sections]
    return Page(
        title,
        evaluation_lead(context.evaluation),
        [each for each in built if isinstance(each, Section)],
        metadata,
        list(dict.fromkeys(each.reason for each in built if isinstance(each, Skipped))),
        classes=context.classes,
    )
