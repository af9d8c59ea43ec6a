"""The sections of an audit, each with its findings as JSON, table and page blocks.

To add a check, add its class to :data:`Check` and an entry in :data:`CHECKS`. ``key`` is the id of its section on the
page, ``title`` also that of its table in a terminal. ``values`` go into ``audit.json``; a table without rows says that
the check does not apply; ``blocks`` are below the table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from rich.console import Group, RenderableType
from rich.text import Text as RichText

from mien.auditing.run import AuditFindings, LabelReview
from mien.checks.copies import has_copy, in_conflict
from mien.evaluation.results import json_ready
from mien.page.blocks import Block, FaceRow, FaceTile, Row, Section, Table, Text, columns_of
from mien.page.page import Page, WrittenPage
from mien.page.rendering import data_address
from mien.page.sections import sample_tile
from mien.page.terminal import rich_table, titled
from mien.page.wording import counted

PAIRS_SHOWN = 16
GROUPS_SHOWN = 12
FACES_OF_A_GROUP = 6
DOUBTFUL_SHOWN = 48
IMAGES_PER_ISSUE = 16
OUTLIERS_SHOWN = 48


class _Copies:
    """Copies: the same image in several samples, maybe in other splits or with other labels."""

    key = "copies"
    title = "Copies"

    def values(self, findings: AuditFindings) -> dict[str, Any]:
        return {
            "identical": findings.identical_counts,
            "identical_or_near": findings.near_counts,
            "near_pairs": len(findings.near.first),
        }

    def table(self, findings: AuditFindings) -> Table:
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
        return Table("copies", columns_of({"copies": "text", "identical": "count", "identical or near": "count"}), rows)

    def blocks(self, findings: AuditFindings) -> list[Block]:
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
        across = np.flatnonzero(findings.faces.split[near.first] != findings.faces.split[near.second])
        if len(across):
            pairs = tuple(_pair(findings, int(pair)) for pair in _spread(across, PAIRS_SHOWN))
            found += [Text(f"Near-copies across splits: examples from {len(across):,} pairs."), Row(pairs)]
        disputed = np.unique(near.groups[in_conflict(near.groups, findings.faces.labels)])
        if len(disputed):
            groups = tuple(_group(findings, int(group)) for group in _spread(disputed, GROUPS_SHOWN))
            found += [Text(f"Conflicting labels of one image: examples from {len(disputed):,} images."), Row(groups)]
        return found


def groups_table(findings: AuditFindings) -> Table:
    """Return a table of all samples that have a copy, with group ids, which is saved as a file."""
    faces = findings.faces
    several = np.flatnonzero(has_copy(findings.near.groups))
    order = several[np.lexsort((several, findings.near.identical[several], findings.near.groups[several]))]
    names = ("group", "identical group", "sample", "split", "label", "source")
    rows = [
        (
            int(findings.near.groups[at]), int(findings.near.identical[at]), int(faces.rows[at]),
            str(faces.split[at]), faces.classes[faces.labels[at]], str(faces.source[at]),
        )
        for at in order
    ]  # fmt: skip
    return Table("copied-samples", columns_of(dict.fromkeys(names, "text")), rows, shown=0)


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


class _Labels:
    """Labels that a model's predictions contradict."""

    key = "labels"
    title = "Doubtful labels"

    def values(self, findings: AuditFindings) -> dict[str, Any]:
        review = findings.label_review
        if review is None:
            return {"labels": None}
        of = review.predictions
        counts = {name: int(getattr(review.issues, name).sum()) for name in ("evidence", "flagged", "sure")}
        measured = {"samples": len(of), "accuracy": of.accuracy, "split": of.split, **counts}
        return {"labels": {**measured, "flagged_confirmed": review.flagged_confirmed}}

    def table(self, findings: AuditFindings) -> Table:
        review = findings.label_review
        columns = columns_of({"labels": "text", "samples": "count", "most voters contradict": "percent"})
        rows: list[tuple[Any, ...]] = []
        if review is not None:
            issues = review.issues
            rows = [
                ("reviewed", len(review.predictions), None),
                ("label predicted by the model", round(review.predictions.accuracy * len(review.predictions)), None),
                ("flagged by confident learning", int(issues.flagged.sum()), review.flagged_confirmed),
                ("of these, model and neighbours agree on one other class", int(issues.sure.sum()), None),
            ]
        return Table("doubtful-labels-counts", columns, rows)

    def blocks(self, findings: AuditFindings) -> list[Block]:
        review = findings.label_review
        if review is None:
            return [Text("Labels were not reviewed: no predictions were given. Only conflicting copies are known.")]
        of_train, scope = "", "No sample of train was predicted, so no change is suggested. "
        if (findings.faces.split[review.indices] == "train").any():
            scope = "Labels of other splits are not used: validation and test must not influence changes in train. "
            of_train = " of train"
        unchecked = "There are no votes to check this: look at the faces." if review.flagged_confirmed is None else ""
        worst = np.argsort(-review.issues.suspicion, kind="stable")[:DOUBTFUL_SHOWN]
        return [
            Text(
                f"Samples are ranked by two scores: the probability of the label, and the fraction of nearest "
                f"neighbours{of_train} with the same label. {scope}{unchecked}"
            ),
            label_issues_table(findings, review),
            FaceRow("Most doubtful labels", tuple(_doubtful_tile(findings, review, int(each)) for each in worst)),
        ]


