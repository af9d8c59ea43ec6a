"""``mien.find_lr`` and ``mien.cross_validate``: trainings that try a recipe."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from mien.api.inputs import Data, environment, read
from mien.api.train import check_callback, find_job, settings_of
from mien.base.arrays import Floats
from mien.base.errors import Notice, RunError, needs_extra
from mien.base.files import write_text
from mien.base.processes import torch_defaults
from mien.base.recipe import Change, Recipe
from mien.base.run_folder import RunFolder, check_out
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Evaluation, JsonResult
from mien.page.chart import Chart
from mien.page.plots import rate_chart
from mien.page.terminal import as_html, as_text, evaluation_text
from mien.training.callback import Callback


@dataclass(frozen=True, eq=False)
class LrSearch(JsonResult):
    """Result of a learning-rate range test.

    Attributes:
        suggestion: highest learning rate around which the loss falls clearly, for ``lr`` of the recipe.
        rates: float64 (N,), the learning rate of each step.
        losses: float64 (N,), the running mean of the loss at each step.
    """

    suggestion: float
    rates: Floats = field(repr=False)
    losses: Floats = field(repr=False)

    @property
    def highest(self) -> float:
        """Learning rate of the lowest loss. Above it training gets worse; it is the upper end of Smith's range."""
        return float(self.rates[self.losses.argmin()])

    def plot(self) -> Chart:
        """Plot the loss by learning rate, with the suggestion marked. Needs the extra ``report``."""
        return rate_chart(self.rates, self.losses, self.suggestion)

    def to_dict(self) -> dict[str, Any]:
        """Return suggestion, highest, rates and losses, JSON-ready."""
        return {**super().to_dict(), "highest": self.highest}

    def _repr_svg_(self) -> str:
        return self.plot()._repr_svg_()


@torch_defaults()
def find_lr(
    recipe: str | os.PathLike[str] | Recipe,
    data: Data,
    *,
    init_from: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | Sequence[Change] | None = None,
    device: str = "auto",
) -> LrSearch:
    """Find a learning rate by a range test: it rises from 1e-6 to 10 in 100 steps (Smith, 2015).

    No file is written. The result is valid for this recipe, batch size and data.

    Args:
        recipe: recipe; all arguments are as in :func:`mien.train`.
        data: faces with a ``train`` split.
        init_from: run or built-in model to fine-tune.
        settings: changed keys of the recipe: ``{"batch_size": 64}``, or ``["batch_size=64"]``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        TrainingError: the loss falls clearly at no learning rate (``lr-not-found``).
        MienError: see :func:`mien.train`.
    """
    job = find_job(recipe, settings_of(settings), init_from, device)
    job.check()
    plan = job.plan(data)
    from mien.training.probe import range_test, suggested_rate

    rates, losses, means = range_test(plan, init_from=job.init_from, device=job.device)
    return LrSearch(suggested_rate(rates, losses, means), rates, means)


@dataclass(frozen=True, eq=False)
class CrossValidated:
    """Metrics of models on samples that they were not trained on.

    Attributes:
        folder: folder with a run folder for each fold.
        predictions: predictions for all samples of train and validation, each by the model that was not trained on it.
        evaluation: metrics of the predictions; ``evaluation.by`` has the metrics of each fold.
    """

    folder: Path
    predictions: Predictions
    evaluation: Evaluation

    @property
    def accuracies(self) -> list[float]:
        """Accuracy of each fold, 0..1."""
        assert self.evaluation.by is not None
        return [part.accuracy.value for part in self.evaluation.by.parts[1:]]

    @property
    def summary(self) -> str:
        """Mean and standard deviation over the folds, as text."""
        values = self.accuracies
        return f"Accuracy of the folds: mean {mean(values):.1%}, standard deviation {stdev(values):.1%}."

    def to_dict(self) -> dict[str, Any]:
        """Return the folder and the content of ``metrics.json``, JSON-ready."""
        return {"run": str(self.folder), **self.evaluation.to_dict()}

    def __repr__(self) -> str:
        return f"<CrossValidated {self.folder}: {self.summary}>"

    def __str__(self) -> str:
        return f"{as_text(evaluation_text(self.evaluation))}\n{self.summary}"

    def _repr_html_(self) -> str:
        return as_html(evaluation_text(self.evaluation))


@torch_defaults()
def cross_validate(
    recipe: str | os.PathLike[str] | Recipe,
    data: Data,
    folds: int = 5,
    *,
    out: str | os.PathLike[str] | None = None,
    init_from: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | Sequence[Change] | None = None,
    resume: bool = False,
    device: str = "auto",
    callback: Callback | None = None,
    notify: Callable[[str], None] = lambda line: None,
) -> CrossValidated:
    """Train a model for each fold of train and validation, and measure it on that fold.

    A group is never divided; without groups, near-copies stay together. The test split is not used.

    Args:
        recipe: recipe, as in :func:`mien.train`.
        data: labelled faces.
        folds: number of folds, from 2 to the number of groups.
        out: output folder; default ``runs/NAME-foldsK``.
        init_from: run or built-in model to fine-tune in every fold.
        settings: changed keys of the recipe: ``{"epochs": 5}``.
        resume: continue with the unfinished folds in ``out``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        callback: callback for the training of each fold.
        notify: called with one line for a warning, and at the start of each fold.

    Raises:
        RunError: ``out`` has other content, or has folds and ``resume`` is False.
        DataError: there are fewer groups than folds, or a fold cannot be trained.
        MienError: see :func:`mien.train`.
    """
    check_callback(callback)
    job = find_job(recipe, settings_of(settings), init_from, device)
    folder = check_out(Path("runs") / f"{job.recipe.name}-folds{folds}" if out is None else out, data)
    has_folds = (folder / "fold-1").is_dir()
    if RunFolder(folder).exists and not (has_folds and resume):
        other = ", or give --resume" if has_folds else ""
        raise RunError(f"{folder} exists already. Choose another --out{other}.", code="file-exists")
    if resume and not has_folds:
        words = f"{folder} holds no folds to resume. The cross-validation starts from its first fold."
        notify(Notice(words, code="nothing-to-resume").line)
    job.check()
    with needs_extra("train", "Training"):
        from mien.runs.folds import check_groups, make_folds, measure_folds, predict_folds
    from mien.data.splits import split_groups

    dataset = read(data, *job.recipe.input.size_and_channels).faces
    job.network(len(dataset.classes))
    groups = split_groups(dataset.images, dataset.groups)
    check_groups(dataset, groups, folds)
    parts = make_folds(dataset, groups, folds)
    whole = "near-copies" + (f" and groups of '{dataset.group_column}'" if dataset.group_column else "")
    notify(f"train and validation are split into {folds} folds; {whole} stay together")
    for each in job.known_images(dataset, "train", "validation"):
        notify(each.line)
    predictions = predict_folds(
        job.recipe,
        parts,
        folder,
        callback=callback,
        notify=notify,
        environment=environment(data),
        init_from=job.init_from,
        device=job.device,
        advice="To resume, run the same again with --resume.",
    )
    evaluation = measure_folds(predictions, parts)
    write_text(folder / "metrics.json", dumps(evaluation.to_dict(), indent=2) + "\n")
    return CrossValidated(folder, predictions, evaluation)
