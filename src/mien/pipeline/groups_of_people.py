"""Compare answers between groups of people: missed faces, doubt, and the share of each answer. It needs no labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.errors import DataError
from mien.data.face_table import PATH_HEADERS, csv_rows, find_column, read_names
from mien.evaluation.estimates import MOST_GROUPS, share_gaps
from mien.evaluation.metrics import divide
from mien.evaluation.results import GroupGap
from mien.page.blocks import Column, Table
from mien.page.wording import counted
from mien.pipeline.predictions_csv import by_file

FirstFace = tuple[str, Mapping[str, Any] | None]
"""Source of an image, and its largest face as in JSON; None if it has no face."""


def read_groups(table: Path, images: Sequence[str]) -> dict[str, dict[str, str]]:
    """Read columns such as age from a CSV with a column of files: for each column the values of the images in it.

    A column has at least two groups and at most :data:`MOST_GROUPS`, of two images on average. Raises DataError: no
    column of files (``csv-columns``), or none of groups (``groups-missing``).
    """
    names, delimiter = read_names(table)
    at = find_column(names, PATH_HEADERS)
    if at is None:
        raise DataError(f"{table} has no column of files, such as {PATH_HEADERS[1]}.", code="csv-columns")
    find, found = by_file(images), dict[str, list[str]]()
    for line, fields in csv_rows(table, len(names), delimiter):
        row = [field.strip() for field in fields]
        if (index := find(row[at])) >= 0 and found.setdefault(images[index], row) != row:
            words = f"{table.name} line {line}: {images[index]} is also in a line above, with other values."
            raise DataError(words, code="sample-id-repeated")
    columns = {name: {image: row[at] for image, row in found.items() if row[at]} for at, name in enumerate(names)}
    kept = {name: of for name, of in columns.items() if 2 <= len({*of.values()}) <= min(MOST_GROUPS, len(of) // 2)}
    if not kept:
        words = f"{table} names {len(found):,} of {counted(len(images), 'image')}"
        raise DataError(f"{words}, and no column divides these into groups of two or more.", code="groups-missing")
    return kept


def compare_groups(
    column: str, group_of: Mapping[str, str], faces: Sequence[FirstFace]
) -> tuple[Table, tuple[GroupGap, ...]]:
    """Return a table of the groups with the three most common answers, and the differences from all other groups."""
    chosen = [(face, group_of[image]) for image, face in faces if image in group_of]
    values = np.array([group for _, group in chosen])
    found = np.array([face is not None for face, _ in chosen], dtype=bool)
    answers = np.array(["" if face is None else face["answer"] for face, _ in chosen])
    doubt = np.array([face is not None and face["in_doubt"] for face, _ in chosen], dtype=bool)
    sure = np.array([0.0 if face is None else face["confidence"] for face, _ in chosen])
    metrics = {"no face": (~found, found | True), "in doubt": (doubt, found)}
    counted_answers = Counter(answers[found].tolist())
    metrics |= {f"says {name}": (answers == name, found) for name in sorted(counted_answers)}
    heads = ["no face", "in doubt", *(f"says {name}" for name, _ in counted_answers.most_common(3))]
    rows = []
    for value in sorted({*values.tolist()}):
        inside = values == value
        shown = [metrics[head] for head in heads] + [(sure, found)]
        means = [divide((hits * among)[inside].sum(), among[inside].sum()) for hits, among in shown]
        rows.append((value, int(inside.sum()), *map(float, means)))
    columns = [Column("group", "text", column), Column("images", "count")]
    columns += [Column(head, "percent", head.removeprefix("says ")) for head in (*heads, "confidence")]
    return Table("groups", tuple(columns), rows), share_gaps(metrics, values)
