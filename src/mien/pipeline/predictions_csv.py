"""Anybody's predictions as a CSV: ids or file names, and a predicted class or the probability of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.base.labels import EXPRESSIONS, NO_EXPRESSION, UNSURE, canonical_class
from mien.data.dataset import Dataset
from mien.data.face_table import PATH_HEADERS, csv_rows, find_column, normalize_header, read_names
from mien.evaluation.predictions import SUM_TOLERANCE, Predictions

ID_HEADERS = ("sample_id", "sample_ids", "sample", "id", "row", "index")
FILE_HEADERS = (*PATH_HEADERS, "source")
PREDICTION_HEADERS = ("prediction", "predicted", "pred", "y_pred", "answer", "expression", "emotion", "class")
LABEL_HEADERS = ("label", "true", "y_true", "truth", "actual", "true class")


@dataclass(frozen=True)
class ClaimedPredictions:
    """Predictions read from a table, for the samples that have an answer.

    Attributes:
        predictions: with the labels of the data; certain (1 and 0) where the table names classes only.
        without_answer: samples of the table whose answer is no class, such as "unsure".
        other_labels: samples of the table whose label is not that of the data.
    """

    predictions: Predictions
    without_answer: int
    other_labels: int


def read_predictions_csv(path: Path, dataset: Dataset, split: str) -> ClaimedPredictions:
    """Read a table of predictions and match it with the samples of one split.

    Samples are matched by id (:data:`ID_HEADERS`), else by file name (:data:`FILE_HEADERS`). A prediction is a class
    name, or a number that counts the classes of the data from 0.

    Args:
        path: a CSV with a header.
        dataset: the data that the predictions are for.
        split: which samples.

    Raises:
        DataError: no column of ids, files, or predictions; an id twice, or not in the split; an unknown class.
    """
    try:
        names, delimiter = read_names(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", code="predictions-missing") from None
    chosen = dataset.of_split(split)
    id_at, file_at = find_column(names, ID_HEADERS), find_column(names, FILE_HEADERS)
    if id_at is None and file_at is None:
        raise _columns_error(path, names, f"ids or files of the samples: {ID_HEADERS[0]} or {FILE_HEADERS[0]}")
    column_of = _probability_columns(names, dataset.classes)
    answer_at = find_column(names, PREDICTION_HEADERS)
    if answer_at is None and column_of is None:
        raise _columns_error(path, names, f"predictions: {PREDICTION_HEADERS[0]}, or one column for each class")
    label_at = find_column([name if at != answer_at else "" for at, name in enumerate(names)], LABEL_HEADERS)

    index_of = _by_id(chosen) if id_at is not None else _by_file(chosen)
    key_at = id_at if id_at is not None else file_at
    assert key_at is not None
    line_of: dict[int, int] = {}
    values, answers, other = [], [], 0
    for line, fields in csv_rows(path, len(names), delimiter):
        key, place = fields[key_at].strip(), f"{path.name} line {line}"
        index = index_of.get(key, index_of.get(PurePosixPath(key.replace("\\", "/")).name, -1))
        if index < 0:
            raise DataError(
                f"{place}: '{key}' is no sample of '{split}' in the data, or several. Give {names[key_at]} as the data "
                f"has it, such as {next(iter(index_of), '')}, or choose another split.",
                code="sample-unknown",
            )
        if index in line_of:
            raise DataError(
                f"{place}: '{key}' is also in line {line_of[index]}. Each sample has one prediction.",
                code="sample-id-repeated",
            )
        line_of[index] = line
        if label_at is not None and fields[label_at].strip():
            other += _class_index(fields[label_at], dataset.classes, place) != chosen.labels[index]
        if column_of is not None:
            values.append(_numbers(fields, column_of, place))
        if answer_at is not None:
            answers.append(_class_index(fields[answer_at], dataset.classes, place, or_none=True))
    if not line_of:
        raise DataError(f"{path.name} has a header but no rows.", code="no-samples")
    indices, probabilities = np.array(list(line_of)), np.array(values)
    # Columns of more classes than the data has do not add up to 1: then the named answer counts.
    certain = answer_at is not None and not (
        len(values) and np.allclose(probabilities.sum(axis=1), 1, atol=SUM_TOLERANCE)
    )
    without = 0
    if certain:
        classes = np.array(answers)
        kept = classes >= 0
        without = int((~kept).sum())
        if not kept.any():
            raise DataError(f"{path.name} names no class of the data in any row.", code="no-samples")
        indices, probabilities = indices[kept], np.eye(len(dataset.classes))[classes[kept]]
    matched = chosen.subset(indices)
    fingerprint = dataset.fingerprint_for_predictions(split)
    predictions = Predictions(matched.rows, matched.labels, probabilities, dataset.classes, split, fingerprint)
    return ClaimedPredictions(predictions, without, int(other))


def _columns_error(path: Path, names: Sequence[str], wanted: str) -> DataError:
    shown = ", ".join(map(normalize_header, names[:12]))[:200]
    return DataError(f"{path.name} has no column of {wanted}. It has: {shown or 'none'}.", code="csv-columns")


def _probability_columns(names: Sequence[str], classes: Sequence[str]) -> list[int] | None:
    """The column of each class's probability, by its name, ``p(name)``, ``p_name`` or ``prob_name``; or None."""
    found = []
    for name in classes:
        at = find_column(names, (name, f"p({name})", f"p_{name}", f"prob_{name}", f"probability_{name}"))
        if at is None:
            return None
        found.append(at)
    return found


def _numbers(fields: Sequence[str], columns: Sequence[int], place: str) -> npt.NDArray[np.float64]:
    try:
        return np.array([float(fields[at]) for at in columns])
    except ValueError:
        raise DataError(f"{place}: a probability is not a number.", code="probabilities-shape") from None


def _class_index(value: str, classes: Sequence[str], place: str, *, or_none: bool = False) -> int:
    """The class of a name or number; -1 for an answer that is no class of the data, where ``or_none`` allows it."""
    text = value.strip()
    name = canonical_class(text)
    if name in classes:
        return list(classes).index(name)
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    if or_none and (text in {"", UNSURE} or name in {*EXPRESSIONS, *NO_EXPRESSION}):
        return -1
    raise DataError(
        f"{place}: '{text}' is none of the classes {', '.join(classes)}, nor a number below {len(classes)}.",
        code="class-unknown",
    )


def _by_id(dataset: Dataset) -> Mapping[str, int]:
    return {str(sample_id): index for index, sample_id in enumerate(dataset.rows.tolist())}


def _by_file(dataset: Dataset) -> Mapping[str, int]:
    """Samples by their source, and by the last part of it where that is unique."""
    sources = [str(source).replace("\\", "/") for source in dataset.source]
    last = [PurePosixPath(source).name for source in sources]
    counts: dict[str, int] = {}
    for name in last:
        counts[name] = counts.get(name, 0) + 1
    short = {name: index for index, name in enumerate(last) if counts[name] == 1}
    return short | {source: index for index, source in enumerate(sources)}
