"""The checks of an audit in order, each with its findings as JSON, table and page blocks.

To add a check, write a file with its functions and add an entry to :data:`CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text as RichText

from mien.auditing.findings import AuditFindings
from mien.auditing.sections import changes, copies, images, labels
from mien.evaluation.results import json_ready
from mien.page.blocks import Block, Section, Table
from mien.page.page import Page, WrittenPage
from mien.page.terminal import rich_table, titled
from mien.page.wording import samples_text


@dataclass(frozen=True)
class Check:
    """A check of the audit.

    Attributes:
        key: id of its section on the page.
        title: title of its section, and of its table in a terminal.
        values: function that returns findings for ``audit.json``, converted by
            :func:`~mien.evaluation.results.json_ready`.
        table: function that returns the findings as a table, without rows if the check does not apply.
        blocks: function that returns what the page shows below the table, such as faces.
    """

    key: str
    title: str
    values: Callable[[AuditFindings], Mapping[str, Any]]
    table: Callable[[AuditFindings], Table]
    blocks: Callable[[AuditFindings], Sequence[Block]]


CHECKS: tuple[Check, ...] = (
    Check("copies", "Copies", copies.values, copies.table, copies.blocks),
    Check("labels", "Doubtful labels", labels.values, labels.table, labels.blocks),
    Check("images", "Image quality", images.values, images.table, images.blocks),
    Check(
        "ceiling",
        "Label-noise ceiling: accuracy on the majority of annotators",
        labels.ceiling_values,
        labels.ceiling_table,
        labels.ceiling_blocks,
    ),
    Check("changes", "Suggested changes (clean.toml)", changes.values, changes.table, changes.blocks),
)


def audit_values(findings: AuditFindings) -> dict[str, Any]:
    """Return all counts, JSON-ready, with NaN as None. Single samples are listed only in the page's tables."""
    faces = findings.faces
    counts = {split: dict(zip(faces.classes, of, strict=True)) for split, of in faces.counts_by_split().items()}
    content: dict[str, Any] = {
        "faces": len(faces),
        "classes": faces.classes,
        "data_fingerprint": faces.fingerprint,
        "counts": counts,
    }
    for check in CHECKS:
        content |= check.values(findings)
    return dict(json_ready({**content, "not_checked": findings.not_checked}))


def audit_tables(findings: AuditFindings) -> RenderableType:
    """Return the tables of the checks, printable by rich."""
    shown = []
    for check in CHECKS:
        table = check.table(findings)
        if table.rows:
            caption = [RichText(table.caption, style="dim")] if table.caption else []
            shown.append(titled(check.title, Group(rich_table(table), *caption)))
    notices = [RichText(f"\n{each.line}") for each in findings.not_checked]
    return Group(*shown, *notices)


def write_audit(folder: Path, findings: AuditFindings, *, title: str, metadata: Mapping[str, str]) -> WrittenPage:
    """Write ``audit.html`` with its charts and tables into a folder; the page is written last.

    Raises MissingExtraError without matplotlib or jinja2, RunError if the files cannot be written.
    """
    sections = []
    for check in CHECKS:
        table = check.table(findings)
        blocks = (*((table,) if table.rows else ()), *check.blocks(findings))
        if blocks:
            sections.append(Section(check.key, check.title, blocks))
    splits = ", ".join(f"{sum(counts):,} {split}" for split, counts in findings.faces.counts_by_split().items())
    lead = f"{samples_text(len(findings.faces))} ({splits}), {len(findings.faces.classes)} classes."
    page = Page(title, lead, sections, metadata, findings.not_checked, classes=findings.faces.classes)
    return page.write(folder, "audit.html")
