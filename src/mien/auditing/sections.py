"""The sections of an audit's page, and all its findings as JSON. The table in front of a section is also a terminal's.

To add a check, add a function that returns its :class:`Section` and an entry in :data:`SECTIONS`; its counts for
``audit.json`` are in :func:`audit_values`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text as RichText

from mien.auditing.run import AuditFindings, LabelReview
from mien.base.arrays import Ints, evenly
from mien.checks.copies import has_copy, in_conflict
from mien.evaluation.results import json_ready
from mien.page.page import Block, FaceRow, FaceTile, Page, Row, Section, Table, Text, WrittenPage, columns_of
from mien.page.terminal import rich_table, sample_tile, titled
from mien.page.wording import counted, data_address

PAIRS_SHOWN = 16
GROUPS_SHOWN = 12
FACES_OF_A_GROUP = 6
DOUBTFUL_SHOWN = 48
IMAGES_PER_ISSUE = 16
OUTLIERS_SHOWN = 48


def copies_section(findings: AuditFindings) -> Section:
    """Build the section about the same image in several samples, maybe in other splits or with other labels."""
    exact, near, pairs = findings.identical_counts, findings.near_counts, findings.near
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
    blocks: list[Block] = [
        Table("copies", columns_of({"copies": "text", "identical": "count", "identical or near": "count"}), rows),
        Text(
            f"Identical: the same pixels. Near: mirrored, shifted by a few pixels, cropped by up to a tenth, "
            f"recompressed, lighter or darker: {len(pairs.first):,} pairs. Images with too little contrast are not "
            f"compared. See docs/audit.md.",
            soft=True,
        ),
        groups_table(findings),
    ]
    across = np.flatnonzero(findings.faces.split[pairs.first] != findings.faces.split[pairs.second])
    if len(across):
        shown = tuple(_pair(findings, int(pair)) for pair in evenly(across, PAIRS_SHOWN))
        blocks += [Text(f"Near-copies across splits: examples from {len(across):,} pairs."), Row(shown)]
    disputed = np.unique(pairs.groups[in_conflict(pairs.groups, findings.faces.labels)])
    if len(disputed):
        groups = tuple(_group(findings, int(group)) for group in evenly(disputed, GROUPS_SHOWN))
        blocks += [Text(f"Conflicting labels of one image: examples from {len(disputed):,} images."), Row(groups)]
    return Section("copies", "Copies", tuple(blocks))


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


def _tiles(findings: AuditFindings, indices: Sequence[int] | Ints) -> tuple[FaceTile, ...]:
    faces, tiles = findings.faces, []
    for at in indices:
        caption = f"{faces.classes[faces.labels[at]]}, {faces.split[at]} {faces.rows[at]}"
        file = str(faces.source[at])
        tiles.append(FaceTile(data_address(faces.images[at]), caption, (("file", file, None),) if file else ()))
    return tuple(tiles)


def _pair(findings: AuditFindings, pair: int) -> FaceRow:
    near = findings.near
    return FaceRow(f"correlation {near.correlation[pair]:.3f}", _tiles(findings, [near.first[pair], near.second[pair]]))


def _group(findings: AuditFindings, group: int) -> FaceRow:
    members = np.flatnonzero(findings.near.groups == group)
    labels = findings.faces.labels[members]
    counts = [f"{findings.faces.classes[at]} {count}" for at, count in enumerate(np.bincount(labels)) if count]
    # Faces with rare labels come first, so that the first few show the conflict.
    order = members[np.argsort(np.bincount(labels)[labels], kind="stable")][:FACES_OF_A_GROUP]
    return FaceRow(", ".join(counts), _tiles(findings, order))


def labels_section(findings: AuditFindings) -> Section:
    """Build the section about labels that a model's predictions contradict."""
    review = findings.label_review
    if review is None:
        words = "Labels were not reviewed: no predictions were given. Only conflicting copies are known."
        return Section("labels", "Doubtful labels", (Text(words),))
    issues, accuracy = review.issues, review.predictions.accuracy
    rows = [
        ("reviewed", len(review.predictions), None),
        ("label predicted by the model", round(accuracy * len(review.predictions)), None),
        ("flagged by confident learning", int(issues.flagged.sum()), review.flagged_confirmed),
        ("of these, model and neighbours agree on one other class", int(issues.sure.sum()), None),
    ]
    columns = columns_of({"labels": "text", "samples": "count", "most voters contradict": "percent"})
    of_train, scope = "", "No sample of train was predicted, so no change is suggested. "
    if (findings.faces.split[review.indices] == "train").any():
        scope = "Labels of other splits are not used: validation and test must not influence changes in train. "
        of_train = " of train"
    unchecked = "There are no votes to check this: look at the faces." if review.flagged_confirmed is None else ""
    worst = np.argsort(-issues.suspicion, kind="stable")[:DOUBTFUL_SHOWN]
    blocks = (
        Table("doubtful-labels-counts", columns, rows),
        Text(
            f"Samples are ranked by two scores: the probability of the label, and the fraction of nearest "
            f"neighbours{of_train} with the same label. {scope}{unchecked}"
        ),
        label_issues_table(findings, review),
        FaceRow("Most doubtful labels", tuple(_doubtful_tile(findings, review, int(each)) for each in worst)),
    )
    return Section("labels", "Doubtful labels", blocks)


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


