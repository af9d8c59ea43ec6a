"""Copies: the same image in several samples, maybe in other splits or with other labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.auditing.findings import AuditFindings
from mien.checks.copies import has_copy, in_conflict
from mien.page.blocks import Block, Column, FaceRow, FaceTile, Row, Table, Text
from mien.page.rendering import data_address

PAIRS_SHOWN = 16
GROUPS_SHOWN = 12
FACES_OF_A_GROUP = 6


def values(findings: AuditFindings) -> dict[str, Any]:
    """Return the counts of identical images and near-copies."""
    return {
        "identical": findings.identical_counts,
        "identical_or_near": findings.near_counts,
        "near_pairs": len(findings.near.first),
    }


def table(findings: AuditFindings) -> Table:
    """Return a table of groups, conflicts and leaks: one column for identical images, one that adds near-copies."""
    exact, near = findings.identical_counts, findings.near_counts
    rows = [
        ("images that occur more than once", exact.groups, near.groups),
        ("samples with these images", exact.samples, near.samples),
        ("of these images, those with conflicting labels", exact.conflicting_groups, near.conflicting_groups),
        ("samples with conflicting labels", exact.conflicting_samples, near.conflicting_samples),
    ]
    rows += [
        (f"samples of {one.split} with a copy in {one.source}", one.samples, other.samples)
        for one, other in zip(exact.leaks, near.leaks, strict=True)
    ]
    columns = (Column("copies", "text"), Column("identical", "count"), Column("identical or near", "count"))
    return Table("copies", columns, rows)


def blocks(findings: AuditFindings) -> list[Block]:
    """Return examples of near-copies across splits, and of images with conflicting labels."""
    near = findings.near
    found: list[Block] = [
        Text(
            f"Identical: the same pixels. Near: mirrored, shifted by a few pixels, cropped by up to a tenth, "
            f"recompressed, lighter or darker: {len(near.first):,} pairs. Images with too little contrast are not "
            f"compared. See docs/audit.md.",
            soft=True,
        ),
        groups_table(findings),
    ]
    split = findings.faces.split
    across = np.flatnonzero(split[near.first] != split[near.second])
    if len(across):
        found.append(Text(f"Near-copies across splits: examples from {len(across):,} pairs."))
        found.append(Row(tuple(_pair(findings, int(pair)) for pair in _spread(across, PAIRS_SHOWN))))
    disputed = np.unique(near.groups[in_conflict(near.groups, findings.faces.labels)])
    if len(disputed):
        found.append(Text(f"Conflicting labels of one image: examples from {len(disputed):,} images."))
        found.append(Row(tuple(_group(findings, int(group)) for group in _spread(disputed, GROUPS_SHOWN))))
    return found


def groups_table(findings: AuditFindings) -> Table:
    """Return a table of all samples that have a copy, with group ids, which is saved as a file."""
    faces = findings.faces
    several = np.flatnonzero(has_copy(findings.near.groups))
    order = several[np.lexsort((several, findings.identical[several], findings.near.groups[several]))]
    columns = (
        Column("group", "text"), Column("identical group", "text"), Column("sample", "text"), Column("split", "text"),
        Column("label", "text"), Column("source", "text"),
    )  # fmt: skip
    rows = [
        (
            int(findings.near.groups[at]), int(findings.identical[at]), int(faces.rows[at]), str(faces.split[at]),
            faces.classes[faces.labels[at]], str(faces.source[at]),
        )
        for at in order
    ]  # fmt: skip
    return Table("copied-samples", columns, rows, shown=0)


def face_tile(findings: AuditFindings, index: int) -> FaceTile:
    """Return the tile of a sample's face with label, split, id and file."""
    faces = findings.faces
    caption = f"{faces.classes[faces.labels[index]]}, {faces.split[index]} {faces.rows[index]}"
    file = str(faces.source[index])
    return FaceTile(data_address(faces.images[index]), caption, (("file", file, None),) if file else ())


def _pair(findings: AuditFindings, pair: int) -> FaceRow:
    near = findings.near
    members = (int(near.first[pair]), int(near.second[pair]))
    return FaceRow(f"correlation {near.correlation[pair]:.3f}", tuple(face_tile(findings, each) for each in members))


def _group(findings: AuditFindings, group: int) -> FaceRow:
    members = np.flatnonzero(findings.near.groups == group)
    labels = findings.faces.labels[members]
    counts = [f"{findings.faces.classes[at]} {count}" for at, count in enumerate(np.bincount(labels)) if count]
    # Faces with rare labels come first, so that the first few show the conflict.
    order = members[np.argsort(np.bincount(labels)[labels], kind="stable")][:FACES_OF_A_GROUP]
    return FaceRow(", ".join(counts), tuple(face_tile(findings, int(each)) for each in order))


def _spread(values: Sequence[int] | npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Choose at most ``count`` of the values, evenly spread."""
    values = np.asarray(values)
    return values[np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).astype(np.int64))]
