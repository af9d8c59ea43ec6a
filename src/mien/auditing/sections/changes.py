"""The suggested changes, as ``clean.toml`` lists them."""

from __future__ import annotations

from typing import Any

from mien.auditing.findings import AuditFindings
from mien.page.blocks import Block, Column, Table, Text


def values(findings: AuditFindings) -> dict[str, Any]:
    """Count the changes by kind and split, ``{"drop copy": {"train": 12}}``."""
    counts: dict[str, dict[str, int]] = {}
    for change in findings.changes:
        of_kind = counts.setdefault(f"{'drop' if change.to is None else 'relabel'} {change.kind}", {})
        of_kind[change.split] = of_kind.get(change.split, 0) + 1
    return {"changes": dict(sorted(counts.items()))}


def table(findings: AuditFindings) -> Table:
    """Return a table of the numbers of dropped and relabelled samples, by kind and split."""
    splits = tuple(findings.faces.counts_by_split())
    columns = (Column("change", "text"), *(Column(split, "count") for split in splits))
    counted = values(findings)["changes"].items()
    return Table("changes", columns, [(kind, *(of.get(split, 0) for split in splits)) for kind, of in counted])


def blocks(findings: AuditFindings) -> list[Block]:
    """Return instructions for using the list; also a table of all changes, which is saved as a file."""
    columns = ("row", "split", "label", "to", "kind", "reason", "source")
    rows = [tuple(getattr(change, name) for name in columns) for change in findings.changes]
    return [
        Text(
            "Samples to drop or relabel, each with its reason. Review the file: delete lines that you disagree with. "
            "Give it to any command except audit with --clean. The data on disk is not changed. For validation and "
            "test, only blank images, and identical images with conflicting labels in one split, are listed."
        ),
        Table("list-of-changes", tuple(Column(name, "text") for name in columns), rows, shown=0),
    ]
