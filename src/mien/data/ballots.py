"""Ballots: one person's votes on the faces of a folder, one CSV per person. :mod:`mien.api.label` merges them."""

import csv
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mien.base.errors import DataError
from mien.base.files import write_text
from mien.base.labels import FERPLUS_CLASSES
from mien.data.csv_file import CsvFile, normalize_header

REPEAT_EVERY = 10
"""One question in ten shows a face again, to measure the person's agreement with themselves."""
REPEAT_DISTANCE = 5
"""Questions between a face and its repetition."""
MERGED = "labels"
"""Name of the merged table; no person may use it."""
ASK_AGAIN = "ask_again"
"""Name of the list of images without a clear answer; no person may use it."""

_COLUMNS = ("image", "vote")
_PERSON = re.compile(r"[\w-]{1,40}")


class Vote(NamedTuple):
    """One answer: the image's path in its folder, with ``/``, and the chosen class."""

    image: str
    answer: str


def check_answers(answers: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return the 2 to 10 answers that people can give, FER+'s for None; text is split at commas. Raises DataError."""
    if answers is None:
        return FERPLUS_CLASSES
    names = tuple(each.strip() for each in (answers.split(",") if isinstance(answers, str) else answers))
    if not 2 <= len(names) <= len(FERPLUS_CLASSES) or len({*names, ""}) <= len(names):
        words = f"--answers names 2 to {len(FERPLUS_CLASSES)} different answers; found '{','.join(names)}'."
        raise DataError(words, code="ballot")
    return names


def ballot_files(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the ballots in a folder, also ``ben.CSV`` of Windows; and the names of files that are no CSV."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    files = [file for file in inside if file.is_file() and file.name[0] != "."]
    tables = [file for file in files if file.suffix.lower() == ".csv" and file.stem not in {MERGED, ASK_AGAIN}]
    return tables, [file.name for file in files if file.suffix.lower() != ".csv"]


def ballot_file(folder: Path, person: str) -> Path:
    """Return the path of one person's ballot. Raises DataError for an impossible name, or that of a merged file."""
    if not _PERSON.fullmatch(person) or person in {MERGED, ASK_AGAIN}:
        words = f"A name has 1 to 40 letters, digits, _ or -, and is not '{MERGED}' or '{ASK_AGAIN}'; found '{person}'."
        raise DataError(words, code="ballot")
    own = [file for file in ballot_files(folder)[0] if file.stem == person]
    if len(own) > 1:
        raise DataError(f"{own[0].name} and {own[1].name} are both of '{person}'.", code="ballot")
    return own[0] if own else folder / f"{person}.csv"


def read_ballot(path: Path, images: Sequence[str], answers: Sequence[str] = FERPLUS_CLASSES) -> list[Vote]:
    """Read one person's votes in their order; none without a file; DataError for other answers or ``images``."""
    if not path.exists():
        return []
    file = CsvFile(path)
    if tuple(map(normalize_header, file.names)) != _COLUMNS:
        found = ", ".join(file.names)
        raise DataError(f"{path} must have the columns {', '.join(_COLUMNS)}; found {found}.", code="ballot")
    known = set(images)
    votes = []
    for line, (image, answer) in file.rows():
        if answer not in answers:
            words = f"{path} line {line}: '{answer}' is not among the answers: --answers {','.join(answers)}."
            raise DataError(words, code="ballot")
        if image not in known:
            raise DataError(f"{path} line {line}: '{image}' is not in the folder of faces.", code="ballot")
        votes.append(Vote(image, answer))
    return votes


def write_ballot(path: Path, votes: Sequence[Vote]) -> None:
    """Write one person's ballot, whole or not at all. Raises :class:`RunError`."""
    write_rows(path, _COLUMNS, votes)


def write_rows(path: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, whole or not at all. Raises :class:`RunError`."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([names, *rows])
    write_text(path, text.getvalue())


def next_image(images: Sequence[str], votes: Sequence[Vote], person: str) -> str | None:
    """Return the next face without a vote or, one time in ten, an earlier one, by votes and person; or None."""
    seen = Counter(vote.image for vote in votes)
    left = next((image for image in images if image not in seen), None)
    if left is None or len(votes) % REPEAT_EVERY != REPEAT_EVERY - 1:
        return left
    once = [vote.image for vote in votes[:-REPEAT_DISTANCE] if seen[vote.image] == 1]
    if not once:
        return left
    return once[int(np.random.default_rng([zlib.crc32(person.encode()), len(votes)]).integers(len(once)))]
