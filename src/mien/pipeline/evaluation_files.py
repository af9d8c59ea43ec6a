"""The files of an evaluation: predictions, metrics and the report. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from mien.base.errors import MissingExtraError
from mien.base.files import plain, whole_file
from mien.base.run_folder import RunFolder
from mien.evaluation.predictions import Predictions, save_predictions
from mien.evaluation.results import Evaluation
from mien.reporting.context import ReportContext
from mien.reporting.report_page import SUMMARY, report_page


def headline_values(evaluation: Evaluation) -> dict[str, float]:
    """The headline metrics of validation as the manifest stores them, without undefined ones."""
    return {
        f"validation_{name}": estimate.value
        for name, estimate in evaluation.headline.items()
        if not math.isnan(estimate.value)
    }


def file_names(split: str) -> tuple[str, ...]:
    """What :func:`write_evaluation` writes."""
    return f"predictions_{split}.npz", "metrics.json", "report.html"


def write_evaluation(
    folder: Path,
    predictions: Predictions,
    evaluation: Evaluation,
    *,
    title: str,
    metadata: Mapping[str, str],
    class_counts: Mapping[str, Sequence[int]],
    history: Sequence[Mapping[str, Any]] = (),
    best_epoch: int | None = None,
) -> Path | None:
    """Write ``predictions_<split>.npz``, ``metrics.json`` and, if the extra is installed, ``report.html``.

    Args:
        folder: where to.
        predictions: for one split.
        evaluation: their metrics.
        title: of the report.
        metadata: shown in the report, by name.
        class_counts: faces of each class in each split of the data.
        history: the epochs of the run, if there are any.
        best_epoch: the selected epoch.

    Returns:
        The report's path; None without the extra ``report``. A former report is removed then.

    Raises:
        RunError: a file cannot be written.
    """
    report = folder / "report.html"
    html: str | None = None
    with suppress(MissingExtraError):
        context = ReportContext(
            predictions, evaluation, class_counts=class_counts, history=history, best_epoch=best_epoch
        )
        html = report_page(context, title, metadata, SUMMARY).html()
    # All or none: what is half there could neither be used nor, without --overwrite, be written again.
    with ExitStack() as files:
        place = RunFolder(folder).predictions(predictions.split)
        with files.enter_context(whole_file(place)).open("wb") as stream:
            save_predictions(stream, predictions)
        metrics = files.enter_context(whole_file(folder / "metrics.json"))
        metrics.write_text(json.dumps(evaluation.to_dict(), indent=2) + "\n", encoding="utf-8", newline="")
        if html is not None:
            files.enter_context(whole_file(report)).write_text(plain(html), encoding="utf-8", newline="")
    if html is None:
        # A former report would not match these metrics.
        report.unlink(missing_ok=True)
        return None
    return report
