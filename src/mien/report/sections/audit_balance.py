"""Balance and shift: class shares, light, whether splits or classes can be told by what should not matter."""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.report.audit_material import AuditMaterial, Telling
from mien.report.blocks import Column, Plot, Section, Table, Text
from mien.report.figures import class_bars


def shares_table(material: AuditMaterial) -> Table:
    """Share of each class in each split, with its interval."""
    shares = material.shares()
    columns = (Column("class", "text"), *(Column(split, "percent") for split in shares))
    rows = [(name, *(of[name] for of in shares.values())) for name in material.faces.classes]
    return Table("class-shares", columns, rows)


def tellings_table(name: str, header: str, tellings: tuple[Telling, ...]) -> Table:
    """How well a classifier tells things apart."""
    columns = (Column(header, "text"), Column("rows", "count"), Column("AUC"))
    return Table(name, columns, [(each.what, each.rows, each.auc) for each in tellings])


def light_table(material: AuditMaterial) -> Table:
    """Quartiles of brightness, contrast and sharpness, by split and by class of each split."""
    faces = material.faces
    columns = (
        Column("number", "text"), Column("split", "text"), Column("class", "text"), Column("rows", "count"),
        Column("lower quartile", "number"), Column("median", "number"), Column("upper quartile", "number"),
    )  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    for name, values in material.light.items():
        for split in faces.counts_by_split():
            inside = faces.split == split
            kinds = [("all", inside)]
            kinds += [(each, inside & (faces.labels == index)) for index, each in enumerate(faces.classes)]
            for kind, mask in kinds:
                if mask.any():
                    quartiles = (round(float(each), 1) for each in np.quantile(values[mask], (0.25, 0.5, 0.75)))
                    rows.append((name, split, kind, int(mask.sum()), *quartiles))
    return Table("light", columns, rows, shown=0)


def medians_table(material: AuditMaterial) -> Table:
    """Medians of brightness, contrast and sharpness of each class in each split, as much as a page needs."""
    faces = material.faces
    columns = (Column("split", "text"), Column("class", "text"), *(Column(name, "number") for name in material.light))
    rows: list[tuple[Any, ...]] = []
    for split in faces.counts_by_split():
        inside = faces.split == split
        kinds = [("all", inside), *((name, inside & (faces.labels == at)) for at, name in enumerate(faces.classes))]
        for kind, mask in kinds:
            if mask.any():
                medians = (round(float(np.median(values[mask])), 1) for values in material.light.values())
                rows.append((split, kind, *medians))
    return Table("light-medians", columns, rows)


def balance_section(material: AuditMaterial) -> Section:
    """Shares, light, two-sample tests, shortcuts."""
    return Section(
        "balance",
        "Balance and shift",
        (
            Plot(
                class_bars(material.faces.counts_by_split(), material.faces.classes),
                "Share of each class in each split; the number of faces stands at the end of its bar.",
            ),
            shares_table(material),
            Text(
                "Can a classifier tell one split's pictures from another's, by light and a thumbnail? An AUC near 0.5 "
                "says that they come from one source; far above, a score on one says little about the other."
            ),
            tellings_table("splits-apart", "splits", material.splits_apart),
            Text(
                "Can the class be told without the face? Mean one-vs-rest AUC over classes; what is above 0.5 a "
                "network may learn instead of expressions."
            ),
            tellings_table("shortcuts", "told by", material.shortcuts),
            Text("Medians of brightness (mean pixel), contrast (deviation of the pixels) and sharpness:", soft=True),
            medians_table(material),
            light_table(material),
        ),
    )
