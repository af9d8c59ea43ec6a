"""CSV files of any program: Excel, R, pandas, spreadsheets of phones."""

import codecs
import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mien.base.errors import DataError

# A quoted face of 224 px has 200,000 characters; csv's own limit is 131,072.
csv.field_size_limit(1 << 27)

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
PATH_HEADERS = ("image", "file", "filename", "file_name", "path", "filepath")
_MAX_HEADER = 65536


class CsvFile:
    """A CSV with a header, UTF-8 or UTF-16, by commas, semicolons or tabs, perhaps after ``sep=;``; else DataError."""

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        try:
            with path.open("rb") as stream:
                start = stream.read(2)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}.", code="file-unreadable") from None
        self.encoding: str = "utf-16" if start in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8-sig"
        with path.open(encoding=self.encoding, errors="replace", newline="") as stream:
            line, self.first_line = stream.readline(_MAX_HEADER).strip("\r\n"), 2
            told = line[4:5] if line[:4].casefold() == "sep=" and len(line) == 5 else ""
            if told:
                line, self.first_line = stream.readline(_MAX_HEADER).strip("\r\n"), 3
        if "\ufffd" in line or "\0" in line:
            where = f"{path} line {self.first_line - 1}"
            raise DataError(f"{where} is not text. Save it as a CSV in UTF-8, with a header.", code="file-unreadable")
        self.delimiter: str = told or max(",;\t", key=line.count)
        try:
            self.names: tuple[str, ...] = tuple(next(self._reader([line]), []))
        except csv.Error as error:
            raise DataError(f"{path} line 1: {error}.", code="file-unreadable") from None

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield line number and fields of each row below the header that is not blank. Raises DataError."""
        name = self.path.name
        with self.path.open(encoding=self.encoding, newline="") as stream:
            reader = self._reader(stream)
            try:
                for fields in reader:
                    if reader.line_num < self.first_line or not any(field.strip() for field in fields):
                        continue
                    yield reader.line_num, self._complete(fields, f"{name} line {reader.line_num}")
            except UnicodeError:
                words = f"{name} is not UTF-8 text. Save it as a CSV in UTF-8."
                raise DataError(words, code="file-unreadable") from None
            except csv.Error as error:
                raise DataError(f"{name} line {reader.line_num}: {error}.", code="file-unreadable") from None

    def fields(self, line: str, where: str) -> list[str]:
        """Split one line into fields; a quote that is not closed ends here. Raises DataError."""
        try:
            # Kaggle quotes nothing, and csv would take a third of the time.
            fields = next(self._reader([line])) if '"' in line else line.split(self.delimiter)
        except csv.Error as error:
            raise DataError(f"{where}: {error}.", code="file-unreadable") from None
        return self._complete(fields, where)

    def _complete(self, fields: list[str], where: str) -> list[str]:
        if len(fields) != len(self.names):
            counts = f"expected {len(self.names)} columns, found {len(fields)}"
            advice = f"Quote values with '{self.delimiter}', or download it again if the file is damaged."
            raise DataError(f"{where}: {counts}. {advice}", code="columns")
        return fields

    def _reader(self, lines: Iterable[str]) -> Any:
        return csv.reader(lines, delimiter=self.delimiter, skipinitialspace=True)


def normalize_header(name: str) -> str:
    """Return a column's name in lower case, without quotes, outer spaces and byte-order mark."""
    return name.strip().lstrip("\ufeff").strip().strip('"').strip().casefold()


def find_column(headers: Iterable[str], wanted: Sequence[str]) -> int | None:
    """Return the position in ``headers`` of the first name in ``wanted`` that occurs, or None."""
    present = [normalize_header(header) for header in headers]
    return next((present.index(name) for name in wanted if name in present), None)
