"""What pages and terminal show of annotators' votes."""

from __future__ import annotations

from mien.evaluation.ferplus import NO_EXPRESSION
from mien.evaluation.vote_metrics import DistributionMetrics, VoteEvaluation
from mien.labels import FERPLUS_CLASSES
from mien.page.blocks import Block, CaptionedChart, Column, Section, Table, Text
from mien.page.charts.curves import vote_reliability_chart
from mien.page.wording import decimal, samples_text

_PROTOCOL_WORDS = (
    "FER+'s protocol: of several votes on an image, single ones are dropped (shares are kept); the majority is the "
    "class with more than half of the remaining votes; samples without a majority, or whose majority is unknown or not "
    "a face, are left out. The prediction is the most probable expression."
)


def majority_words(votes: VoteEvaluation) -> str:
    """How many samples count, and how many have no votes."""
    without = f" Without votes, and not counted: {samples_text(votes.without_votes)}." if votes.without_votes else ""
    if not votes.majority:
        return f"No majority: of {samples_text(votes.samples)}, none has a majority that is an expression.{without}"
    classes = votes.majority[0].evaluation.classes
    of_ferplus = set(classes) == set(FERPLUS_CLASSES) - set(NO_EXPRESSION)
    return (
        f"{'FER+ majority' if of_ferplus else 'Majority of the votes, by the protocol of FER+,'} of {len(classes)} "
        f"classes: {votes.with_majority:,} of {samples_text(votes.samples)} have a majority."
        f"{without}"
    )


def majority_table(votes: VoteEvaluation) -> Table:
    """Accuracy and macro-F1 of each output, on all samples with a majority and without copies."""
    columns = (
        Column("output", "text"), Column("measured on", "text"), Column("samples", "count"),
        Column("accuracy", "percent"), Column("macro-F1"),
    )  # fmt: skip
    rows = [
        (each.output, part.value, part.count, part.accuracy, part.macro_f1)
        for each in votes.majority
        for part in each.parts
    ]
    return Table("ferplus-majority", columns, rows)


def distribution_table(metrics: DistributionMetrics) -> Table:
    """Distances between the predicted distributions and those of the votes."""
    rows = [
        (f"cross-entropy, nats; best {decimal(metrics.vote_entropy)}", metrics.cross_entropy),
        ("Jensen-Shannon divergence, nats; best 0", metrics.jensen_shannon),
        ("calibration error against annotators; best 0", metrics.calibration_error),
    ]
    return Table("vote-distribution", (Column("metric", "text"), Column("value")), rows)


def votes_section(votes: VoteEvaluation) -> Section:
    """Accuracy on the majority of annotators, and the whole distribution of their votes."""
    blocks: list[Block] = [Text(majority_words(votes))]
    if votes.majority:
        blocks += [majority_table(votes), Text(_PROTOCOL_WORDS, soft=True)]
    if votes.distribution is not None:
        blocks += [
            distribution_table(votes.distribution),
            CaptionedChart(
                vote_reliability_chart(votes.distribution.reliability),
                "Fraction of annotators who chose the predicted class, by its probability, with 95% intervals. Below "
                "the dotted line the model is overconfident.",
            ),
        ]
    return Section("votes", "Votes of annotators", tuple(blocks))
