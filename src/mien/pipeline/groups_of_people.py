"""Compare answers between groups of people: missed faces, doubt, and the share of each answer. It needs no labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.cells import is_missing
from mien.base.errors import DataError, Notice
from mien.data.csv_file import PATH_HEADERS, CsvFile, find_column
from mien.evaluation.estimates import MAX_GROUPS, group_values, in_quarters, share_gaps
from mien.evaluation.metrics import divide
from mien.evaluation.results import GroupGap
from mien.page.blocks import Column, Table
from mien.page.wording import counted
from mien.pipeline.predictions_csv import by_file

FirstFace = tuple[str, Mapping[str, Any] | None]
"""Source of an image, and its largest face as in JSON; None if it has no face."""


def read_groups(table: Path, images: Sequence[str]) -> tuple[dict[str, dict[str, str]], list[Notice]]:
    """Read columns such as age from a CSV with a column of files: for each column the values of the images in it.

    Numbers of more than ten values that repeat are cut into quarters. A column has at least two groups and at most
    :data:`MAX_GROUPS`, of two images on average; notices name the others, and files that are no image. Raises
    DataError: no column of files, or two of one name (``csv-columns``), or no column of groups (``groups-missing``).
    """
    file = CsvFile(table)
    names = file.names
    at = find_column(names, PATH_HEADERS)
    named = [name for name in names if name.strip()]  # a spreadsheet may add empty columns
    if at is None or len(set(named)) < len(named):
        words = f"{table} needs a column of files, such as {PATH_HEADERS[1]}, and no two columns of one name."
        raise DataError(f"{words} It has: {', '.join(names) or 'nothing'}.", code="csv-columns")
    find, found, unknown = by_file(images), dict[str, list[str]](), list[str]()
    for line, fields in file.rows():
        row = [field.strip() for field in fields]
        if (index := find(row[at])) < 0:
            unknown.append(f"'{row[at]}' in line {line}")
        elif found.setdefault(images[index], row) != row:
            words = f"{table.name} line {line}: {images[index]} is also in a line above, with other values."
            raise DataError(words, code="sample-id-repeated")
    if not found:
        its = f"; it has {unknown[0]}" if unknown else ""
        raise DataError(f"{table.name} names none of the images, such as {images[0]}{its}.", code="groups-missing")
    columns: dict[str, dict[str, str]] = {}
    for name in (name for name in named if name != names[at]):
        values = in_quarters(np.array([row[names.index(name)] for row in found.values()]))
        known = zip(found, values.tolist(), strict=True)
        columns[name] = {image: value for image, value in known if not is_missing(value)}
    kept = {name: of for name, of in columns.items() if 2 <= len({*of.values()}) <= min(MAX_GROUPS, len(of) // 2)}
    words = f"{table.name}: {len(unknown):,} of {len(unknown) + len(found):,} lines name no image, or several"
    notices = [Notice(f"{words}, such as {unknown[0]}.", code="images-unknown")] if unknown else []
    gaps = {name: len(found) - len(of) for name, of in kept.items() if len(of) < len(found)}
    if gaps:
        words = ", ".join(f"{counted(count, 'image')} without {name}" for name, count in gaps.items())
        notices.append(Notice(f"{table.name}: left out {words}.", code="values-missing"))
    left = [
        f"{name} ({len({*of.values()})} in {counted(len(of), 'image')})"
        for name, of in columns.items()
        if name not in kept
    ]
    if left:
        words = f"Left out, because they make no groups of two images on average: {', '.join(left)}."
        notices.append(Notice(words, code="columns-left-out"))
    if not kept:
        words = f"{table.name} has no column of groups, such as age."
        raise DataError(" ".join(notices) or words, code="groups-missing")
    return kept, notices


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
    for value in group_values(values)[0].tolist():
        inside = values == value
        shown = [metrics[head] for head in heads] + [(sure, found)]
        means = [divide((hits * among)[inside].sum(), among[inside].sum()) for hits, among in shown]
        rows.append((value, int(inside.sum()), *map(float, means)))
    columns = [Column("group", "text", column), Column("images", "count")]
    columns += [Column(head, "percent", head.removeprefix("says ")) for head in (*heads, "confidence")]
    return Table("groups", tuple(columns), rows), share_gaps(metrics, values)
