"""Oracles: what Excel, R, pandas and databases write for no value; Python's own numbers."""

import math

import numpy as np
import pytest

from mien.base.arrays import is_missing, missing, parse_column, parse_number

GAPS = ["", " ", "NA", "N/A", "n/a", "#N/A", "None", "null", "NULL", "NaN", "NaT", "<NA>", "-", ".", "\\N", "#NULL!"]


def test_is_missing_knows_the_values_of_all_programs():
    assert [cell for cell in (*GAPS, None, float("nan")) if not is_missing(cell)] == []
    assert [cell for cell in ("0", "na\u00efve", "Nathan", "no", "--x", 0, False) if is_missing(cell)] == []


@pytest.mark.parametrize(
    ("texts", "expected"),
    [(["1", "20"], [1, 20]), ([f"{10**18 + 1}", "5"], [10**18 + 1, 5]),
     (["0.5", "1", "1"], [0.5, 1, 1]), (["0,5", "1"], [0.5, 1]), (["1e-05"], [1e-5])],
)  # fmt: skip
def test_parse_column_converts_numbers(texts, expected):
    assert parse_column(texts).tolist() == expected


@pytest.mark.parametrize(
    "texts",
    [["001", "002"], ["1", "01"], ["1.1", "1.10"], [f"{10**20}", f"{10**20 + 1}"], ["1_0", "2"], ["12e4", "1"],
     ["+49151", "+49152"], [f"{10**19}", f"{2 * 10**19}"], ["1.5", f"{10**16 + 1}"],
     ["1,234", "5"], ["18", "NA"], ["inf", "1"], ["a"]],
)  # fmt: skip
def test_parse_column_keeps_ids_as_text(texts):
    assert parse_column(texts).tolist() == texts


def test_missing_and_parse_number_take_cells_of_any_type():
    assert [parse_number(each) for each in ("0,5", "-,5", " 3 ", "1e3")] == [0.5, -0.5, 3, 1000]
    assert math.isnan(parse_number("N/A"))
    for text in ("1,234", "x"):
        with pytest.raises(ValueError, match="could not convert"):
            parse_number(text)
    assert missing(np.array(["a", "NA", ""])).tolist() == [False, True, True]
    assert missing(np.array([1.5, np.nan])).tolist() == [False, True]
    assert missing(np.array([1, 0])).tolist() == [False, False]
