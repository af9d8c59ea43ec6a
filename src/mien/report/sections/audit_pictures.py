"""Pictures that are no faces, or bad ones."""

from __future__ import annotations

import numpy as np

from mien.report.audit_material import AuditMaterial
from mien.report.blocks import Block, Column, Faces, Section, Table, Text
from mien.report.sections.audit_copies import face_of
from mien.report.sections.audit_labels import votes_on, worth_table

OF_A_FAULT = 16
OUTLIERS_SHOWN = 48
OUTLIERS_LISTED = 2000


def faults_table(material: AuditMaterial) -> Table:
    """How many pictures have each fault."""
    columns = (Column("fault", "text"), Column("rows", "count"), Column("what it means", "text"))
    return Table(
        "faults",
        columns,
        [(name, int(fault.mask.sum()), fault.meaning) for name, fault in material.faults.items()],
    )


def pictures_section(material: AuditMaterial) -> Section:
    """Faults with faces, the outliers, and what their ranking is worth."""
    blocks: list[Block] = [faults_table(material), outliers_table(material)]
    for name, fault in material.faults.items():
        worst = np.flatnonzero(fault.mask)
        worst = worst[np.argsort(fault.order[worst], kind="stable")][:OF_A_FAULT]
        if len(worst):
            title = f"{name}: {int(fault.mask.sum()):,}"
            blocks.append(Faces(title, tuple(face_of(material, int(each)) for each in worst)))
    blocks.append(
        Text(
            "Unlike the others: ranked by how rare a picture's local frequencies, its fit to the average picture, and "
            "its tones are. Faces cut very closely have no test of their own: they are in this ranking, among others."
        )
    )
    if material.outlier_worth is not None:
        blocks.append(Text("Confirmed: most of the people who voted on it saw no face."))
        blocks.append(worth_table("worth-of-outliers", material.outlier_worth))
    worst = np.argsort(-material.outliers.score, kind="stable")[:OUTLIERS_SHOWN]
    blocks.append(Faces("The most unusual pictures", tuple(face_of(material, int(each)) for each in worst)))
    return Section("pictures", "Not faces, or bad pictures", tuple(blocks))


def outliers_table(material: AuditMaterial) -> Table:
    """The most unusual pictures with their faults, for the files."""
    faces, found = material.faces, material.outliers
    columns = (
        Column("row", "text"), Column("split", "text"), Column("label", "text"), Column("score"), Column("likeness"),
        Column("faults", "text"), Column("votes", "text"), Column("source", "text"),
    )  # fmt: skip
    rows = [
        (
            int(faces.rows[at]), str(faces.split[at]), faces.classes[faces.labels[at]], float(found.score[at]),
            float(found.likeness[at]), ", ".join(name for name, fault in material.faults.items() if fault.mask[at]),
            votes_on(material, int(at)), str(faces.source[at]),
        )
        for at in np.argsort(-found.score, kind="stable")[:OUTLIERS_LISTED]
    ]  # fmt: skip
    return Table("outliers", columns, rows, shown=0)
