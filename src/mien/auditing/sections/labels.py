"""Doubtful labels, and the accuracy ceiling set by the annotators' disagreement."""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.auditing.findings import AuditFindings, LabelReview
from mien.page.blocks import Block, Column, FaceRow, FaceTile, Table, Text
from mien.page.rendering import data_address
from mien.page.wording import percent

SHOWN = 48


def values(findings: AuditFindings) -> dict[str, Any]:
    """Return how many labels were reviewed and doubted; None without predictions."""
    review = findings.label_review
    if review is None:
        return {"labels": None}
    issues = review.issues
    return {
        "labels": {
            "samples": len(review.predictions),
            "accuracy": review.predictions.accuracy,
            "split": review.predictions.split,
            "evidence": int(issues.evidence.sum()),
            "flagged": int(issues.flagged.sum()),
            "sure": int(issues.sure.sum()),
            "flagged_confirmed": review.flagged_confirmed,
        }
    }


def table(findings: AuditFindings) -> Table:
    """Return a table of doubtful labels, and how many of them most voters contradict."""
    review = findings.label_review
    columns = (Column("labels", "text"), Column("samples", "count"), Column("most voters contradict", "percent"))
    rows: list[tuple[Any, ...]] = []
    if review is not None:
        issues = review.issues
        rows = [
            ("reviewed", len(review.predictions), None),
            ("label predicted by the model", round(review.predictions.accuracy * len(review.predictions)), None),
            ("flagged by confident learning", int(issues.flagged.sum()), review.flagged_confirmed),
            ("of these, model and neighbours agree on one other class", int(issues.sure.sum()), None),
        ]
    return Table("doubtful-labels-counts", columns, rows)


def blocks(findings: AuditFindings) -> list[Block]:
    """Return the most doubtful labels with their faces."""
    review = findings.label_review
    if review is None:
        return [Text("Labels were not reviewed: no predictions were given. Only conflicting copies are known.")]
    of_train = " of train" if (findings.faces.split[review.indices] == "train").any() else ""
    worst = np.argsort(-review.issues.suspicion, kind="stable")[:SHOWN]
    return [
        Text(
            f"Samples are ranked by two scores: the probability of the label, and the fraction of nearest "
            f"neighbours{of_train} with the same label. "
            + (
                "Labels of other splits are not used: validation and test must not influence changes in train. "
                if of_train
                else "No sample of train was predicted, so no change is suggested. "
            )
            + ("" if review.flagged_confirmed is not None else "There are no votes to check this: look at the faces.")
        ),
        label_issues_table(findings, review),
        FaceRow("Most doubtful labels", tuple(_doubtful_tile(findings, review, int(each)) for each in worst)),
    ]


def label_issues_table(findings: AuditFindings, review: LabelReview) -> Table:
    """Return a table of all reviewed samples for the files, the most doubtful first."""
    issues, predictions = review.issues, review.predictions
    columns = (
        Column("sample", "text"), Column("label", "text"), Column("suggested", "text"), Column("probability of label"),
        Column("agreeing neighbours"), Column("flagged", "text"), Column("votes", "text"),
        Column("source", "text"),
    )  # fmt: skip
    rows = [
        (
            int(predictions.sample_ids[at]), predictions.classes[predictions.labels[at]],
            predictions.classes[issues.suggested[at]],
            float(issues.confidence[at]), float(issues.agreement[at]), "yes" if issues.flagged[at] else "no",
            findings.faces.votes_on(int(review.indices[at])), str(findings.faces.source[review.indices[at]]),
        )
        for at in np.argsort(-issues.suspicion, kind="stable")
    ]  # fmt: skip
    return Table("doubtful-labels", columns, rows, shown=0)


def _doubtful_tile(findings: AuditFindings, review: LabelReview, at: int) -> FaceTile:
    predictions, index = review.predictions, int(review.indices[at])
    probabilities = predictions.probabilities[at]
    order = np.argsort(-probabilities, kind="stable")
    detail: list[tuple[str, str, float | None]] = [
        (predictions.classes[each], percent(float(probabilities[each]), 0), float(probabilities[each]))
        for each in order
    ]
    votes = findings.faces.votes_on(index)
    detail += [("votes", votes, None)] if votes else []
    detail.append(("sample", f"{predictions.sample_ids[at]}, {findings.faces.split[index]}", None))
    label, suggested = (predictions.classes[each[at]] for each in (predictions.labels, review.issues.suggested))
    caption = f"label {label}, suggested {suggested}"
    return FaceTile(data_address(findings.faces.images[index]), caption, tuple(detail))


def ceiling_values(findings: AuditFindings) -> dict[str, Any]:
    """Return the ceiling of each split with votes."""
    return {"ceilings": findings.ceilings}


def ceiling_table(findings: AuditFindings) -> Table:
    """Return a table of the ceiling of each split with votes."""
    columns = (Column("split", "text"), Column("samples", "count"), Column("a second panel", "percent"))
    return Table(
        "ceilings", columns, [(split, each.samples, each.second_panel) for split, each in findings.ceilings.items()]
    )


def ceiling_blocks(findings: AuditFindings) -> list[Block]:
    """Explain how the ceiling is estimated."""
    if not findings.ceilings:
        return []
    return [
        Text(
            "Annotators disagree, and this limits the accuracy on their majority. The table says how often as "
            "many other people would have the same majority. Such panels are drawn from the votes, on samples with a "
            "majority by FER+'s protocol.",
            soft=True,
        )
    ]
