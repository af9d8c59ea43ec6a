"""Several models in one table: metrics with intervals, size, speed, training time. Needs no torch."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.base.errors import Notice
from mien.base.run_folder import check_out
from mien.evaluation.named_metrics import NamedMetric, find_metrics
from mien.evaluation.paired_tests import significantly_best
from mien.evaluation.results import Estimate
from mien.inference.predictor import Predictor
from mien.page.blocks import Column, Section, Table, Text
from mien.page.page import Page
from mien.page.terminal import as_text, rich_table
from mien.page.wording import counted, initial, metric_format
from mien.pipeline.evaluate import EvaluationResult

if TYPE_CHECKING:
    from pandas import DataFrame

TIMED, WARM_UP = 20, 3
"""Number of timed predictions of one face, and of those before them that are not counted."""


@dataclass(frozen=True, eq=False)
class ModelTable:
    """Several models evaluated on the same samples, a row each.

    Attributes:
        results: the evaluation of each model.
        table: the rows; the best value of a metric is marked where it is significantly better than every other one.
    """

    results: tuple[EvaluationResult, ...]
    table: Table

    @property
    def notices(self) -> list[Notice]:
        """Notices about single models, such as that one was trained on samples of the split."""
        found = ((each.name, notice) for each in self.results for notice in each.notices)
        return [Notice(f"{name}: {notice}", code=notice.code) for name, notice in found]

    def save(self, path: str | os.PathLike[str], *, caption: str = "", label: str = "") -> None:
        """Write the table as ``.csv``, ``.tex``, ``.md`` or ``.json``; see :meth:`mien.page.blocks.Table.save`."""
        self.table.save(path, caption=caption, label=label)

    def to_pandas(self) -> "DataFrame":
        """Return the table as a data frame; a metric has three columns. Raises MissingExtraError without pandas."""
        return self.table.to_pandas()

    def to_dict(self) -> dict[str, Any]:
        """Return the rows, and the content of ``metrics.json`` of each model, JSON-ready."""
        evaluations = {each.name: each.to_dict() for each in self.results}
        return {"models": self.table.records(), "evaluations": evaluations}

    def write(self, folder: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> Path:
        """Write ``report.html`` and ``tables/models`` as ``.csv``, ``.tex`` and ``.json``; return the page's path.

        Raises RunError if the folder is a run folder, MissingExtraError without the extra ``report``.
        """
        evaluation = self.results[0].evaluation
        about = Text(
            "Significance: paired tests on the same samples, corrected for their number (Holm, 0.05). ms per face: one "
            "face at a time, in one thread of the processor.",
            soft=True,
        )
        title = f"{len(self.results)} models: {evaluation.split}"
        lead = f"Metrics on {counted(evaluation.samples, 'sample')}, {len(evaluation.classes)} classes."
        page = Page(title, lead, [Section("models", "Models", (self.table, about))], metadata or {})
        return page.write(check_out(folder, for_page=True)).page

    def __str__(self) -> str:
        return as_text(rich_table(self.table))

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> EvaluationResult:
        return self.results[index]

    def __iter__(self) -> Iterator[EvaluationResult]:
        return iter(self.results)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def model_table(results: Sequence[EvaluationResult], metrics: Sequence[NamedMetric] = ()) -> ModelTable:
    """Build the table of models that were evaluated on the same samples."""
    classes = results[0].classes
    models = [each.predictions.in_order(classes) for each in results]
    wanted = find_metrics(["accuracy", "macro_f1"])
    wanted += find_metrics(["majority_accuracy"]) if any(each.votes and each.votes.majority for each in results) else []
    wanted += [each for each in metrics if each not in wanted]
    heads = {metric.key: initial(metric.name) for metric in wanted}
    best = {(row, heads[key]) for key, row in significantly_best(models, wanted).items()}
    columns = [Column("Model", "text"), *(Column(heads[m.key], metric_format(m)) for m in wanted)]
    columns += [
        Column("Parameters", "count"),
        *(Column(name, "number") for name in ("MB", "ms per face", "Training, min")),
    ]
    rows = [(each.name, *(_estimate(each, metric) for metric in wanted), *_costs(each)) for each in results]
    split, samples = results[0].evaluation.split, counted(len(models[0]), "sample")
    caption = f"Models on {split}, {samples}, with 95% intervals. Bold: significantly better than every other model."
    return ModelTable(tuple(results), Table("models", tuple(columns), rows, caption, best=frozenset(best)))


def _estimate(result: EvaluationResult, metric: NamedMetric) -> Estimate:
    if metric.key != "majority_accuracy":
        return result.evaluation.headline[metric.key]
    if result.votes is None or not result.votes.majority:
        return Estimate(math.nan, math.nan, math.nan)
    return result.votes.majority[0].evaluation.accuracy


def _costs(result: EvaluationResult) -> tuple[Any, ...]:
    """Return the number of parameters, megabytes, milliseconds per face and minutes of training; None if unknown."""
    model, run = result.model, result.run
    if model is None:
        return None, None, None, None
    minutes = None
    if run is not None and (run.path / "environment.json").is_file() and (history := run.read_history()):
        minutes = round(history[-1]["seconds"] / 60, 1)
    size = round(model.path.stat().st_size / 1e6, 2)
    return model.manifest.parameters, size, round(milliseconds(model), 2), minutes


def milliseconds(model: Predictor) -> float:
    """Measure the time of one face crop in one thread of the processor, in milliseconds: the median of 20."""
    alone, form = Predictor(model.path, threads=1).for_labels(), model.manifest.input.size_and_channels
    face = np.full((1, form[0], form[0], *([3] if form[1] == 3 else [])), 128, dtype=np.uint8)
    seconds = []
    for _ in range(WARM_UP + TIMED):
        began = perf_counter()
        alone.probabilities(face)
        seconds.append(perf_counter() - began)
    return 1000 * median(seconds[WARM_UP:])
