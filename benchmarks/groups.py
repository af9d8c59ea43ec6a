"""Missed faces and doubtful answers by origin, gender and age, each group beside all others.

    mien predict fair_face/val --out fairface.csv && python benchmarks/groups.py fairface.csv fairface_label_val.csv

The second file has FairFace's own columns file, age, gender and race. Its faces have no expression, so no answer can be
wrong here. p-values are Holm's for all comparisons of a column.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from mien.evaluation.intervals import share_difference
from mien.evaluation.paired_tests import holm


def name(path: str) -> str:
    """The file's name alone."""
    return path.rsplit("/", 1)[-1]


def main() -> None:
    """Print each group's shares and their differences from all others."""
    with Path(sys.argv[1]).open(newline="") as predictions, Path(sys.argv[2]).open(newline="") as labels:
        # The first row of an image is its largest face.
        faces = {name(row["source"]): row for row in reversed(list(csv.DictReader(predictions)))}
        people = [row for row in csv.DictReader(labels) if name(row["file"]) in faces]
    rows = [faces[name(person["file"])] for person in people]
    missed = np.array([row["face"] == "0" for row in rows])
    doubt = np.array([row["in_doubt"].lower() == "true" for row in rows])
    print(f"{len(rows):,} images: no face {missed.mean():.1%}, in doubt {doubt[~missed].mean():.1%} of the others")
    for column in ("race", "gender", "age"):
        values = np.array([person[column] for person in people])
        lines, found = [], []
        for group in np.unique(values):
            inside = values == group
            for what, hits, chosen in (("no face", missed, missed | True), ("in doubt", doubt, ~missed)):
                found.append(share_difference(hits[chosen], inside[chosen]))
                lines.append(f"{column} {group} ({inside.sum():,}): {what} {hits[chosen & inside].mean():.1%}")
        for line, (difference, _), p in zip(lines, found, holm([p for _, p in found]), strict=True):
            print(f"{line}, {difference.value:+.1%} [{difference.low:+.1%}, {difference.high:+.1%}], p {p:.4f}")


if __name__ == "__main__":
    main()
