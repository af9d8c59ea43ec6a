"""Where it fails: confused pairs, worst mistakes, what merging classes would give."""

from __future__ import annotations

import json
import shlex
from typing import Any

import numpy as np

from mien.audit.votes import ANSWERS, vote_words
from mien.errors import DataError
from mien.evaluation.failures import Indices, confused_pairs, pair_examples, worst_mistakes
from mien.evaluation.intervals import share_of
from mien.evaluation.merging import Groups, merged_pairs, merged_schemes, scheme_of
from mien.labels import SCHEMES, LabelScheme, canonical_class, parse_scheme
from mien.report.blocks import Block, Column, Columns, Face, Faces, Plot, Section, Table, Text
from mien.report.material import Material
from mien.report.pictures import data_address
from mien.report.plots_failures import dendrogram_plot, merging_plot, pairs_plot
from mien.report.wording import percent

PAIRS_IN_FIGURE = 12
PAIRS_WITH_FACES = 6
FACES_OF_A_PAIR = 6
WORST = 24


def pairs_section(material: Material) -> Section:
    """The most confused pairs with counts and intervals, and faces of each."""
    pairs = confused_pairs(material.evaluation.confusion, ordered=True)
    if not pairs:
        return Section("pairs", "What is taken for what", (Text("Nothing: every row is right."),))
    rows = [(material.classes[each.first], material.classes[each.second], each.count, each.share) for each in pairs]
    columns = (
        Column("true class", "text"), Column("taken for", "text"), Column("rows", "count"),
        Column("share of the true class", "percent"),
    )  # fmt: skip
    blocks: list[Block] = [
        Plot(
            pairs_plot(pairs[:PAIRS_IN_FIGURE], material.classes),
            "The most frequent mistakes: share of the true class's rows, with its 95 % interval, and their number.",
        ),
        Table("confused-pairs", columns, rows, shown=PAIRS_IN_FIGURE),
    ]
    if material.faces is not None:
        both_ways = confused_pairs(material.evaluation.confusion)[:PAIRS_WITH_FACES]
        blocks += [_pair_faces(material, each.first, each.second, each.count) for each in both_ways]
    return Section("pairs", "What is taken for what", tuple(blocks))


def worst_section(material: Material) -> Section:
    """The mistakes it was surest of, with all probabilities and, where there are any, people's votes."""
    worst = worst_mistakes(material.scores.labels, material.scores.probabilities, WORST)
    if not len(worst):
        return Section("worst", "The worst mistakes", (Text("There are none: every row is right."),))
    blocks: list[Block] = [_worst_table(material)]
    if material.faces is not None:
        shown = Faces("", tuple(mistake(material, int(index)) for index in worst))
        blocks = [
            Text("Wrong, and surest of it. A click on a face shows all probabilities.", soft=True),
            shown,
            *blocks,
            *_votes_on_mistakes(material),
        ]
    return Section("worst", "The worst mistakes", tuple(blocks))


def merging_section(material: Material) -> Section:
    """The accuracy that merging classes would give, and the schemes that the confusion itself suggests."""
    if material.correct.all():
        words = "Every row is right: nothing is taken for anything else, and merging would gain nothing."
        return Section("merging", "Which classes belong together?", (Text(words),))
    labels, probabilities = material.scores.labels, material.scores.probabilities
    pairs = merged_pairs(labels, probabilities, material.resamples)
    merging = merged_schemes(labels, probabilities)
    named = [
        (f"{material.classes[each.first]} + {material.classes[each.second]}", each.accuracy, each.gain)
        for each in pairs
    ]
    schemes = [
        (len(each.groups), scheme_words(each.groups, material.classes), each.accuracy, each.macro_f1, each.chance)
        for each in merging.schemes
    ]
    columns = (Column("merged", "text"), Column("accuracy", "percent"), Column("gain, points", "points"))
    scheme_columns = (
        Column("classes", "count"), Column("scheme", "text"), Column("accuracy", "percent"), Column("macro-F1"),
        Column("greatest class", "percent"),
    )  # fmt: skip
    return Section(
        "merging",
        "Which classes belong together?",
        (
            Text(
                "Accuracy if two classes were one, their probabilities summed, without training anew: merging what is "
                "most confused gains most."
            ),
            Plot(merging_plot(pairs[:PAIRS_IN_FIGURE], material.classes), "Gain of accuracy, with its 95 % interval."),
            Table("merged-pairs", columns, named, shown=6),
            Text(
                "The tree joins first what is most often taken for each other; cut anywhere, it gives a label scheme."
            ),
            Plot(
                dendrogram_plot(merging.dendrogram, material.classes),
                "Distance of two classes: 1 minus the mean of the shares in which they are taken for each other.",
            ),
            Table("schemes", scheme_columns, schemes),
            Text(_study_b(merging.schemes[0].groups, material.classes)),
            Text(
                f"{_how_to_train(scheme_of(merging.schemes[0].groups, material.classes))}The schemes were found on the "
                f"rows that they are measured on, which flatters them a little; fewer classes are easier, too.",
                soft=True,
            ),
        ),
    )


def _how_to_train(scheme: LabelScheme) -> str:
    """What trains with a scheme; nothing where its text would be read as another, as names can hold its signs."""
    try:
        read = parse_scheme(scheme.name)
    except DataError:
        return ""
    if read is None or read.groups != scheme.groups:
        return ""
    change = shlex.quote(f"classes={json.dumps(scheme.name, ensure_ascii=False)}")
    return f"To train with the scheme of two: --set {change}. "


