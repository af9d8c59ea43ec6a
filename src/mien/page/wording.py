"""Names of metrics and formats of numbers, for both the terminal and pages."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

# Importing this at run time would double the imports of `mien predict`.
if TYPE_CHECKING:
    from mien.base.recipe_tables import StoppingRecipe
    from mien.evaluation.paired_tests import Spread
    from mien.evaluation.results import Estimate, MetricInfo

Format: TypeAlias = Literal["text", "count", "percent", "points", "decimal", "signed", "p", "number"]
UNDEFINED = "–"
"""Text for an undefined metric, such as the recall of a class without samples."""


def percent(fraction: float, digits: int = 1) -> str:
    """Format a fraction: 0.715 -> ``"71.5%"``; NaN -> a dash."""
    return UNDEFINED if math.isnan(fraction) else f"{100 * fraction:.{digits}f}%"


def decimal(value: float) -> str:
    """Format a decimal: 0.7154 -> ``"0.715"``; NaN -> a dash."""
    return UNDEFINED if math.isnan(value) else f"{value:.3f}"


def points(value: float) -> str:
    """Format a difference in percentage points: 0.012 -> ``"+1.2"``; NaN -> a dash."""
    return UNDEFINED if math.isnan(value) else f"{round(100 * value, 1) + 0.0:+.1f}"


def signed(value: float) -> str:
    """Format a signed decimal: 0.0123 -> ``"+0.012"``; NaN -> a dash."""
    return UNDEFINED if math.isnan(value) else f"{round(value, 3) + 0.0:+.3f}"  # no -0.000


def number(value: Any) -> str:
    """Format a float with four digits: 0.000123456 -> ``"0.0001235"``; NaN -> a dash; others unchanged."""
    if not isinstance(value, float):
        return str(value)
    return UNDEFINED if math.isnan(value) else f"{value:.4g}"


def p_value_text(p_value: float) -> str:
    """Format a p-value: 0.0123 -> ``"0.012"``, 0.00001 -> ``"< 0.001"``."""
    return "< 0.001" if p_value < 0.001 else decimal(p_value)


FORMATTERS: dict[Format, Callable[[Any], str]] = {
    "text": str,
    "count": lambda value: f"{value:,}",
    "percent": percent,
    "points": points,
    "decimal": decimal,
    "signed": signed,
    "p": p_value_text,
    "number": number,
}
"""Formatter for each kind of value."""


class Cell(NamedTuple):
    """A value with a format of its own, in a column whose rows are different metrics."""

    value: Any
    format: Format


def shown(value: Any, form: Format = "decimal") -> str:
    """Format a value, an estimate without its interval, or a spread; None and NaN are a dash."""
    value, form = value if isinstance(value, Cell) else (value, form)
    if hasattr(value, "deviation"):
        return spread_text(value, form)
    value = getattr(value, "value", value)
    return UNDEFINED if value is None else FORMATTERS[form](value)


def spread_text(spread: Spread, form: Format) -> str:
    """Format a mean over runs with its standard deviation, ``"61.2 ± 0.4%"``; one run is ``"61.2%"``."""
    mean, deviation = (FORMATTERS[form](each) for each in (spread.mean, spread.deviation))
    return mean if UNDEFINED in {mean, deviation} else f"{mean.removesuffix('%')} ± {deviation}"


def interval(value: Any, form: Format = "decimal") -> str:
    """Format the interval of an estimate: ``"70.1–73.0%"``, ``"-2.0 to +1.0"``; ``""`` if there is none."""
    value, form = value if isinstance(value, Cell) else (value, form)
    if not hasattr(value, "low") or math.isnan(value.low) or math.isnan(value.high):
        return ""
    low, high = shown(value.low, form).removesuffix("%"), shown(value.high, form)
    return f"{low} to {high}" if form in {"points", "signed"} else f"{low}–{high}"


def with_interval(value: Any, form: Format = "decimal") -> str:
    """Format a value and its interval, if there is one: ``"71.0% [69.5–72.5%]"``."""
    around = interval(value, form)
    return f"{shown(value, form)} [{around}]" if around else shown(value, form)


def share_text(share: Estimate) -> str:
    """Format a fraction with its interval, if there is one, in percent: ``71.0% [69.5–72.5%]``."""
    return with_interval(share, "percent")


def metric_format(metric: MetricInfo) -> Format:
    """Return the format of a metric's values."""
    return "percent" if metric.percent else "decimal"


def p_text(p_value: float) -> str:
    """Format a p-value with "p": 0.0123 -> ``"p = 0.012"``, 0.00001 -> ``"p < 0.001"``."""
    text = p_value_text(p_value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def counted(number: int, noun: str) -> str:
    """Format a number of things: ``"1 face"``, ``"1,234 faces"``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration_text(seconds: float, *, units: bool = False) -> str:
    """Format a duration as ``m:ss`` or ``h:mm:ss``, or with units.

    >>> duration_text(75.4), duration_text(3600), duration_text(75.4, units=True), duration_text(3600, units=True)
    ('1:15', '1:00:00', '1 min 15 s', '1 h 0 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if units:
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def kept_epoch_text(epoch: int, epochs: int, stopping: StoppingRecipe) -> str:
    """Say which epoch is kept and why: ``"9, the last of 9"``, ``"7, the best of 24 by validation loss"``."""
    if stopping.keep == "last":
        return f"{epoch}, the last of {epochs}"
    return f"{epoch}, the best of {epochs} by validation {stopping.metric.replace('_', '-')}"


def initial(text: str) -> str:
    """Return a text with a capital first letter: ``"macro-F1"`` -> ``"Macro-F1"``."""
    return text[:1].upper() + text[1:]
