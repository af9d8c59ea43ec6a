"""The audit's page, ``audit.html``, and its table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text as RichText

from mien.report import wording
from mien.report.audit_material import AuditMaterial
from mien.report.blocks import Column, Section, Table, Text
from mien.report.full_page import Written, write_files
from mien.report.printed import printed, titled
from mien.report.rendering import render
from mien.report.sections.audit_balance import balance_section, shares_table, tellings_table
from mien.report.sections.audit_copies import copies_section, copies_table
from mien.report.sections.audit_labels import changes_table, labels_section, worth_table
from mien.report.sections.audit_meaning import ceilings_table, meaning_section
from mien.report.sections.audit_pictures import faults_table, pictures_section
from mien.report.sections.quality import parts_table

PAGE = "audit.html"


def write_audit(folder: Path, material: AuditMaterial, *, title: str, facts: Mapping[str, str]) -> Written:
    """Write ``audit.html`` with its figures and tables into a folder; the page last.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
        RunError: the file system refused.
    """
    sections = [
        copies_section(material),
        labels_section(material),
        pictures_section(material),
        balance_section(material),
        meaning_section(material),
        _changes_section(material),
    ]
    splits = ", ".join(f"{sum(counts):,} {split}" for split, counts in material.faces.counts_by_split().items())
    page = render(
        "full.html.j2",
        title=title,
        lead=f"{wording.rows_text(len(material.faces))} ({splits}), {len(material.faces.classes)} classes. "
        + " ".join(material.notes),
        class_count=len(material.faces.classes),
        evaluation=None,
        sections=sections,
        left_out=material.left_out,
        facts=dict(facts),
        wording=wording,
    )
    return write_files(folder, page, sections, PAGE)


def audit_tables(material: AuditMaterial) -> RenderableType:
    """The same in short: something rich can print."""
    parts: list[tuple[str, Table]] = [
        ("Copies", copies_table(material)),
        ("Bad pictures", faults_table(material)),
        ("Class shares", shares_table(material)),
        (
            "Splits told apart by light and a thumbnail; 0.5 is not at all",
            tellings_table("splits-apart", "splits", material.splits_apart),
        ),
        (
            "Classes told without the face; 0.5 is not at all",
            tellings_table("shortcuts", "told by", material.shortcuts),
        ),
        ("How right one can be; what each takes for granted is on the page", ceilings_table(material)),
    ]
    if material.outlier_worth is not None:
        title = "Unusual pictures that most voters see no face in"
        parts.insert(2, (title, worth_table("worth-of-outliers", material.outlier_worth)))
    if material.judged is not None:
        if material.judged.worth is not None:
            title = "Doubtful labels that most voters contradict"
            parts.insert(1, (title, worth_table("worth-of-doubts", material.judged.worth)))
        parts.append(("The score, and without rows that copies spoil", parts_table(material.judged.parts)))
    parts.append(("What clean.toml lists", changes_table(material)))
    shown = [_shown(name, table) for name, table in parts if table.rows]
    remarks = [RichText(f"\nnote: {words}") for words in (*material.notes, *material.left_out)]
    return Group(*shown, *remarks)


def _changes_section(material: AuditMaterial) -> Section:
    columns = ("row", "split", "label", "to", "kind", "reason", "source")
    rows = [tuple(getattr(change, name) for name in columns) for change in material.changes]
    return Section(
        "changes",
        "What clean.toml lists",
        (
            Text(
                "Rows that could be dropped or relabelled, each with its reason. Read the file, delete the lines that "
                "you disagree with, and give it to any command as --clean. Nothing on disk is changed. Of validation "
                "and test only blank pictures, and identical ones with other labels in the same split, are listed."
            ),
            changes_table(material),
            Table("list-of-changes", tuple(Column(name, "text") for name in columns), rows, shown=0),
        ),
    )


def _shown(title: str, table: Table) -> RenderableType:
    caption = [RichText(table.caption, style="dim")] if table.caption else []
    return titled(title, Group(printed(table), *caption))
