from __future__ import annotations

from pathlib import Path

import pytest

from mien.data.face_table import read_header
from mien.errors import DataError
from support import raises


@pytest.mark.parametrize(
    ("line", "label", "pixels", "path", "split"),
    [
        ("emotion,pixels,Usage", 0, 1, None, 2),
        ("emotion, Usage, pixels", 0, 2, None, 1),
        ('"Path";"Label"', 1, None, 0, None),
        ("\ufeffFile\tExpression\tSet", 1, None, 0, 2),
        ("filename,class,usage,age", 1, None, 0, 2),
    ],
)
def test_columns_are_found_whatever_their_case_space_quotes_and_delimiter(
    tmp_path: Path, line: str, label: int, pixels: int | None, path: int | None, split: int | None
) -> None:
    file = tmp_path / "table.csv"
    file.write_text(f"{line}\n", encoding="utf-8")
    header = read_header(file)
    assert (header.label, header.pixels, header.path, header.split) == (label, pixels, path, split)


def test_a_table_of_something_else_is_refused_with_what_it_has(tmp_path: Path) -> None:
    file = tmp_path / "weather.csv"
    file.write_text("day,rain\n")
    with raises(DataError, "csv-columns", "weather.csv line 1", "day, rain", "emotion,pixels"):
        read_header(file)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "image.csv"
    file.write_bytes(b"\x89PNG\r\n\xff\xfe")
    with raises(DataError, "csv-not-text", "line 1"):
        read_header(file)


def test_the_line_ends_of_old_macs_are_named(tmp_path: Path) -> None:
    file = tmp_path / "mac.csv"
    file.write_bytes(b"emotion,pixels,Usage\r0,1 1,Training\r")
    with raises(DataError, "csv-unreadable", "mac.csv line 1"):
        read_header(file)
