"""Corrupted images, and images without a face."""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.auditing.findings import AuditFindings
from mien.auditing.sections.copies import face_tile
from mien.page.blocks import Block, Column, FaceRow, Table, Text

IMAGES_PER_ISSUE = 16
OUTLIERS_SHOWN = 48


def values(findings: AuditFindings) -> dict[str, Any]:
    """Count the images with each issue."""
    return {"quality_issues": {name: int(issue.mask.sum()) for name, issue in findings.quality_issues.items()}}


def table(findings: AuditFindings) -> Table:
    """Return a table of the number of images with each issue."""
    columns = (Column("issue", "text"), Column("samples", "count"), Column("meaning", "text"))
    return Table(
        "quality-issues",
        columns,
        [(name, int(issue.mask.sum()), issue.meaning) for name, issue in findings.quality_issues.items()],
    )


def blocks(findings: AuditFindings) -> list[Block]:
    """Return example images of each issue, and the outliers."""
    unusual = np.argsort(-findings.outliers, kind="stable")[:OUTLIERS_SHOWN]
    shown: list[Block] = []
    for name, issue in findings.quality_issues.items():
        worst = np.flatnonzero(issue.mask)
        worst = worst[np.argsort(issue.severity[worst], kind="stable")][:IMAGES_PER_ISSUE]
        if len(worst):
            title = f"{name}: {int(issue.mask.sum()):,}"
            shown.append(FaceRow(title, tuple(face_tile(findings, int(each)) for each in worst)))
    tiles = tuple(face_tile(findings, int(each)) for each in unusual)
    return [
        *shown,
        Text(
            "Outliers are ranked by how rare their local frequencies and grey tones are. Very close crops are "
            "among them."
        ),
        FaceRow("Most unusual images", tiles),
    ]
