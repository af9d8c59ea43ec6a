"""Oracle: the text that a terminal of 80 columns shows."""

import re

import numpy as np
import pytest
from rich.console import Console

from mien.base.labels import EXPRESSIONS
from mien.evaluation.estimates import break_down, evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import BreakDown
from mien.page.terminal import break_down_text, evaluation_text


def perfect_scores(classes, rows: int = 70, present: int | None = None) -> Predictions:
    labels = np.arange(rows) % (present or len(classes))
    return Predictions(np.arange(rows), labels, np.eye(len(classes))[labels], tuple(classes), "test", "")


def shown(renderable) -> str:
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(renderable)
    console.file.close()
    return console.export_text()


def test_undefined_is_a_dash():
    text = shown(evaluation_text(evaluate_predictions(perfect_scores(("a", "b", "c"), 1, 1), resamples=5)))
    assert "test: 1 sample\n" in text.replace(" \n", "\n")
    assert re.search(r"Macro-AUC +– +–", text)
    assert re.search(r"\nc +0\.0% +– +– +– +0", text)


@pytest.mark.parametrize("count", [2, 7, 9, 40])
def test_no_line_is_cut_or_wrapped_at_80_columns(count):
    names = EXPRESSIONS if count == 7 else [f"number {index}" for index in range(count)]
    text = shown(evaluation_text(evaluate_predictions(perfect_scores(names), resamples=5)))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    confusion = text[text.index("onfusion") :].rstrip().splitlines()
    if count == 40:
        assert "too wide" in text
    else:
        assert len(confusion) == 3 + count
    if count == 9:
        assert re.search(r"true class +1 +2 +3", text)
        assert "4 number 3" in text


def test_names_are_no_markup():
    predictions = perfect_scores(("[red]a[/red]", "[/b]"))
    text = shown(evaluation_text(evaluate_predictions(predictions, resamples=5)))
    assert "[red]a[/red]" in text
    parts = tuple(break_down(predictions, np.array(["[i]x", "y"] * 35), resamples=5))
    text = shown(break_down_text(BreakDown("[u]column", parts)))
    assert "By [u]column" in text
    assert "[i]x" in text
