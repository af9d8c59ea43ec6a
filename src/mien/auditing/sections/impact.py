"""The effect on metrics: label-noise ceilings, and metrics without copies."""

from __future__ import annotations

from collections.abc import Sequence

from mien.auditing.findings import AuditFindings
from mien.evaluation.results import SubsetMetrics
from mien.page.blocks import Block, Column, Section, Table, Text
from mien.page.sections import subsets_table


def ceilings_table(findings: AuditFindings) -> Table:
    """Estimates of the label-noise ceiling."""
    columns = (Column("estimate", "text"), Column("samples", "count"), Column("accuracy", "percent"))
    return Table("ceilings", columns, [(each.name, each.samples, each.accuracy) for each in findings.ceilings])


def impact_section(findings: AuditFindings) -> Section:
    """Ceilings with their assumptions, and metrics with and without copies."""
    assumptions = list(dict.fromkeys(each.assumption for each in findings.ceilings))
    blocks: list[Block] = [
        Text(
            "Label noise limits accuracy. Each estimate makes an assumption, and none is a hard limit: a model can "
            "learn habits of the labellers that the voters do not share."
        ),
        ceilings_table(findings),
        *(Text(f"{_names(findings, words)}: {words}", soft=True) for words in assumptions),
    ]
    if findings.label_review is not None:
        blocks += [
            Text(_subsets_words(findings.label_review.subsets)),
            subsets_table(findings.label_review.subsets),
        ]
    return Section("impact", "Effect on metrics", tuple(blocks))


def _subsets_words(subsets: Sequence[SubsetMetrics]) -> str:
    leaked = any("leaked" in each.value for each in subsets)
    without_leaked = ", without leaked samples (copies of train or validation)," * leaked
    return f"Metrics on all samples{without_leaked} and without samples whose copies have another label:"


def _names(findings: AuditFindings, assumption: str) -> str:
    """Names of the estimates that make an assumption, without their split."""
    names = [each.name.split(": ")[-1] for each in findings.ceilings if each.assumption == assumption]
    return "; ".join(dict.fromkeys(names))
