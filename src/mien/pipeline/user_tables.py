"""Tables of users whose rows name images: predictions of any program, and groups of people, compared without labels."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mien.base.arrays import Floats, is_missing, parse_number
from mien.base.errors import DataError, Notice
from mien.base.labels import EXPRESSIONS, NO_EXPRESSION, UNSURE, canonical_class, composed
from mien.data.csv_file import PATH_HEADERS, CsvFile, find_column, normalize_header
from mien.data.dataset import Dataset
from mien.evaluation.estimates import MAX_GROUPS, group_values, in_quarters, share_gaps
from mien.evaluation.metrics import divide
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import GroupGap
from mien.page.page import Column, Table
from mien.page.wording import counted

ID_HEADERS = ("sample_id", "sample_ids", "sample", "id", "row")
FILE_HEADERS = (*PATH_HEADERS, "source")
PREDICTION_HEADERS = ("prediction", "predicted", "pred", "y_pred", "answer")
CLASS_HEADERS = ("expression", "emotion", "class")
LABEL_HEADERS = ("label", "true", "y_true", "truth", "actual", "true class")


@dataclass(frozen=True)
class ClaimedPredictions:
    """Predictions from a table, for the samples whose answer is a class of the data.

    Attributes:
        predictions: predictions with the labels of the data; probabilities are 1 and 0 if a column names the class.
        without_answer: number of samples whose answer is not a class, such as "unsure".
        other_labels: number of samples whose label differs from the data's; None without labels.
    """

    predictions: Predictions
    without_answer: int
    other_labels: int | None


def read_predictions_csv(path: Path, dataset: Dataset, split: str) -> ClaimedPredictions:
    """Read a table of predictions and match it with the samples of one split.

    Samples are matched by file (:data:`FILE_HEADERS`), else by id (:data:`ID_HEADERS`), else by index: a column of ids
    may count the rows of the table. A prediction is a class name, or an index into the classes of the data.

    Raises DataError: no column of ids, files or predictions; an id that is repeated or not in the split; a wrong class;
    a ``sample_id`` of another sample than the file's.
    """
    file, chosen = CsvFile(path), dataset.of_split(split)
    names = file.names
    id_at, file_at = find_column(names, ID_HEADERS), find_column(names, FILE_HEADERS)
    if id_at is None and file_at is None:  # the index comes last: pandas also writes one that counts the table's rows
        id_at = find_column(names, ("index",))
    if id_at is None and file_at is None:
        raise _columns_error(path, names, f"ids or files of the samples: {ID_HEADERS[0]} or {FILE_HEADERS[0]}")
    column_of = _probability_columns(names, dataset.classes)
    # Beside probabilities, a column "emotion" may hold the true labels.
    answer_at = find_column(names, PREDICTION_HEADERS if column_of else (*PREDICTION_HEADERS, *CLASS_HEADERS))
    if answer_at is None and column_of is None:
        raise _columns_error(path, names, f"predictions: {PREDICTION_HEADERS[0]}, or one column for each class")
    label_at = find_column([name if at != answer_at else "" for at, name in enumerate(names)], LABEL_HEADERS)

    by_id = {str(sample_id): index for index, sample_id in enumerate(chosen.rows.tolist())}
    # pandas writes 3 as 3.0 in a column that had gaps.
    find = by_file(chosen.source.tolist())
    rows = list(file.rows())
    by_files = [-1 if file_at is None else find(fields[file_at].strip()) for _, fields in rows]
    by_ids = [-1 if id_at is None else by_id.get(re.sub(r"\.0+$", "", fields[id_at].strip()), -1) for _, fields in rows]
    is_own = id_at is not None and normalize_header(names[id_at]) in ID_HEADERS[:2]
    uses_files = id_at is None or (not is_own and max(by_files, default=-1) >= 0)
    key_at = int((file_at if uses_files else id_at) or 0)
    line_of: dict[int, int] = {}
    indices, values, other = list[int](), list[Floats](), 0
    for (line, fields), index, of_file in zip(rows, by_files if uses_files else by_ids, by_files, strict=True):
        key, place = fields[key_at].strip(), f"{path.name} line {line}"
        if index < 0:
            words = f"{place}: '{key}' matches no sample of '{split}', or several. Give {names[key_at]} as the data "
            words += f"has it, such as {(chosen.source if uses_files else chosen.rows)[0]}, or choose another split."
            raise DataError(words, code="data-differs")
        if of_file not in {-1, index}:
            words = f"{place}: sample {key} of the data is not {fields[file_at or 0].strip()}. Drop one of the columns."
            raise DataError(words, code="data-differs")
        if index in line_of:
            words = f"{place}: '{key}' is also in line {line_of[index]}. Each sample has one prediction."
            raise DataError(words, code="predictions")
        line_of[index] = line
        if label_at is not None and not is_missing(fields[label_at]):
            other += _class_index(fields[label_at], dataset.classes, place) != chosen.labels[index]
        if answer_at is None:
            values.append(_numbers(fields, column_of or (), place))
        elif (answer := _class_index(fields[answer_at], dataset.classes, place, or_none=True)) >= 0:
            values.append(np.eye(len(dataset.classes))[answer])
        else:
            continue
        indices.append(index)
    if not indices:
        what = "no class of the data in any row" if line_of else "a header but no rows"
        raise DataError(f"{path.name} has {what}.", code="predictions")
    probabilities = np.array(values)
    totals = probabilities.sum(axis=1, keepdims=True)
    # Two decimals of each class are precise enough; Predictions refuses what is left.
    probabilities /= np.where(abs(totals - 1) <= 0.005 * len(dataset.classes), totals, 1)
    matched = chosen.subset(np.array(indices))
    fingerprint = dataset.fingerprint_for_predictions(split)
    predictions = Predictions(matched.rows, matched.labels, probabilities, dataset.classes, split, fingerprint)
    return ClaimedPredictions(predictions, len(line_of) - len(indices), None if label_at is None else int(other))


def _columns_error(path: Path, names: Sequence[str], wanted: str) -> DataError:
    shown = ", ".join(map(normalize_header, names[:12]))[:200]
    return DataError(f"{path.name} has no column of {wanted}. It has: {shown or 'none'}.", code="columns")


def _probability_columns(names: Sequence[str], classes: Sequence[str]) -> list[int] | None:
    """Find each class's column of probabilities, named ``name``, ``p(name)``, ``p_name`` or ``prob_name``; or None."""
    found = []
    for name in classes:
        wanted = (name, f"p({name})", f"p_{name}", f"prob_{name}", f"probability_{name}")
        at = find_column(names, [each.casefold() for each in wanted])
        if at is None:
            return None
        found.append(at)
    return found


