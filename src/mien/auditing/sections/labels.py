"""Doubtful labels, the quality of their ranking, and the suggested changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.auditing.findings import AuditFindings, ConfirmedRanking, LabelReview
from mien.checks.vote_evidence import vote_description
from mien.evaluation.intervals import proportion
from mien.page.blocks import Block, Column, FaceRow, FaceTile, Section, Table, Text
from mien.page.images import data_address
from mien.page.wording import decimal, interval_text, percent

SHOWN = 48


def ranking_table(name: str, ranking: ConfirmedRanking) -> Table:
    """How many of the first samples of a ranking the votes confirm, and how many of all samples."""
    columns = (Column("ranked", "text"), Column("samples", "count"), Column("confirmed", "percent"))
    rows: list[tuple[Any, ...]] = [
        (f"the first {each.samples:,}", each.samples, proportion(each.hits, each.samples)) for each in ranking.depths
    ]
    rows.append(("all (random ranking)", ranking.samples, ranking.confirmed))
    return Table(name, columns, rows, f"ROC AUC of the ranking: {decimal(ranking.auc)}; 0.5 is chance.")


def labels_section(findings: AuditFindings) -> Section:
    """The most doubtful labels with faces, and the quality of their ranking."""
    review = findings.label_review
    if review is None:
        words = "Labels were not reviewed: no predictions were given. Only conflicting copies are known."
        return Section("labels", "Doubtful labels", (Text(words),))
    issues = review.issues
    evidence = int(issues.evidence.sum())
    of_train = " of train" if review.of_train.any() else ""
    blocks: list[Block] = [
        Text(
            f"{len(review.predictions):,} samples ({review.predictions.split}) are ranked by two scores: the "
            f"probability of the label, and the fraction of nearest neighbours{of_train} with the same label. "
            f"Confident learning flags {int(issues.flagged.sum()):,} of {evidence:,} samples{of_train}. For "
            f"{int(issues.sure.sum()):,} of these, model and neighbours agree on one other class. "
            + (
                "Labels of other splits are not used: validation and test must not influence changes in train."
                if of_train
                else "No sample of train was predicted, so no change is suggested."
            )
        ),
        *_ranking_quality(review),
        label_issues_table(findings, review),
    ]
    worst = np.argsort(-issues.suspicion, kind="stable")[:SHOWN]
    blocks.append(FaceRow("Most doubtful labels", tuple(_doubtful_tile(findings, review, int(each)) for each in worst)))
    return Section("labels", "Doubtful labels", tuple(blocks))


def label_issues_table(findings: AuditFindings, review: LabelReview) -> Table:
    """All reviewed samples for the files, the most doubtful first."""
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
            votes_on(findings, int(review.indices[at])), str(findings.faces.source[review.indices[at]]),
        )
        for at in np.argsort(-issues.suspicion, kind="stable")
    ]  # fmt: skip
    return Table("doubtful-labels", columns, rows, shown=0)


def changes_table(findings: AuditFindings) -> Table:
    """How many samples the list of changes drops or relabels, by kind and split."""
    splits = tuple(findings.faces.counts_by_split())
    columns = (Column("change", "text"), *(Column(split, "count") for split in splits))
    rows = [(kind, *(counts.get(split, 0) for split in splits)) for kind, counts in findings.change_counts().items()]
    return Table("changes", columns, rows)


def votes_on(findings: AuditFindings, index: int) -> str:
    """:func:`mien.checks.vote_evidence.vote_description` of a face; ``""`` without votes."""
    votes = findings.votes
    if votes is None or not votes.counts[index]:
        return ""
    return vote_description(votes.shares[index] * votes.counts[index], votes.answers)


def _ranking_quality(review: LabelReview) -> list[Block]:
    if review.ranking is None:
        return [Text("There are no votes to check this ranking. Look at the faces before you trust it.")]
    blocks: list[Block] = [
        Text("Confirmed: most voters contradict the label."),
        ranking_table("doubtful-labels-ranking", review.ranking),
    ]
    flagged = review.flagged_confirmed
    if flagged is not None:
        blocks.append(
            Text(
                f"Confirmed among the flagged labels: {percent(flagged.value)} ({interval_text('accuracy', flagged)})."
            )
        )
    return blocks


def _doubtful_tile(findings: AuditFindings, review: LabelReview, at: int) -> FaceTile:
    predictions, index = review.predictions, int(review.indices[at])
    probabilities = predictions.probabilities[at]
    order = np.argsort(-probabilities, kind="stable")
    detail: list[tuple[str, str, float | None]] = [
        (predictions.classes[each], percent(float(probabilities[each]), 0), float(probabilities[each]))
        for each in order
    ]
    votes = votes_on(findings, index)
    detail += [("votes", votes, None)] if votes else []
    detail.append(("sample", f"{predictions.sample_ids[at]}, {findings.faces.split[index]}", None))
    label, suggested = (predictions.classes[each[at]] for each in (predictions.labels, review.issues.suggested))
    caption = f"label {label}, suggested {suggested}"
    return FaceTile(data_address(findings.faces.images[index]), caption, tuple(detail))
