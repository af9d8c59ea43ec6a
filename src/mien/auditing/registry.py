"""The findings of an audit as JSON, as tables in a terminal, and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text as RichText

from mien.auditing.run import AuditFindings
from mien.auditing.sections import CHECKS
from mien.evaluation.results import json_ready
from mien.page.blocks import Section
from mien.page.page import Page, WrittenPage
from mien.page.terminal import rich_table, titled
from mien.page.wording import samples_text


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
