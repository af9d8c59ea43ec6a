"""The history of a training run: one line an epoch, and the epoch that is best by it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mien.recipe import Recipe

HISTORY_COLUMNS: tuple[str, ...] = (
    "epoch",
    "seconds",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "validation_macro_f1",
    "validation_macro_auc",
)

VOTE_COLUMNS: tuple[str, ...] = ("validation_votes_loss", "validation_majority_accuracy")
"""Further columns of a run with an output that learns from votes."""


def best_epoch(history: Sequence[Mapping[str, float]], recipe: Recipe) -> int:
    """The epoch (1-based) whose weights are kept: the best by the recipe's stopping metric, or the last."""
    return len(history) if recipe.stopping.keep == "last" else best_by_metric(history, recipe)


def best_by_metric(history: Sequence[Mapping[str, float]], recipe: Recipe) -> int:
    """The epoch (1-based) with the best value of the recipe's stopping metric; the first of equals."""
    metric = recipe.stopping.metric
    sign = -1.0 if metric == "loss" else 1.0
    values = [sign * line[f"validation_{metric}"] for line in history]
    # An undefined value (the AUC of a split with one class) is never the best.
    ranked = [-math.inf if math.isnan(value) else value for value in values]
    return ranked.index(max(ranked)) + 1


def history_to_csv(history: Sequence[Mapping[str, float]]) -> str:
    """The text of history.csv, columns :data:`HISTORY_COLUMNS` and any :data:`VOTE_COLUMNS`."""
    stream = io.StringIO()
    with_votes = bool(history) and VOTE_COLUMNS[0] in history[0]
    columns = (*HISTORY_COLUMNS, *VOTE_COLUMNS) if with_votes else HISTORY_COLUMNS
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.7g}" for name, value in line.items()} for line in history)
    return stream.getvalue()
