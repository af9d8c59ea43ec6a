"""Class balance and light of the splits."""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.auditing.findings import AuditFindings
from mien.page.blocks import Block, CaptionedChart, Column, Table, Text
from mien.page.charts.overview import class_chart


def values(findings: AuditFindings) -> dict[str, Any]:
    """Fraction of each class in each split."""
    return {"class_balance": findings.class_balance()}


def table(findings: AuditFindings) -> Table:
    """Percentage of each class in each split, with its interval."""
    balance = findings.class_balance()
    columns = (Column("class", "text"), *(Column(split, "percent") for split in balance))
    rows = [(name, *(of[name] for of in balance.values())) for name in findings.faces.classes]
    return Table("class-balance", columns, rows)


def light_table(findings: AuditFindings) -> Table:
    """Medians of brightness, contrast and sharpness of each class in each split."""
    faces = findings.faces
    columns = (Column("split", "text"), Column("class", "text"), *(Column(name, "number") for name in findings.light))
    rows: list[tuple[Any, ...]] = []
    for split in faces.counts_by_split():
        inside = faces.split == split
        kinds = [("all", inside), *((name, inside & (faces.labels == at)) for at, name in enumerate(faces.classes))]
        for kind, mask in kinds:
            if mask.any():
                medians = (round(float(np.median(values[mask])), 1) for values in findings.light.values())
                rows.append((split, kind, *medians))
    return Table("light", columns, rows)


def blocks(findings: AuditFindings) -> list[Block]:
    """The classes as a chart, and the light of each split and class."""
    counts = findings.faces.counts_by_split()
    return [
        CaptionedChart(
            class_chart(counts, findings.faces.classes), "Class balance of each split, with the number of faces."
        ),
        Text(
            "Medians of brightness (mean pixel), contrast (standard deviation of the pixels) and sharpness:",
            soft=True,
        ),
        light_table(findings),
    ]