def label_issues_table(findings: AuditFindings, review: LabelReview) -> Table:
    """Return a table of all reviewed samples for the files, the most doubtful first."""
    issues, predictions = review.issues, review.predictions
    columns = columns_of(
        {
            "sample": "text", "label": "text", "suggested": "text", "probability of label": "decimal",
            "agreeing neighbours": "decimal", "flagged": "text", "votes": "text", "source": "text",
        }
    )  # fmt: skip
    rows = [
        (
            int(predictions.sample_ids[at]), predictions.classes[predictions.labels[at]],
            predictions.classes[issues.suggested[at]],
            float(issues.confidence[at]), float(issues.agreement[at]), "yes" if issues.flagged[at] else "no",
            findings.faces.votes_on(int(review.indices[at])), str(findings.faces.source[review.indices[at]]),
        )
        for at in np.argsort(-issues.suspicion, kind="stable")
    ]  # fmt: skip
    return Table("doubtful-labels", columns, rows, shown=0)


def _doubtful_tile(findings: AuditFindings, review: LabelReview, at: int) -> FaceTile:
    predictions = review.predictions
    label, suggested = (predictions.classes[each[at]] for each in (predictions.labels, review.issues.suggested))
    caption = f"label {label}, suggested {suggested}"
    return sample_tile(predictions, at, findings.faces, int(review.indices[at]), caption)


class _Images:
    """Corrupted images, and images without a face."""

    key = "images"
    title = "Image quality"

    def values(self, findings: AuditFindings) -> dict[str, Any]:
        return {"quality_issues": {name: int(issue.mask.sum()) for name, issue in findings.quality_issues.items()}}

    def table(self, findings: AuditFindings) -> Table:
        rows = [(name, int(issue.mask.sum()), issue.meaning) for name, issue in findings.quality_issues.items()]
        return Table("quality-issues", columns_of({"issue": "text", "samples": "count", "meaning": "text"}), rows)

    def blocks(self, findings: AuditFindings) -> list[Block]:
        unusual = np.argsort(-findings.outliers, kind="stable")[:OUTLIERS_SHOWN]
        shown: list[Block] = []
        for name, issue in findings.quality_issues.items():
            worst = np.flatnonzero(issue.mask)
            worst = worst[np.argsort(issue.severity[worst], kind="stable")][:IMAGES_PER_ISSUE]
            if len(worst):
                title = f"{name}: {int(issue.mask.sum()):,}"
                shown.append(FaceRow(title, tuple(face_tile(findings, int(each)) for each in worst)))
        tiles = tuple(face_tile(findings, int(each)) for each in unusual)
        return [
            *shown,
            Text("Outliers are ranked by how rare their frequencies and tones are. Very close crops are among them."),
            FaceRow("Most unusual images", tiles),
        ]


