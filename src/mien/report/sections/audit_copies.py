"""Copies: the same picture twice, on both sides of a split, under two labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mien.audit.copies import has_copy, in_conflict
from mien.report.audit_material import AuditMaterial
from mien.report.blocks import Block, Column, Columns, Face, Faces, Section, Table, Text
from mien.report.pictures import data_address

PAIRS_SHOWN = 16
GROUPS_SHOWN = 12
FACES_OF_A_GROUP = 6


def copies_table(material: AuditMaterial) -> Table:
    """Groups, conflicts and leaks: by identical pixels, and with near-copies."""
    exact, near = material.identical_counts, material.near_counts
    rows = [
        ("pictures that are there more than once", exact.groups, near.groups),
        ("rows that show them", exact.rows, near.rows),
        ("of these pictures, under more than one label", exact.conflicting_groups, near.conflicting_groups),
        ("rows that show these", exact.conflicting_rows, near.conflicting_rows),
    ]
    rows += [
        (f"rows of {one.split} with a copy in {one.source}", one.rows, other.rows)
        for one, other in zip(exact.leaks, near.leaks, strict=True)
    ]
    columns = (Column("copies", "text"), Column("identical", "count"), Column("identical or near", "count"))
    return Table("copies", columns, rows)


def copies_section(material: AuditMaterial) -> Section:
    """Counts, near-copies across splits, pictures under several labels."""
    near = material.near
    blocks: list[Block] = [
        copies_table(material),
        Text(
            f"Identical: the same pixels. Near: mirrored, shifted by a few pixels, cropped by up to a tenth, "
            f"compressed anew, lighter or darker. {near.compared:,} pairs were laid over one another, "
            f"{len(near.first):,} of them are near-copies; {near.left_out:,} pictures have too little contrast to be "
            f"compared. How it works and what it finds: docs/audit.md.",
            soft=True,
        ),
        pairs_table(material),
        groups_table(material),
    ]
    across = _pairs_across(material)
    if len(across):
        blocks.append(
            Columns(
                f"Near-copies on both sides of a split: {len(across):,} pairs, some of them",
                tuple(_pair(material, int(pair)) for pair in _spread(across, PAIRS_SHOWN)),
            )
        )
    disputed = np.unique(near.groups[in_conflict(near.groups, material.faces.labels)])
    if len(disputed):
        blocks.append(Text(f"The same picture under different labels: {len(disputed):,} pictures, some of them."))
        blocks += [_group(material, int(group)) for group in _spread(disputed, GROUPS_SHOWN)]
    return Section("copies", "Copies", tuple(blocks))


def pairs_table(material: AuditMaterial) -> Table:
    """Every pair of near-copies, for the files."""
    faces, near = material.faces, material.near
    columns = (
        Column("row", "text"), Column("split", "text"), Column("label", "text"), Column("other row", "text"),
        Column("its split", "text"), Column("its label", "text"), Column("correlation"),
    )  # fmt: skip
    rows = [
        (
            int(faces.rows[one]), str(faces.split[one]), faces.classes[faces.labels[one]],
            int(faces.rows[other]), str(faces.split[other]), faces.classes[faces.labels[other]], float(correlation),
        )
        for one, other, correlation in zip(near.first, near.second, near.correlation, strict=True)
    ]  # fmt: skip
    return Table("near-copies", columns, rows, shown=0)


def groups_table(material: AuditMaterial) -> Table:
    """Every row that has a copy, with the numbers of its groups, for the files."""
    faces = material.faces
    several = np.flatnonzero(has_copy(material.near.groups))
    order = several[np.lexsort((several, material.identical[several], material.near.groups[several]))]
    columns = (
        Column("group", "text"), Column("identical group", "text"), Column("row", "text"), Column("split", "text"),
        Column("label", "text"), Column("source", "text"),
    )  # fmt: skip
    rows = [
        (
            int(material.near.groups[at]), int(material.identical[at]), int(faces.rows[at]), str(faces.split[at]),
            faces.classes[faces.labels[at]], str(faces.source[at]),
        )
        for at in order
    ]  # fmt: skip
    return Table("copied-rows", columns, rows, shown=0)


def face_of(material: AuditMaterial, index: int, words: str = "") -> Face:
    """The face of a row under its label, split and number."""
    faces = material.faces
    below = f"{faces.classes[faces.labels[index]]}, {faces.split[index]} {faces.rows[index]}"
    return Face(data_address(faces.images[index]), f"{below}: {words}" if words else below)


def _pairs_across(material: AuditMaterial) -> npt.NDArray[np.int64]:
    split, near = material.faces.split, material.near
    return np.flatnonzero(split[near.first] != split[near.second])


def _pair(material: AuditMaterial, pair: int) -> Faces:
    near = material.near
    members = (int(near.first[pair]), int(near.second[pair]))
    return Faces(f"correlation {near.correlation[pair]:.3f}", tuple(face_of(material, each) for each in members))


def _group(material: AuditMaterial, group: int) -> Faces:
    members = np.flatnonzero(material.near.groups == group)
    labels = material.faces.labels[members]
    counts = [f"{material.faces.classes[at]} {count}" for at, count in enumerate(np.bincount(labels)) if count]
    # The rarer labels first, so that few faces show what is disputed.
    order = members[np.argsort(np.bincount(labels)[labels], kind="stable")][:FACES_OF_A_GROUP]
    return Faces(", ".join(counts), tuple(face_of(material, int(each)) for each in order))


def _spread(values: Sequence[int] | npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """At most so many of the values, evenly spread over them."""
    values = np.asarray(values)
    return values[np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).astype(np.int64))]