def images_section(findings: AuditFindings) -> Section:
    """Build the section about corrupted images, and images without a face."""
    columns = columns_of({"issue": "text", "samples": "count", "meaning": "text"})
    rows = [(name, int(issue.mask.sum()), issue.meaning) for name, issue in findings.quality_issues.items()]
    blocks: list[Block] = [Table("quality-issues", columns, rows)]
    for name, issue in findings.quality_issues.items():
        worst = np.flatnonzero(issue.mask)
        worst = worst[np.argsort(issue.severity[worst], kind="stable")][:IMAGES_PER_ISSUE]
        if len(worst):
            blocks.append(FaceRow(f"{name}: {int(issue.mask.sum()):,}", _tiles(findings, worst)))
    unusual = np.argsort(-findings.outliers, kind="stable")[:OUTLIERS_SHOWN]
    blocks += [
        Text("Outliers are ranked by how rare their frequencies and tones are. Very close crops are among them."),
        FaceRow("Most unusual images", _tiles(findings, unusual)),
    ]
    return Section("images", "Image quality", tuple(blocks))


def ceiling_section(findings: AuditFindings) -> Section | None:
    """Build the section about the accuracy ceiling set by the annotators' disagreement; None without votes."""
    if not findings.ceilings:
        return None
    columns = columns_of(
        {"split": "text", "samples": "count", "a second panel": "percent", "the best answers": "percent"}
    )
    rows = [(name, of.samples, of.second_panel, of.best_answer) for name, of in findings.ceilings.items()]
    words = Text(
        "Annotators disagree, and this limits the accuracy on their majority. The table says how often as many other "
        "people would have the same majority, and how often the most probable answer would be theirs: the ceiling. "
        "Such panels are drawn from the votes, on samples with a majority by FER+'s protocol.",
        soft=True,
    )
    title = "Label-noise ceiling: accuracy on the majority of annotators"
    return Section("ceiling", title, (Table("ceilings", columns, rows), words))


def changes_section(findings: AuditFindings) -> Section:
    """Build the section about the suggested changes, as ``clean.toml`` lists them."""
    splits, counts = tuple(findings.faces.counts_by_split()), _change_counts(findings)
    summary = columns_of({"change": "text", **dict.fromkeys(splits, "count")})
    counted_rows = [(kind, *(of.get(split, 0) for split in splits)) for kind, of in counts.items()]
    columns = ("row", "split", "label", "to", "kind", "reason", "source")
    rows = [tuple(getattr(change, name) for name in columns) for change in findings.changes]
    blocks: tuple[Block, ...] = (
        *([Table("changes", summary, counted_rows)] if counts else []),
        Text(
            "Samples to drop or relabel, each with its reason. Review the file: delete lines that you disagree "
            "with. Give it to any command except audit with --clean. The data on disk is not changed. Only "
            "blank images and conflicting identical images of one split are listed for validation and test."
        ),
        Table("list-of-changes", columns_of(dict.fromkeys(columns, "text")), rows, shown=0),
    )
    return Section("changes", "Suggested changes (clean.toml)", blocks)


def _change_counts(findings: AuditFindings) -> dict[str, dict[str, int]]:
    """Count the changes by kind and split, ``{"drop copy": {"train": 12}}``."""
    counts: dict[str, dict[str, int]] = {}
    for change in findings.changes:
        of_kind = counts.setdefault(f"{'drop' if change.to is None else 'relabel'} {change.kind}", {})
        of_kind[change.split] = of_kind.get(change.split, 0) + 1
    return dict(sorted(counts.items()))


SECTIONS: tuple[Callable[[AuditFindings], Section | None], ...] = (
    copies_section,
    labels_section,
    images_section,
    ceiling_section,
    changes_section,
)
"""All sections, in the order of page and terminal. One that does not apply is None."""


def audit_values(findings: AuditFindings) -> dict[str, Any]:
    """Return all counts, JSON-ready, with NaN as None. Single samples are listed only in the page's tables."""
    faces, review = findings.faces, findings.label_review
    labels: dict[str, Any] | None = None
    if review is not None:
        of = review.predictions
        labels = {"samples": len(of), "accuracy": of.accuracy, "split": of.split}
        labels |= {name: int(getattr(review.issues, name).sum()) for name in ("evidence", "flagged", "sure")}
        labels |= {"flagged_confirmed": review.flagged_confirmed}
    content = {
        "faces": len(faces),
        "classes": faces.classes,
        "data_fingerprint": faces.fingerprint,
        "counts": {split: dict(zip(faces.classes, of, strict=True)) for split, of in faces.counts_by_split().items()},
        "identical": findings.identical_counts,
        "identical_or_near": findings.near_counts,
        "near_pairs": len(findings.near.first),
        "labels": labels,
        "quality_issues": {name: int(issue.mask.sum()) for name, issue in findings.quality_issues.items()},
        "ceilings": findings.ceilings,
        "changes": _change_counts(findings),
        "not_checked": findings.not_checked,
    }
    return dict(json_ready(content))


def audit_sections(findings: AuditFindings) -> list[Section]:
    """Build the sections that apply."""
    return [section for build in SECTIONS if (section := build(findings)) is not None]


def audit_tables(findings: AuditFindings) -> RenderableType:
    """Return the tables in front of the sections, printable by rich."""
    first = [(section.title, section.blocks[0]) for section in audit_sections(findings)]
    shown = [titled(title, rich_table(table)) for title, table in first if isinstance(table, Table)]
    return Group(*shown, *[RichText(f"\n{each.line}") for each in findings.not_checked])


def write_audit(folder: Path, findings: AuditFindings, *, title: str, metadata: Mapping[str, str]) -> WrittenPage:
    """Write ``audit.html`` with its charts and tables into a folder, the page last; needs matplotlib and jinja2."""
    faces = findings.faces
    splits = ", ".join(f"{sum(counts):,} {split}" for split, counts in faces.counts_by_split().items())
    lead = f"{counted(len(faces), 'sample')} ({splits}), {len(faces.classes)} classes."
    page = Page(title, lead, audit_sections(findings), metadata, findings.not_checked, classes=faces.classes)
    return page.write(folder, "audit.html")
