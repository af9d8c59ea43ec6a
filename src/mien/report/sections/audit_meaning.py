"""What a score means on this data: how right anybody can be, and what copies do to a score."""

from __future__ import annotations

from collections.abc import Sequence

from mien.evaluation.results import Part
from mien.report.audit_material import AuditMaterial
from mien.report.blocks import Block, Column, Section, Table, Text
from mien.report.sections.quality import parts_table


def ceilings_table(material: AuditMaterial) -> Table:
    """How right one can be, estimated in several ways."""
    columns = (Column("somebody who", "text"), Column("rows", "count"), Column("accuracy", "percent"))
    return Table("ceilings", columns, [(each.what, each.rows, each.accuracy) for each in material.ceilings])


def meaning_section(material: AuditMaterial) -> Section:
    """Ceilings with what they take for granted, and scores side by side."""
    granted = list(dict.fromkeys(each.takes_for_granted for each in material.ceilings))
    blocks: list[Block] = [
        Text(
            "Labels that people disagree on put a ceiling on accuracy. Each estimate takes something for granted, and "
            "none is a wall: a model can learn habits of the labellers that the voters do not share."
        ),
        ceilings_table(material),
        *(Text(f"{_names(material, words)}: {words}", soft=True) for words in granted),
    ]
    if material.judged is not None:
        blocks += [
            Text(_parts_words(material.judged.parts)),
            parts_table(material.judged.parts),
        ]
    return Section("meaning", "What a score means here", tuple(blocks))


def _parts_words(parts: Sequence[Part]) -> str:
    seen = any("seen before" in each.value for each in parts)
    without = ", without rows that were seen before they were measured on (copies of train, or of validation)," * seen
    return f"The score on all rows{without} and without rows whose copies have another label:"


def _names(material: AuditMaterial, granted: str) -> str:
    """What rests on an assumption, each way once, whatever the split."""
    names = [each.what.split(": ")[-1] for each in material.ceilings if each.takes_for_granted == granted]
    return "; ".join(dict.fromkeys(names))
