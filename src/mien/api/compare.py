"""``mien.compare``: models on the same samples."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mien.api.evaluate import EvaluationResult, evaluate
from mien.api.inputs import Data, Model, read
from mien.api.text import as_text
from mien.argument_names import names_arguments
from mien.comparison.run import compare_all, notices_on, with_subsets, write_comparison
from mien.comparison.section import PairwiseComparison, comparison_table
from mien.data.dataset import FINGERPRINT_PX
from mien.data.read import ReadResult
from mien.errors import DataError, Notice
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate
from mien.page.terminal import rich_table


@dataclass(frozen=True, eq=False)
class ComparisonResult:
    """Two models on the same samples.

    Attributes:
        pair: everything that was compared, as values.
    """

    pair: PairwiseComparison

    @property
    def p_value(self) -> float:
        """McNemar's test: how often chance alone would differ as much, 0..1."""
        return self.pair.comparison.mcnemar.p_value

    @property
    def accuracy_difference(self) -> Estimate:
        """Accuracy of the second minus that of the first, with its 95% interval of paired resamples."""
        return self.pair.comparison.accuracy.difference

    @property
    def notes(self) -> list[Notice]:
        """What a reader must know: notes of the predictions, unequal temperatures."""
        return notices_on(self.pair)

    def write_report(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``report.html`` with charts and tables into a folder; the page's path.

        Raises:
            MissingExtraError: the extra ``report`` is not installed.
        """
        return write_comparisons(folder, [self])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: both models' metrics, differences, intervals and p-values; notes and subsets, if any."""
        content = {"first": self.pair.first, "second": self.pair.second, **self.pair.comparison.to_dict()}
        if self.notes:
            content["notes"] = "; ".join(self.notes)
        if self.pair.subsets:
            content["subsets"] = [{"first": a.to_dict(), "second": b.to_dict()} for a, b in self.pair.subsets]
        return content

    def __str__(self) -> str:
        return as_text(rich_table(comparison_table(self.pair)))

    def _repr_html_(self) -> str:
        return comparison_table(self.pair)._repr_html_()


@names_arguments
def compare(
    first: Model | Predictions | EvaluationResult,
    second: Model | Predictions | EvaluationResult,
    data: Data | None = None,
    split: Literal["train", "validation", "test"] = "validation",
) -> ComparisonResult:
    """Compare two models on the same samples: differences with intervals, and McNemar's test.

    Args:
        first: the baseline: a model, its predictions, or its evaluation.
        second: the other one.
        data: labelled faces; needed where a model is given. Adds metrics without copies; its groups, if it has any,
            take the place of those of the predictions.
        split: which of them.

    Raises:
        DataError: a model without data; predictions of other samples, labels, classes or data.
    """
    named = [_named_predictions(each, which, data, split) for each, which in ((first, "first"), (second, "second"))]
    return compare_named(named, None if data is None else read(data, FINGERPRINT_PX))[0]


def compare_named(named: Sequence[tuple[str, Predictions]], data: ReadResult | None = None) -> list[ComparisonResult]:
    """:func:`compare` of the first model with each of the others.

    Args:
        named: two or more names with predictions, the baseline first.
        data: the data set that they are of: adds metrics without copies, and groups.

    Raises:
        DataError: as :func:`compare`.
    """
    pairs = compare_all(named, faces=None if data is None else data.faces)
    if data is not None:
        pairs = with_subsets(pairs, data.faces, data.uncleaned)
    return [ComparisonResult(each) for each in pairs]


def write_comparisons(
    folder: str | os.PathLike[str],
    results: Sequence[ComparisonResult],
    data: ReadResult | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """:meth:`ComparisonResult.write_report` of several, on one page; with faces where there is data."""
    notes = "; ".join(dict.fromkeys(words for each in results for words in each.notes))
    return write_comparison(
        Path(folder),
        [each.pair for each in results],
        faces=None if data is None else data.faces,
        metadata={**(metadata or {}), **({"averaging": notes} if notes else {})},
    ).page


def _named_predictions(
    given: Model | Predictions | EvaluationResult, which: str, data: Data | None, split: Any
) -> tuple[str, Predictions]:
    if isinstance(given, EvaluationResult):
        return str(given.run.path) if given.run else given.name or which, given.predictions
    if isinstance(given, Predictions):
        return which, given
    if data is None:
        raise DataError("Comparing models needs data; or give their predictions.", code="data-missing")
    done = evaluate(given, data, split)
    # As the command does: two runs of one recipe differ by their folders.
    return str(given) if isinstance(given, (str, os.PathLike)) else done.name or which, done.predictions
