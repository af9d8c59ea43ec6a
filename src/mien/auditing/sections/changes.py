"""The suggested changes, as ``clean.toml`` lists them."""

from __future__ import annotations

from typing import Any

from mien.auditing.findings import AuditFindings
from mien.page.blocks import Block, Column, Table, Text


def values(findings: AuditFindings) -> dict[str, Any]:
    """Number of changes by kind and split."""
    return {"changes": findings.change_counts()}


def table(findings: AuditFindings) -> Table:
    """How many samples the list of changes drops or relabels, by kind and split."""
    splits = tuple(findings.faces.counts_by_split())
    columns = (Column("change", "text"), *(Column(split, "count") for split in splits))
    rows = [(kind, *(counts.get(split, 0) for split in splits)) for kind, counts in findings.change_counts().items()]
    return Table("changes", columns, rows)


def blocks(findings: AuditFindings) -> list[Block]:
    """How to use the list, and each change for the files."""
    columns = ("row", "split", "label", "to", "kind", "reason", "source")
    rows = [tuple(getattr(change, name) for name in columns) for change in findings.changes]
    return [
        Text(
            "Samples to drop or relabel, each with its reason. Review the file and delete the lines that you disagree "
            "with. Then give it to any command with --clean. The data on disk is not changed. For validation and test "
            "only blank images, and identical images with conflicting labels in one split, are listed."
        ),
        Table("list-of-changes", tuple(Column(name, "text") for name in columns), rows, shown=0),
    ]
