"""Labels that a model contradicts, what the list of them is worth, and what would be changed."""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.audit.ranking import RankingWorth
from mien.audit.votes import vote_words
from mien.evaluation.intervals import share_of
from mien.report.audit_material import AuditMaterial, Judged
from mien.report.blocks import Block, Column, Face, Faces, Section, Table, Text
from mien.report.pictures import data_address
from mien.report.wording import interval_text, percent

SHOWN = 48


def worth_table(name: str, worth: RankingWorth) -> Table:
    """What a ranking finds among its first rows, beside what a random one would."""
    columns = (Column("of the ranking", "text"), Column("rows", "count"), Column("confirmed", "percent"))
    rows: list[tuple[Any, ...]] = [
        (f"the first {each.rows:,}", each.rows, share_of(each.hits, each.rows)) for each in worth.depths
    ]
    rows.append(("all, as at random", worth.rows, share_of(worth.positive, worth.rows)))
    return Table(name, columns, rows, f"Area under the ROC curve of the whole ranking: {worth.auc:.3f}; 0.5 is chance.")


def labels_section(material: AuditMaterial) -> Section:
    """The most doubtful labels with faces, and the worth of the ranking."""
    judged = material.judged
    if judged is None:
        words = "No model judged the labels, so none is doubted but those of copies that disagree."
        return Section("labels", "Doubtful labels", (Text(words),))
    doubts = judged.doubts
    judges, of_train = int(doubts.evidence.sum()), judged.of_train.any()
    blocks: list[Block] = [
        Text(
            f"{len(judged.scores):,} rows ({judged.scores.split}) are ranked by the model's probability of the label "
            f"and by how many of the rows{' of train' if of_train else ''} that the model finds most like it have that "
            f"label. Of {judges:,} rows{' of train' if of_train else ''} {int(doubts.flagged.sum()):,} are flagged by "
            f"confident learning; of {int(doubts.sure.sum()):,} of these, model and neighbours are sure that one other "
            f"class is right. "
            + (
                "Labels of other splits are no evidence: what is changed in train must not follow from what a model "
                "is measured by."
                if of_train
                else "No row of train was judged, so nothing is suggested."
            )
        ),
        *_worth(judged),
        doubts_table(material, judged),
    ]
    worst = np.argsort(-doubts.suspicion, kind="stable")[:SHOWN]
    blocks.append(Faces("The most doubtful labels", tuple(_doubtful(material, judged, int(each)) for each in worst)))
    return Section("labels", "Doubtful labels", tuple(blocks))


def doubts_table(material: AuditMaterial, judged: Judged) -> Table:
    """Every judged row, the most doubtful first, for the files; the flagged ones in short on the page."""
    doubts, scores = judged.doubts, judged.scores
    columns = (
        Column("row", "text"), Column("label", "text"), Column("model says", "text"), Column("probability of label"),
        Column("share of neighbours"), Column("flagged", "text"), Column("votes", "text"),
        Column("source", "text"),
    )  # fmt: skip
    rows = [
        (
            int(scores.rows[at]), scores.classes[scores.labels[at]], scores.classes[doubts.suggested[at]],
            float(doubts.confidence[at]), float(doubts.agreement[at]), "yes" if doubts.flagged[at] else "no",
            votes_on(material, int(judged.places[at])), str(material.faces.source[judged.places[at]]),
        )
        for at in np.argsort(-doubts.suspicion, kind="stable")
    ]  # fmt: skip
    return Table("doubtful-labels", columns, rows, shown=0)


def changes_table(material: AuditMaterial) -> Table:
    """How many rows the list of changes would drop or relabel, by reason and split."""
    splits = tuple(material.faces.counts_by_split())
    columns = (Column("change", "text"), *(Column(split, "count") for split in splits))
    rows = [(what, *(of.get(split, 0) for split in splits)) for what, of in material.change_counts().items()]
    return Table("changes", columns, rows)


def votes_on(material: AuditMaterial, index: int) -> str:
    """:func:`mien.audit.votes.vote_words` of a face; ``""`` where nobody voted."""
    votes = material.votes
    if votes is None or not votes.counts[index]:
        return ""
    return vote_words(votes.shares[index] * votes.counts[index])


def _worth(judged: Judged) -> list[Block]:
    if judged.worth is None:
        return [Text("There are no votes to check the list against: look at the faces before you trust it.")]
    blocks: list[Block] = [
        Text("Confirmed: most of the people who voted on the face give another answer than its label."),
        worth_table("worth-of-doubts", judged.worth),
    ]
    flagged = judged.worth_of_flagged
    if flagged is not None:
        blocks.append(Text(f"Of the flagged rows: {percent(flagged.value)} ({interval_text('accuracy', flagged)})."))
    return blocks


def _doubtful(material: AuditMaterial, judged: Judged, at: int) -> Face:
    scores, place = judged.scores, int(judged.places[at])
    probabilities = scores.probabilities[at]
    order = np.argsort(-probabilities, kind="stable")
    detail: list[tuple[str, str, float | None]] = [
        (scores.classes[each], percent(float(probabilities[each]), 0), float(probabilities[each])) for each in order
    ]
    votes = votes_on(material, place)
    detail += [("people's votes", votes, None)] if votes else []
    detail.append(("row", f"{scores.rows[at]}, {material.faces.split[place]}", None))
    words = f"{scores.classes[scores.labels[at]]}? {scores.classes[judged.doubts.suggested[at]]}"
    return Face(data_address(material.faces.images[place]), words, tuple(detail))
