"""The effect on metrics: the ceiling that annotators' disagreement sets, and metrics without copies."""

from __future__ import annotations

from typing import Any

from mien.auditing.findings import AuditFindings
from mien.page.blocks import Block, Column, Table, Text
from mien.page.sections import subsets_table


def ceiling_values(findings: AuditFindings) -> dict[str, Any]:
    """The ceiling of each split with votes."""
    return {"ceilings": findings.ceilings}


def ceiling_table(findings: AuditFindings) -> Table:
    """The ceiling of each split with votes."""
    columns = (
        Column("split", "text"), Column("samples", "count"), Column("a second panel", "percent"),
        Column("known shares", "percent"),
    )  # fmt: skip
    rows = [(split, each.samples, each.second_panel, each.known_shares) for split, each in findings.ceilings.items()]
    return Table("ceilings", columns, rows)


def ceiling_blocks(findings: AuditFindings) -> list[Block]:
    """What the two estimates mean."""
    if not findings.ceilings:
        return []
    return [
        Text(
            "Annotators disagree, and this limits the accuracy on their majority. A second panel: as many other people "
            "give the same most frequent answer. Known shares: somebody who knows which share of all people would give "
            "each answer. Both draw panels from the votes at hand, on samples with a majority by FER+'s protocol.",
            soft=True,
        )
    ]


def values(findings: AuditFindings) -> dict[str, Any]:
    """Metrics of the given predictions; None without."""
    return {"metrics": None if findings.label_review is None else findings.label_review.subsets}


def table(findings: AuditFindings) -> Table:
    """Metrics on all samples and without copies."""
    return subsets_table([] if findings.label_review is None else findings.label_review.subsets)


def blocks(findings: AuditFindings) -> list[Block]:
    """Nothing more."""
    return []
