"""The ceiling that annotators' disagreement sets to accuracy."""

from __future__ import annotations

from typing import Any

from mien.auditing.findings import AuditFindings
from mien.page.blocks import Block, Column, Table, Text


def values(findings: AuditFindings) -> dict[str, Any]:
    """The ceiling of each split with votes."""
    return {"ceilings": findings.ceilings}


def table(findings: AuditFindings) -> Table:
    """The ceiling of each split with votes."""
    columns = (Column("split", "text"), Column("samples", "count"), Column("a second panel", "percent"))
    return Table(
        "ceilings", columns, [(split, each.samples, each.second_panel) for split, each in findings.ceilings.items()]
    )


def blocks(findings: AuditFindings) -> list[Block]:
    """What the estimate means."""
    if not findings.ceilings:
        return []
    return [
        Text(
            "Annotators disagree, and this limits the accuracy on their majority. A second panel: as many other people "
            "give the same most frequent answer. Panels are drawn from the votes at hand, on samples with a majority "
            "by FER+'s protocol.",
            soft=True,
        )
    ]
