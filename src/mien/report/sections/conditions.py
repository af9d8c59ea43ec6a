"""On which faces it fails: disagreement of people, light, contrast, sharpness, and the face in a mirror."""

from __future__ import annotations

import numpy as np

from mien.evaluation.compare import mcnemar_test
from mien.evaluation.dependence import AccuracyBy, accuracy_by
from mien.evaluation.face_numbers import brightness, contrast, sharpness, vote_entropy
from mien.evaluation.failures import Indices
from mien.evaluation.intervals import share_of
from mien.report.blocks import Block, Column, Pair, Plot, Section, Table, Text
from mien.report.material import Material
from mien.report.plots_failures import accuracy_by_plot
from mien.report.wording import interval_text, p_text, percent

MOST_MIRRORED = 1000
"""Faces that are read in a mirror: more cost time and say little."""


def conditions_section(material: Material) -> Section:
    """Accuracy by numbers of each face; needs the faces."""
    assert material.faces is not None
    images = np.asarray(material.faces.images)
    numbers = {
        "brightness": (brightness(images), "brightness: mean pixel"),
        "contrast": (contrast(images), "contrast: standard deviation of the pixels"),
        "sharpness": (sharpness(images), "sharpness: variance of the Laplacian"),
    }
    votes = material.votes
    if votes is not None:
        numbers = {
            "vote-entropy": (vote_entropy(votes), "disagreement of people: entropy of the votes, bits"),
            **numbers,
        }
    found = {
        name: (accuracy_by(values, material.correct, resamples=material.resamples), what)
        for name, (values, what) in numbers.items()
    }
    plots = tuple(Plot(accuracy_by_plot(name, by, what), _words(by)) for name, (by, what) in found.items() if by.bins)
    rows = [
        (name, each.low, each.high, each.count, each.accuracy) for name, (by, _) in found.items() for each in by.bins
    ]
    columns = (
        Column("number", "text"), Column("from"), Column("to"), Column("rows", "count"), Column("accuracy", "percent"),
    )  # fmt: skip
    blocks: list[Block] = [Pair(plots), Table("accuracy-by", columns, rows, shown=0)]
    blocks += _mirror_blocks(material)
    return Section("conditions", "On which faces does it fail?", tuple(blocks))


BINS = "Bins of about as many faces each; equal numbers stay together."


def _words(by: AccuracyBy) -> str:
    tau = by.rank_correlation
    unknown = f" {by.missing:,} faces without the number are left out." if by.missing else ""
    if np.isnan(tau.value):
        return f"{BINS}{unknown}"
    return f"{BINS} Kendall's tau with being right {tau.value:+.3f} ({tau.low:+.3f} to {tau.high:+.3f}).{unknown}"


def _mirror_blocks(material: Material) -> list[Block]:
    if material.predict is None or material.faces is None:
        return []
    chosen = _sample(len(material.scores), MOST_MIRRORED)
    images = np.asarray(material.faces.images)[chosen]
    labels = material.scores.labels[chosen]
    straight = material.predict(images).argmax(axis=1)
    mirrored = material.predict(np.ascontiguousarray(images[:, :, ::-1])).argmax(axis=1)
    right, right_mirrored = straight == labels, mirrored == labels
    test = mcnemar_test(int((right & ~right_mirrored).sum()), int((~right & right_mirrored).sum()))
    count = len(chosen)
    rows = [
        ("as they are", share_of(right.sum(), count)),
        ("in the mirror", share_of(right_mirrored.sum(), count)),
        ("the same answer for both", share_of((straight == mirrored).sum(), count)),
    ]
    of_all = f"{count:,} faces" + (" drawn at random" if count < len(material.scores) else "")
    same = rows[2][1]
    return [
        Text(
            f"In a mirror, left and right exchanged, {percent(same.value)} ({interval_text('accuracy', same)}) of "
            f"{of_all} get the same answer; McNemar's test of equal accuracy: {p_text(test.p_value)}."
        ),
        Table("mirror", (Column(of_all, "text"), Column("share", "percent")), rows),
    ]


def _sample(count: int, most: int) -> Indices:
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False)).astype(np.int64)