def _numbers(fields: Sequence[str], columns: Sequence[int], place: str) -> Floats:
    try:
        found = np.array([parse_number(fields[at]) for at in columns])
    except ValueError as error:
        raise DataError(f"{place}: a probability is no number ({error}).", code="predictions") from None
    if np.isnan(found).any():
        raise DataError(f"{place}: a probability is missing.", code="predictions")
    return found


def _class_index(value: str, classes: Sequence[str], place: str, *, or_none: bool = False) -> int:
    """Return the index of a class given by name or number; with ``or_none`` -1 for other answers."""
    whole = re.sub(r"^(\d+)\.0+$", r"\1", text := value.strip())  # pandas writes 3 as 3.0 in a column that had gaps
    folded = [each.casefold() for each in classes]
    for name in (text, canonical_class(text), canonical_class(whole)):
        if name in classes or name.casefold() in folded:
            return classes.index(name) if name in classes else folded.index(name.casefold())
    if whole.isdecimal() and int(whole) < len(classes):
        return int(whole)
    if or_none and (is_missing(text) or text == UNSURE or name in {*EXPRESSIONS, *NO_EXPRESSION}):
        return -1
    words = f"{place}: '{text}' is neither a class ({', '.join(classes)}) nor a number below {len(classes)}."
    raise DataError(words, code="class-unknown")