def face_at(material: Material, index: int, words: str) -> Face:
    """The face of a row."""
    assert material.faces is not None
    return Face(data_address(material.faces.images[index]), words)


def mistake(material: Material, index: int, like: tuple[Face, ...] = (), like_title: str = "") -> Face:
    """A wrong row's face with everything known about it."""
    assert material.faces is not None
    probabilities = material.scores.probabilities[index]
    order = np.argsort(-probabilities, kind="stable")
    detail: list[tuple[str, str, float | None]] = [
        (material.classes[each], percent(float(probabilities[each]), 0), float(probabilities[each])) for each in order
    ]
    votes = votes_on(material, index)
    if votes:
        detail.append(("people's votes", votes, None))
    detail.append(("row", str(material.scores.rows[index]), None))
    true, called = material.classes[material.scores.labels[index]], material.classes[material.predictions[index]]
    words = f"{true}, read as {called} {percent(float(probabilities.max()), 0)}"
    return Face(data_address(material.faces.images[index]), words, tuple(detail), like, like_title)


def votes_on(material: Material, index: int) -> str:
    """:func:`mien.audit.votes.vote_words` of a face; ``""`` where there are none."""
    return "" if material.votes is None else vote_words(material.votes[index])


def scheme_words(groups: Groups, classes: tuple[str, ...]) -> str:
    """``"angry + sad | happy"``."""
    return " | ".join(" + ".join(classes[index] for index in group) for group in groups)


def _pair_faces(material: Material, first: int, second: int, count: int) -> Columns:
    # More than are shown: copies of a picture, of which FER2013 has many, are shown once.
    examples = pair_examples(material.scores.labels, material.scores.probabilities, first, second, 3 * FACES_OF_A_PAIR)
    a, b = material.classes[first], material.classes[second]
    parts = []
    for title, rows, column in (
        (f"{a}, read as {b}", examples.first_as_second, second),
        (f"{b}, read as {a}", examples.second_as_first, first),
        (f"typical {a}, rightly read", examples.typical_first, first),
        (f"typical {b}, rightly read", examples.typical_second, second),
    ):
        faces = tuple(
            face_at(material, int(row), percent(float(material.scores.probabilities[row, column]), 0))
            for row in _different(material, rows)[:FACES_OF_A_PAIR]
        )
        if faces:
            parts.append(Faces(title, faces))
    return Columns(f"{a} and {b}: {count:,} mistakes", tuple(parts))


def _different(material: Material, rows: Indices) -> Indices:
    """The rows without those whose picture an earlier one has."""
    assert material.groups is not None
    _, first = np.unique(material.groups[rows], return_index=True)
    return rows[np.sort(first)]


def _worst_table(material: Material) -> Table:
    worst = worst_mistakes(material.scores.labels, material.scores.probabilities, 100)
    columns = (
        Column("row", "text"), Column("true class", "text"), Column("read as", "text"), Column("confidence"),
        Column("probability of the truth"), Column("people's votes", "text"),
    )  # fmt: skip
    rows = [
        (
            int(material.scores.rows[index]),
            material.classes[material.scores.labels[index]],
            material.classes[material.predictions[index]],
            float(material.confidence[index]),
            float(material.scores.probabilities[index, material.scores.labels[index]]),
            votes_on(material, int(index)),
        )
        for index in worst
    ]
    # Without votes there is nothing to say in the last column.
    kept = len(columns) if any(row[-1] for row in rows) else -1
    cut: list[tuple[Any, ...]] = [row[:kept] for row in rows]
    return Table("worst-mistakes", columns[:kept], cut, shown=0 if material.faces is not None else 12)


def _votes_on_mistakes(material: Material) -> list[Block]:
    """What most people said of the faces that were read wrongly, and of those read rightly."""
    votes = material.votes
    if votes is None:
        return []
    names = np.array([canonical_class(name) for name in ANSWERS])
    voted = votes.sum(axis=1) > 0
    most = 2 * votes.max(axis=1) > votes.sum(axis=1)
    said = names[votes.argmax(axis=1)]
    classes = np.array(material.classes)
    truth, read = classes[material.scores.labels], classes[material.predictions]
    kinds = (
        ("most people say what the model read", most & (said == read)),
        ("most people say what the label says", most & (said == truth)),
        ("most people say something else", most & (said != read) & (said != truth)),
        ("no answer has most of the votes", ~most),
    )
    wrong, right, rows = ~material.correct & voted, material.correct & voted, []
    for words, kind in kinds:
        rows.append((words, share_of((kind & wrong).sum(), wrong.sum()), share_of((kind & right).sum(), right.sum())))
    columns = (Column("FER+ votes", "text"), Column("of wrong rows", "percent"), Column("of right rows", "percent"))
    without = int((~voted).sum())
    caption = f"Rows without votes, left out: {without:,}." if without else ""
    return [Table("votes-on-mistakes", columns, rows, caption)]


def _study_b(groups: Groups, classes: tuple[str, ...]) -> str:
    """Whether the cut into two is Study B's positive and negative; disgust counts where the classes have it."""
    scheme = SCHEMES["binary-with-disgust" if "disgust" in classes else "binary"]
    positive, negative = (set(scheme.groups[name]) for name in ("positive", "negative"))
    if not positive | negative <= set(classes):
        return ""
    found = [{classes[index] for index in group} & (positive | negative) for group in groups]
    said = scheme_words(groups, classes)
    aside = ", neutral aside" if "neutral" in classes else ""
    if positive in found:
        return f"The cut into two, {said}, is Study B's positive (happy, surprise) against negative{aside}."
    return f"The cut into two, {said}, is not Study B's positive (happy, surprise) against negative{aside}."
