"""The audit's page, ``audit.html``, and its table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text as RichText

from mien.auditing.findings import AuditFindings
from mien.auditing.sections.balance import balance_section, class_balance_table, separability_table
from mien.auditing.sections.copies import copies_section, copies_table
from mien.auditing.sections.images import images_section, quality_issues_table
from mien.auditing.sections.impact import ceilings_table, impact_section
from mien.auditing.sections.labels import changes_table, labels_section, ranking_table
from mien.page.blocks import Column, Section, Table, Text
from mien.page.page import Page, WrittenPage
from mien.page.sections import subsets_table
from mien.page.terminal import rich_table, titled
from mien.page.wording import samples_text

PAGE = "audit.html"


def write_audit(folder: Path, findings: AuditFindings, *, title: str, metadata: Mapping[str, str]) -> WrittenPage:
    """Write ``audit.html`` with its charts and tables into a folder; the page last.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
        RunError: the file system refused.
    """
    sections = [
        copies_section(findings),
        labels_section(findings),
        images_section(findings),
        balance_section(findings),
        impact_section(findings),
        _changes_section(findings),
    ]
    splits = ", ".join(f"{sum(counts):,} {split}" for split, counts in findings.faces.counts_by_split().items())
    lead = f"{samples_text(len(findings.faces))} ({splits}), {len(findings.faces.classes)} classes."
    lead = " ".join((lead, *findings.notes))
    page = Page(title, lead, sections, metadata, findings.not_checked, classes=findings.faces.classes)
    return page.write(folder, PAGE)


def audit_tables(findings: AuditFindings) -> RenderableType:
    """The main tables of the page: something rich can print."""
    parts: list[tuple[str, Table]] = [
        ("Copies", copies_table(findings)),
        ("Image quality", quality_issues_table(findings)),
        ("Class balance", class_balance_table(findings)),
        (
            "Separability of splits by light and a thumbnail; AUC 0.5 is chance",
            separability_table("split-tests", "splits", findings.split_tests),
        ),
        (
            "Shortcuts: classes predicted without the face; AUC 0.5 is chance",
            separability_table("shortcut-tests", "features", findings.shortcut_tests),
        ),
        ("Label-noise ceiling; the page lists the assumptions", ceilings_table(findings)),
    ]
    if findings.outlier_ranking is not None:
        title = "Outliers in which most voters see no face"
        parts.insert(2, (title, ranking_table("outliers-ranking", findings.outlier_ranking)))
    if findings.label_review is not None:
        if findings.label_review.ranking is not None:
            title = "Doubtful labels that most voters contradict"
            parts.insert(1, (title, ranking_table("doubtful-labels-ranking", findings.label_review.ranking)))
        parts.append(("Metrics with and without copies", subsets_table(findings.label_review.subsets)))
    parts.append(("Suggested changes (clean.toml)", changes_table(findings)))
    shown = [_shown(name, table) for name, table in parts if table.rows]
    notices = [RichText(f"\n{each.line}") for each in (*findings.notes, *findings.not_checked)]
    return Group(*shown, *notices)


def _changes_section(findings: AuditFindings) -> Section:
    columns = ("row", "split", "label", "to", "kind", "reason", "source")
    rows = [tuple(getattr(change, name) for name in columns) for change in findings.changes]
    return Section(
        "changes",
        "Suggested changes (clean.toml)",
        (
            Text(
                "Samples to drop or relabel, each with its reason. Review the file and delete the lines that you "
                "disagree with. Then give it to any command with --clean. The data on disk is not changed. For "
                "validation and test only blank images, and identical images with conflicting labels in one split, "
                "are listed."
            ),
            changes_table(findings),
            Table("list-of-changes", tuple(Column(name, "text") for name in columns), rows, shown=0),
        ),
    )


def _shown(title: str, table: Table) -> RenderableType:
    caption = [RichText(table.caption, style="dim")] if table.caption else []
    return titled(title, Group(rich_table(table), *caption))