class _Ceiling:
    """The accuracy ceiling set by the annotators' disagreement."""

    key = "ceiling"
    title = "Label-noise ceiling: accuracy on the majority of annotators"

    def values(self, findings: AuditFindings) -> dict[str, Any]:
        return {"ceilings": findings.ceilings}

    def table(self, findings: AuditFindings) -> Table:
        columns = columns_of(
            {"split": "text", "samples": "count", "a second panel": "percent", "the best answers": "percent"}
        )
        found = findings.ceilings.items()
        return Table("ceilings", columns, [(name, of.samples, of.second_panel, of.best_answer) for name, of in found])

    def blocks(self, findings: AuditFindings) -> list[Block]:
        if not findings.ceilings:
            return []
        return [
            Text(
                "Annotators disagree, and this limits the accuracy on their majority. The table says how often as "
                "many other people would have the same majority, and how often the most probable answer would be "
                "theirs: the ceiling. Such panels are drawn from the votes, on samples with a majority by FER+'s "
                "protocol.",
                soft=True,
            )
        ]


class _Changes:
    """The suggested changes, as ``clean.toml`` lists them."""

    key = "changes"
    title = "Suggested changes (clean.toml)"

    def values(self, findings: AuditFindings) -> dict[str, Any]:
        """Count the changes by kind and split, ``{"drop copy": {"train": 12}}``."""
        counts: dict[str, dict[str, int]] = {}
        for change in findings.changes:
            of_kind = counts.setdefault(f"{'drop' if change.to is None else 'relabel'} {change.kind}", {})
            of_kind[change.split] = of_kind.get(change.split, 0) + 1
        return {"changes": dict(sorted(counts.items()))}

    def table(self, findings: AuditFindings) -> Table:
        splits = tuple(findings.faces.counts_by_split())
        columns = columns_of({"change": "text", **dict.fromkeys(splits, "count")})
        counted = self.values(findings)["changes"].items()
        return Table("changes", columns, [(kind, *(of.get(split, 0) for split in splits)) for kind, of in counted])

    def blocks(self, findings: AuditFindings) -> list[Block]:
        columns = ("row", "split", "label", "to", "kind", "reason", "source")
        rows = [tuple(getattr(change, name) for name in columns) for change in findings.changes]
        return [
            Text(
                "Samples to drop or relabel, each with its reason. Review the file: delete lines that you disagree "
                "with. Give it to any command except audit with --clean. The data on disk is not changed. Only "
                "blank images and conflicting identical images of one split are listed for validation and test."
            ),
            Table("list-of-changes", columns_of(dict.fromkeys(columns, "text")), rows, shown=0),
        ]


Check: TypeAlias = _Copies | _Labels | _Images | _Ceiling | _Changes

CHECKS: tuple[Check, ...] = (_Copies(), _Labels(), _Images(), _Ceiling(), _Changes())
"""All sections, in the order of page and terminal."""


def audit_values(findings: AuditFindings) -> dict[str, Any]:
    """Return all counts, JSON-ready, with NaN as None. Single samples are listed only in the page's tables."""
    faces = findings.faces
    counts = {split: dict(zip(faces.classes, of, strict=True)) for split, of in faces.counts_by_split().items()}
    content: dict[str, Any] = {"faces": len(faces), "classes": faces.classes, "data_fingerprint": faces.fingerprint}
    content["counts"] = counts
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
    return Group(*shown, *[RichText(f"\n{each.line}") for each in findings.not_checked])


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
    lead = f"{counted(len(findings.faces), 'sample')} ({splits}), {len(findings.faces.classes)} classes."
    page = Page(title, lead, sections, metadata, findings.not_checked, classes=findings.faces.classes)
    return page.write(folder, "audit.html")
