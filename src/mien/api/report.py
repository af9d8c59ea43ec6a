"""``mien.report``: everything about a model's predictions on one page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mien.api.inputs import Data, Model, for_labels, read
from mien.base.errors import DataError
from mien.base.run_folder import RunFolder
from mien.data.dataset import FINGERPRINT_PX
from mien.data.read import ReadResult
from mien.evaluation.predictions import Predictions, read_predictions
from mien.evaluation.results import Evaluation
from mien.inference.find_model import find_run, find_run_of_model, is_shipped
from mien.inference.predictor import Predictor
from mien.page.page import WrittenPage
from mien.pipeline.find_files import find_predictions, find_robustness
from mien.pipeline.measured_split import MeasuredSplit, check_model, holds_test
from mien.reporting.context import ReportContext
from mien.reporting.report_page import report_page


@dataclass(frozen=True)
class ReportInputs:
    """What a report is made from. None means unknown; sections that need it are skipped.

    Attributes:
        predictions: of N samples, from any model.
        title: heads the page.
        file: of the predictions; a ``robustness.json`` may be beside it.
        model: that made the predictions, for sections that need new ones.
        model_name: path or name of the model, as for ``mien robustness``.
        run: the run folder of the model, for its training history and for gradients.
        data: the data that the predictions are of: all splits, at the image size of the model if there is one. Its
            classes may differ if a label scheme leads to those of the predictions.
        metadata: how the page was made, such as data and command.
        explain: add attention maps, if data and model are given.
    """

    predictions: Predictions
    title: str
    file: Path | None = None
    model: Predictor | None = None
    model_name: str | None = None
    run: RunFolder | None = None
    data: ReadResult | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    explain: bool = True

    @classmethod
    def find(cls, path: Path, model: Model | None = None, split: str | None = None) -> ReportInputs:
        """The predictions in a run folder, the folder of an evaluation, or a file; with their model.

        Args:
            path: the folder or file.
            model: that made the predictions; in a run folder the run's own by default.
            split: which predictions of a folder; validation by default.

        Raises:
            DataError: no predictions there.
            ModelError: no such model.
        """
        is_file = path.is_file()
        file = path if is_file else find_predictions(path, split)
        predictions = read_predictions(file)
        name = file.stem if is_file else file.parent.resolve().name
        if model is None and not is_file and RunFolder(path).model.is_file():
            # A run may be called as a shipped model is; the name of the model says then which of them it is.
            model = path.absolute() if is_shipped(str(path)) else path
        if model is None:
            return cls(predictions, f"{name}: {predictions.split}", file)
        where = model.path if isinstance(model, Predictor) else model
        predictor = for_labels(model)
        if not is_file and find_run(where).path.resolve() == path.resolve():
            name = predictor.manifest.full_name
        title = f"{name}: {predictions.split}"
        return cls(predictions, title, file, predictor, str(where), find_run_of_model(where))

    @property
    def default_out(self) -> Path:
        """Beside the predictions; a split may have any name, a folder may not."""
        split = "".join(each if each.isalnum() or each in "-_." else "-" for each in self.predictions.split)
        return (Path() if self.file is None else self.file.parent) / f"report-{split}"


def report(
    predictions: Predictions | str | os.PathLike[str],
    data: Data | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    model: Model | None = None,
    split: Literal["train", "validation", "test", "all"] | None = None,
    explain: bool = True,
) -> WrittenPage:
    """Write a full report on predictions and errors, as one page with its charts and tables beside it.

    Args:
        predictions: a run folder, the folder of an evaluation, a predictions file of any model, or its content.
        data: labelled faces that the predictions are of.
        out: the folder to write; ``report-SPLIT`` beside the predictions by default.
        model: that made the predictions; in a run folder the run's own by default.
        split: which predictions of a folder; validation by default.
        explain: add attention maps, which take half a minute. They need data and model.

    Raises:
        DataError: the predictions are not of this data or this model.
        MissingExtraError: the extra ``report`` is not installed.
    """
    if isinstance(predictions, Predictions):
        inputs = ReportInputs(predictions, f"predictions: {predictions.split}")
        if model is not None:
            loaded = for_labels(model)
            inputs = replace(inputs, model=loaded, model_name=str(loaded.path), run=find_run_of_model(loaded.path))
    else:
        inputs = ReportInputs.find(Path(predictions), model, split)
    if data is not None:
        form = (FINGERPRINT_PX, 1) if inputs.model is None else inputs.model.manifest.input.stored_as
        inputs = replace(inputs, data=read(data, *form))
    inputs = replace(inputs, explain=explain)
    return write_report(inputs.default_out if out is None else Path(out), inputs)


def write_report(out: Path, inputs: ReportInputs) -> WrittenPage:
    """Write ``report.html`` with its charts and tables into a folder.

    Args:
        out: the folder; a ``robustness.json`` in it is shown.
        inputs: what is known.

    Raises:
        DataError: the predictions are not of these faces or this model. Nothing is written
            then, and after any other error.
        MissingExtraError: matplotlib or jinja2 is not installed.
        RunError: the file system refused.
    """
    model, predictions = inputs.model, inputs.predictions
    if model is not None and model.classes != predictions.classes:
        raise DataError(
            f"The predictions have the classes {', '.join(predictions.classes)}, the model has "
            f"{', '.join(model.classes)}. Give the model that made the predictions, or none.",
            code="classes-differ",
        )
    faces = None if inputs.data is None else inputs.data.faces
    uncleaned = None if inputs.data is None else inputs.data.uncleaned
    members = [] if model is None or faces is None else [(model, faces)]
    split = MeasuredSplit.resolve(predictions, faces, members, uncleaned=uncleaned)
    checked = None if model is None or split.faces is None else check_model(model, split.faces, predictions)
    if checked is not None:
        inputs = replace(inputs, predictions=replace(predictions, temperature=checked))
    return write_measured(out, inputs, split, split.evaluate())


def write_measured(out: Path, inputs: ReportInputs, split: MeasuredSplit, evaluation: Evaluation) -> WrittenPage:
    """:func:`write_report`, once predictions are matched with their data and measured. ``inputs.data`` is not read."""
    model, run, predictions = inputs.model, inputs.run, inputs.predictions
    history = run.read_history() if run is not None else []
    places = [out, *([] if inputs.file is None else [inputs.file.parent]), *([] if run is None else [run.path])]
    context = ReportContext(
        predictions=split.predictions,
        evaluation=evaluation,
        faces=split.faces,
        class_counts=split.class_counts,
        history=history,
        best_epoch=model.manifest.epoch if model is not None and history else None,
        robustness=find_robustness(places, predictions, inputs.model_name),
        model=model,
        run=run,
        is_test=holds_test(predictions, split.faces),
        explain=inputs.explain,
    )
    return report_page(context, inputs.title, _metadata(inputs)).write(out)


def _metadata(inputs: ReportInputs) -> dict[str, str]:
    """How the page was made, by name."""
    metadata = {} if inputs.file is None else {"predictions": str(inputs.file)}
    metadata["model"] = inputs.model_name or "not given"
    if inputs.run is not None:
        metadata["run"] = str(inputs.run.path)
    if inputs.predictions.note:
        metadata["averaging"] = inputs.predictions.note
    metadata |= inputs.metadata
    if inputs.predictions.temperature is not None:
        metadata["probabilities"] = f"at temperature {inputs.predictions.temperature:.3g}"
    return metadata
