"""``mien.report``: write a full report on a model's predictions as one page."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mien.api.inputs import Data, Model, environment, for_labels, read
from mien.base.files import expand_home
from mien.base.run_folder import check_out
from mien.data.dataset import FINGERPRINT_PX
from mien.evaluation.named_metrics import Metric, find_metrics
from mien.evaluation.predictions import Predictions
from mien.inference.find_model import find_run_of_model
from mien.page.page import WrittenPage
from mien.pipeline.evaluation_files import ReportInputs, write_report


def report(
    predictions: Predictions | str | os.PathLike[str],
    data: Data | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    model: Model | None = None,
    split: str | None = None,
    explain: bool = True,
    metadata: Mapping[str, str] | None = None,
    metrics: Sequence[Metric] = (),
) -> WrittenPage:
    """Write a full report on predictions and errors as one page, with its charts and tables as files.

    Args:
        predictions: a run folder, an evaluation folder, a predictions file of any model, or a Predictions object.
        data: labelled faces of the predictions.
        out: output folder; default ``report-SPLIT`` beside the predictions.
        model: model that made the predictions; default: the model of the run folder, if one is given.
        split: split, if a folder has predictions for several; default validation.
        explain: whether to add attention maps, which take half a minute and need data and model.
        metadata: more lines for the page about how it was made.
        metrics: further metrics, as in :func:`evaluate`.

    Raises:
        RunError: ``out`` is a run folder, an evaluation's, a file, or inside the data.
        DataError: the predictions are for other data, or another model made them.
        MissingExtraError: the extra ``report`` is not installed.
    """
    if isinstance(predictions, Predictions):
        inputs = ReportInputs(predictions, f"predictions: {predictions.split}")
        if model is not None:
            loaded = for_labels(model)
            inputs = replace(inputs, model=loaded, model_name=str(loaded.path), run=find_run_of_model(loaded.path))
    else:
        inputs = ReportInputs.find(expand_home(predictions), model, split)
    folder = check_out(inputs.default_out if out is None else out, data, for_page=True)
    if data is not None:
        form = (FINGERPRINT_PX, 1) if inputs.model is None else inputs.model.manifest.input.size_and_channels
        inputs = replace(inputs, data=read(data, *form), metadata=environment(data))
    lines = {**inputs.metadata, **(metadata or {})}
    return write_report(folder, replace(inputs, explain=explain, metadata=lines, metrics=find_metrics(metrics)))