def by_file(sources: Sequence[str]) -> Callable[[str], int]:
    """Return a function that finds the index of the source that a path names; -1 for none, or several.

    One must be the end of the other, by whole names of folders: ``happy/1.png`` names ``test/happy/1.png``.
    """
    whole: dict[tuple[str, ...], int] = {}
    known: dict[tuple[str, ...], int] = {}
    for index, source in enumerate(sources):
        for at, end in enumerate(_ends(source)):
            positions = known if at else whole
            positions[end] = -1 if end in positions else index
    known |= whole

    def find(path: str) -> int:
        return next((known[end] for at, end in enumerate(_ends(path)) if end in (whole if at else known)), -1)

    return find


def _ends(path: str) -> list[tuple[str, ...]]:
    parts = PurePosixPath(composed(path).replace("\\", "/")).parts
    return [parts[at:] for at in range(len(parts))]


FirstFace = tuple[str, Mapping[str, Any] | None]
"""Source of an image, and its largest face as in JSON; None if it has no face."""


def read_groups(table: Path, images: Sequence[str]) -> tuple[dict[str, dict[str, str]], list[Notice]]:
    """Read columns such as age from a CSV with a column of files: for each column the values of the images in it.

    Numbers of more than ten values that repeat are cut into quarters. A column has at least two groups and at most
    :data:`MAX_GROUPS`, of two images on average; notices name the others, and files that are no image. Raises
    DataError: no column of files, or two of one name (``columns``), or no column of groups (``group``).
    """
    file = CsvFile(table)
    names = file.names
    at = find_column(names, PATH_HEADERS)
    named = [name for name in names if name.strip()]  # a spreadsheet may add empty columns
    if at is None or len(set(named)) < len(named):
        words = f"{table} needs a column of files, such as {PATH_HEADERS[1]}, and no two columns of one name."
        raise DataError(f"{words} It has: {', '.join(names) or 'nothing'}.", code="columns")
    find, found, unknown = by_file(images), dict[str, list[str]](), list[str]()
    for line, fields in file.rows():
        row = [field.strip() for field in fields]
        if (index := find(row[at])) < 0:
            unknown.append(f"'{row[at]}' in line {line}")
        elif found.setdefault(images[index], row) != row:
            words = f"{table.name} line {line}: {images[index]} is also in a line above, with other values."
            raise DataError(words, code="group")
    if not found:
        its = f"; it has {unknown[0]}" if unknown else ""
        raise DataError(f"{table.name} names none of the images, such as {images[0]}{its}.", code="group")
    columns: dict[str, dict[str, str]] = {}
    for name in (name for name in named if name != names[at]):
        values = in_quarters(np.array([row[names.index(name)] for row in found.values()]))
        known = zip(found, values.tolist(), strict=True)
        columns[name] = {image: value for image, value in known if not is_missing(value)}
    kept = {name: of for name, of in columns.items() if 2 <= len({*of.values()}) <= min(MAX_GROUPS, len(of) // 2)}
    words = f"{table.name}: {len(unknown):,} of {len(unknown) + len(found):,} lines name no image, or several"
    notices = [Notice(f"{words}, such as {unknown[0]}.", code="images-unknown")] if unknown else []
    if gaps := {name: len(found) - len(of) for name, of in kept.items() if len(of) < len(found)}:
        words = ", ".join(f"{counted(count, 'image')} without {name}" for name, count in gaps.items())
        notices.append(Notice(f"{table.name}: left out {words}.", code="values-missing"))
    others = {name: of for name, of in columns.items() if name not in kept}
    if left := [f"{name} ({len({*of.values()})} in {counted(len(of), 'image')})" for name, of in others.items()]:
        words = f"Left out, because they make no groups of two images on average: {', '.join(left)}."
        notices.append(Notice(words, code="columns-left-out"))
    if not kept:
        raise DataError(" ".join(notices) or f"{table.name} has no column of groups, such as age.", code="group")
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
