"""How the figures are called and written, the same in the terminal and in the report."""

from __future__ import annotations

import math
from typing import NamedTuple

from mien.evaluation.results import Estimate
from mien.evaluation.threshold import OperatingPoint, ThresholdResult

UNDEFINED = "–"
"""Stands where a figure is undefined, such as the recall of a class without rows."""


class Headline(NamedTuple):
    """Name and meaning of a headline figure."""

    name: str
    meaning: str


HEADLINES = {
    "accuracy": Headline("Accuracy", "share of rows whose most probable class is the true one"),
    "macro_f1": Headline("Macro-F1", "mean over classes of F1, which weighs misses and false alarms; 1 is best"),
    "macro_auc": Headline("Macro-AUC", "how well each class is ranked above the others; 0.5 is chance, 1 best"),
    "log_loss": Headline("Log loss", "price of the probability given to the true class, in nats; 0 is best"),
    "calibration_error": Headline("Calibration error", "gap between how sure and how right the answers are; 0 is best"),
}
"""Keys are those of ``Evaluation.headline``."""


def percent(share: float, digits: int = 1) -> str:
    """0.715 -> ``"71.5 %"``; NaN -> a dash."""
    return UNDEFINED if math.isnan(share) else f"{100 * share:.{digits}f} %"


def decimal(value: float) -> str:
    """0.7154 -> ``"0.715"``; NaN -> a dash."""
    return UNDEFINED if math.isnan(value) else f"{value:.3f}"


def p_figure(p_value: float) -> str:
    """0.0123 -> ``"0.012"``, 0.00001 -> ``"< 0.001"``: no p-value is nothing."""
    return "< 0.001" if p_value < 0.001 else decimal(p_value)


def p_text(p_value: float) -> str:
    """0.0123 -> ``"p = 0.012"``, 0.00001 -> ``"p < 0.001"``."""
    figure = p_figure(p_value)
    return f"p {figure}" if figure.startswith("<") else f"p = {figure}"


def counted(number: int, what: str) -> str:
    """``"1 face"``, ``"1,234 faces"``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def rows_text(count: int) -> str:
    """1 -> ``"1 row"``, 3589 -> ``"3,589 rows"``."""
    return f"{count:,} {'row' if count == 1 else 'rows'}"


def value_text(key: str, value: float) -> str:
    """A headline figure's value: accuracy in percent, all others with three decimals."""
    return percent(value) if key == "accuracy" else decimal(value)


def interval_text(key: str, estimate: Estimate) -> str:
    """The interval as ``"70.1–73.0 %"`` or ``"0.690–0.720"``; a dash where there is none."""
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return UNDEFINED
    low, high = value_text(key, estimate.low), value_text(key, estimate.high)
    return f"{low.removesuffix(' %')}–{high}"


def threshold_lines(result: ThresholdResult) -> list[tuple[str, OperatingPoint]]:
    """The points to show of a threshold, each with its name."""
    best = [] if result.best is None else [("best", result.best)]
    return [("asked for", result.chosen), *best]


def threshold_values(point: OperatingPoint) -> tuple[str, ...]:
    """Threshold, accuracy, precision, true and false positive rate, F1 and Youden's J."""
    rates = (point.precision, point.true_positive_rate, point.false_positive_rate, point.f1, point.youden)
    return (decimal(point.threshold), percent(point.accuracy), *map(decimal, rates))


def threshold_words(result: ThresholdResult) -> str:
    """What the points mean, and how far the best one is to be believed."""
    tempered = ", with the model's temperature" if result.in_use else ""
    words = f"A row is called {result.positive} from this probability up{tempered}. "
    if result.best is None:
        return words + "There are no validation rows of both classes to choose a threshold on."
    words += "Best is the greatest Youden's J, true minus false positive rate (TPR - FPR), on validation"
    return words + (
        ", which is these very rows, so its figures here are flattered a little."
        if result.split == "validation"
        else f"; both lines are measured on {result.split}."
    )
