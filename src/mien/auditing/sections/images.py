"""Bad images, and images without a face."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mien.auditing.findings import AuditFindings
from mien.auditing.sections.copies import face_tile
from mien.auditing.sections.labels import votes_on
from mien.page.blocks import Block, Column, FaceRow, Table, Text

IMAGES_PER_ISSUE = 16
OUTLIERS_SHOWN = 48
OUTLIERS_LISTED = 2000


def values(findings: AuditFindings) -> dict[str, Any]:
    """Number of images with each issue."""
    return {"quality_issues": {name: int(issue.mask.sum()) for name, issue in findings.quality_issues.items()}}


def table(findings: AuditFindings) -> Table:
    """How many images have each issue."""
    columns = (Column("issue", "text"), Column("samples", "count"), Column("meaning", "text"))
    return Table(
        "quality-issues",
        columns,
        [(name, int(issue.mask.sum()), issue.meaning) for name, issue in findings.quality_issues.items()],
    )


def blocks(findings: AuditFindings) -> list[Block]:
    """Images with an issue, and the outliers."""
    unusual = np.argsort(-findings.outliers, kind="stable")
    shown: list[Block] = [outliers_table(findings, unusual[:OUTLIERS_LISTED])]
    for name, issue in findings.quality_issues.items():
        worst = np.flatnonzero(issue.mask)
        worst = worst[np.argsort(issue.severity[worst], kind="stable")][:IMAGES_PER_ISSUE]
        if len(worst):
            title = f"{name}: {int(issue.mask.sum()):,}"
            shown.append(FaceRow(title, tuple(face_tile(findings, int(each)) for each in worst)))
    tiles = tuple(face_tile(findings, int(each)) for each in unusual[:OUTLIERS_SHOWN])
    return [
        *shown,
        Text(
            "Outliers are ranked by how rare their local frequencies and their tones are. Very close crops have no "
            "test of their own; this ranking includes them."
        ),
        FaceRow("Most unusual images", tiles),
    ]


def outliers_table(findings: AuditFindings, unusual: npt.NDArray[np.int64]) -> Table:
    """Unusual images with their issues, for the files."""
    faces = findings.faces
    columns = (
        Column("sample", "text"), Column("split", "text"), Column("label", "text"), Column("score"),
        Column("issues", "text"), Column("votes", "text"), Column("source", "text"),
    )  # fmt: skip
    rows = [
        (
            int(faces.rows[at]), str(faces.split[at]), faces.classes[faces.labels[at]], float(findings.outliers[at]),
            ", ".join(name for name, issue in findings.quality_issues.items() if issue.mask[at]),
            votes_on(findings, int(at)), str(faces.source[at]),
        )
        for at in unusual
    ]  # fmt: skip
    return Table("outliers", columns, rows, shown=0)
