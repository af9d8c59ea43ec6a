"""Class balance, light, and tests for differences between splits and for shortcuts to classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.auditing.findings import AuditFindings, SeparabilityTest
from mien.page.blocks import CaptionedChart, Column, Section, Table, Text
from mien.page.charts.overview import class_chart


def class_balance_table(findings: AuditFindings) -> Table:
    """Percentage of each class in each split, with its interval."""
    balance = findings.class_balance()
    columns = (Column("class", "text"), *(Column(split, "percent") for split in balance))
    rows = [(name, *(of[name] for of in balance.values())) for name in findings.faces.classes]
    return Table("class-balance", columns, rows)


def separability_table(name: str, header: str, tests: tuple[SeparabilityTest, ...]) -> Table:
    """The AUC of each test."""
    columns = (Column(header, "text"), Column("samples", "count"), Column("AUC"))
    return Table(name, columns, [(each.name, each.samples, each.auc) for each in tests])


def light_table(findings: AuditFindings) -> Table:
    """Quartiles of brightness, contrast and sharpness, by split and by class of each split."""
    faces = findings.faces
    columns = (
        Column("property", "text"), Column("split", "text"), Column("class", "text"), Column("samples", "count"),
        Column("lower quartile", "number"), Column("median", "number"), Column("upper quartile", "number"),
    )  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    for name, values in findings.light.items():
        for split in faces.counts_by_split():
            inside = faces.split == split
            kinds = [("all", inside)]
            kinds += [(each, inside & (faces.labels == index)) for index, each in enumerate(faces.classes)]
            for kind, mask in kinds:
                if mask.any():
                    quartiles = (round(float(each), 1) for each in np.quantile(values[mask], (0.25, 0.5, 0.75)))
                    rows.append((name, split, kind, int(mask.sum()), *quartiles))
    return Table("light", columns, rows, shown=0)


def medians_table(findings: AuditFindings) -> Table:
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
    return Table("light-medians", columns, rows)


def balance_section(findings: AuditFindings) -> Section:
    """Class balance, two-sample tests, shortcut tests and light."""
    return Section(
        "balance",
        "Balance and shift",
        (
            CaptionedChart(
                class_chart(findings.faces.counts_by_split(), findings.faces.classes),
                "Class balance of each split, with the number of faces.",
            ),
            class_balance_table(findings),
            Text(
                "A simple classifier separates the splits by light and a thumbnail. An AUC near 0.5 means that the "
                "splits do not differ. A high AUC means that metrics on one split say little about the other."
            ),
            separability_table("split-tests", "splits", findings.split_tests),
            Text(
                "A simple classifier predicts the class without the face (mean one-vs-rest AUC). Above 0.5, a network "
                "may learn this shortcut instead of the expression."
            ),
            separability_table("shortcut-tests", "features", findings.shortcut_tests),
            Text(
                "Medians of brightness (mean pixel), contrast (standard deviation of the pixels) and sharpness:",
                soft=True,
            ),
            medians_table(findings),
            light_table(findings),
        ),
    )
