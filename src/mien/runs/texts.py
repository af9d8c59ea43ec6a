"""How a study's figures are called and written, the same in the terminal and on its page."""

from __future__ import annotations

import math

from mien.evaluation.named_metrics import VOTE_METRICS
from mien.evaluation.seed_variance import Spread
from mien.page.wording import decimal, percent

_NAMES = {
    "accuracy": "accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "macro_auc": "macro AUC",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
    "majority_accuracy": "FER+ majority",
    "agreed_accuracy": "accuracy where votes agree",
}


def metric_name(figure: str) -> str:
    """``"macro_f1"`` -> ``"macro F1"``, ``"recall.disgust"`` -> ``"recall of disgust"``."""
    kind, _, of_class = figure.partition(".")
    return f"{'F1' if kind == 'f1' else kind} of {of_class}" if of_class else _NAMES[figure]


def in_percent(figure: str) -> bool:
    """Whether a figure is a share that people write in percent."""
    return figure in {"accuracy", *VOTE_METRICS}


def metric_text(figure: str, value: float) -> str:
    """A value by itself."""
    return percent(value) if in_percent(figure) else decimal(value)


def spread_text(figure: str, spread: Spread) -> str:
    """``"61.2 ± 0.4%"`` over several runs, ``"61.2%"`` for one."""
    whole = metric_text(figure, spread.mean)
    if spread.runs < 2 or math.isnan(spread.mean):
        return whole
    if in_percent(figure):
        return f"{whole.removesuffix('%')} ± {100 * spread.deviation:.1f}%"
    return f"{whole} ± {spread.deviation:.3f}"


def duration(seconds: float) -> str:
    """40 -> ``"40 s"``, 500 -> ``"8 min"``, 10000 -> ``"2.8 h"``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
