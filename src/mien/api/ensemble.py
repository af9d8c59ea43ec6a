"""``mien.ensemble``: one model file that averages several models, calibrated and measured on validation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.api.export import check_model_file, check_onnx
from mien.api.inputs import Data, read
from mien.base.errors import ModelError, Notice, RunError, arg
from mien.base.files import plain, whole_file
from mien.base.model_file import Manifest, attach_manifest, graph_sha256
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.read import ReadResult
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Evaluation
from mien.exporting.ensemble import check_alike, ensemble_manifest, merge_graphs
from mien.inference.find_model import find_model
from mien.inference.onnx_classifier import BATCH
from mien.inference.predictor import Predictor
from mien.pipeline.evaluate import measure_split_threshold
from mien.pipeline.evaluation_files import headline_values
from mien.pipeline.measured_split import MeasuredSplit
from mien.pipeline.split_predictions import (
    fitted_temperatures,
    predict_split,
    with_model_classes,
)

LARGEST_DIFFERENCE = 1e-4
"""Of a probability from the mean of the models' own."""

FEWEST_UNSEEN = 30
"""Validation samples that no model was trained on; where some were seen and fewer are left, nothing is fitted."""


@dataclass(frozen=True, eq=False)
class ExportedEnsemble:
    """An ensemble's model file with its evaluation on validation.

    Attributes:
        file: its path.
        manifest: what the file says of itself.
        accuracies: of each model alone on validation, 0..1.
        largest_difference: of any probability of the file from the mean of the models' own, on
            :data:`~mien.inference.onnx_classifier.BATCH` validation samples.
        evaluation: on validation, at temperature 1.
        notices: what to know of it.
    """

    file: Path
    manifest: Manifest
    accuracies: Sequence[float]
    largest_difference: float
    evaluation: Evaluation
    notices: Sequence[Notice]

    @property
    def description(self) -> str:
        """In words, what the file is."""
        return (
            f"{self.file}: {self.file.stat().st_size / 1e6:.2f} MB, the mean of {len(self.accuracies)} models. Its "
            f"probabilities differ from the mean of theirs by at most {self.largest_difference:.1g}."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        own = {"file": str(self.file), "bytes": self.file.stat().st_size, "accuracies": list(self.accuracies)}
        return {**own, "largest_difference": self.largest_difference, **self.evaluation.to_dict()}


def ensemble(models: Sequence[str | os.PathLike[str]], data: Data, out: str | os.PathLike[str]) -> ExportedEnsemble:
    """Make one model file whose probabilities are the mean of several models'.

    All models must read the same images and have the same classes and outputs. Each counts at temperature 1; the file's
    own temperatures are fitted on validation, as those of a run are. Samples that a model was trained on, because the
    data had other splits then, have no part in the fit, as far as the model's run folder says; where these leave fewer
    than :data:`FEWEST_UNSEEN`, nothing is fitted. The manifest gets the metrics only where all were trained on this
    data with these splits.

    Args:
        models: two or more, as :func:`mien.load` takes them.
        data: labelled faces. Temperatures are fitted on ``validation``, and the file is measured there.
        out: the ``.onnx`` file to write; an existing one is replaced.

    Raises:
        RunError: ``out`` is no ``.onnx`` file, is one of the models or in a run folder, or cannot be written.
        ModelError: models that cannot be found or do not fit together; the merged file does not give the mean
            (``export-parity``). Nothing is written then.
        DataError: no validation split, or a class that the models do not have.
    """
    out = Path(out)
    check_model_file(out)
    files = [find_model(model) for model in models]
    if out.resolve() in {file.resolve() for file in files}:
        raise RunError(f"{arg('out')} is {out}, one of the models. Choose another file.", code="out-is-source")
    if RunFolder(out.parent).is_run:
        raise RunError(
            f"{arg('out')} is in the run folder {out.parent}, whose files are of that run alone. Choose a file "
            "outside.",
            code="out-in-run",
        )
    check_onnx()
    members = open_members(files, [os.fspath(model) for model in models])
    return _write(members, read(data, *members[0].manifest.input.stored_as), out)


def open_members(models: Sequence[Path], names: Sequence[str] = ()) -> list[Predictor]:
    """The models of an ensemble, answering by the label.

    Args:
        models: ``.onnx`` files of mien.
        names: what a user calls them; their paths by default.

    Raises:
        ModelError: fewer than two (``ensemble-too-few``), one given twice (``ensemble-same-model``), one that cannot be
            opened, or models that do not fit together (:func:`mien.exporting.ensemble.check_alike`).
    """
    if len(models) < 2:
        raise ModelError(f"An ensemble needs two models or more; found {len(models)}.", code="ensemble-too-few")
    members = [Predictor(model).for_labels() for model in models]
    names = names or [str(model) for model in models]
    first_of: dict[str, str] = {}
    for model, name in zip(models, names, strict=True):
        digest = graph_sha256(model.read_bytes())
        if digest in first_of:
            raise ModelError(
                f"{first_of[digest]} and {name} are the same model; give each once.", code="ensemble-same-model"
            )
        first_of[digest] = name
    check_alike([each.manifest for each in members], names)
    return members


def _write(members: Sequence[Predictor], data: ReadResult, out: Path) -> ExportedEnsemble:
    """The file of members that fit together, and its evaluation on labelled faces at their size."""
    manifests = [each.manifest for each in members]
    graphs = [each.path.read_bytes() for each in members]
    manifest = ensemble_manifest(plain(out.stem), graphs, manifests, _provenance(manifests, data.faces))
    faces = with_model_classes(members[0], data.faces)
    images = np.asarray(faces.of_split("validation").images[:BATCH])
    accuracies = [_accuracy(predict_split(each, data.faces, "validation")) for each in members]
    graph = attach_manifest(merge_graphs(graphs, manifests), manifest)
    with whole_file(out) as temporary:
        temporary.write_bytes(graph)
        merged = Predictor(temporary).for_labels()
        difference = _difference(merged, members, images)
        # Not "greater": a difference that is not a number fails too.
        if not difference <= LARGEST_DIFFERENCE:
            raise ModelError(
                f"The merged model's probabilities differ from the mean of the models by up to {difference:.2g} "
                f"(allowed: {LARGEST_DIFFERENCE:g}). Nothing was written.",
                code="export-parity",
            )
        predictions = predict_split(merged, data.faces, "validation", temperature=1.0)
        split = MeasuredSplit.resolve(
            predictions, data.faces, [(each, data.faces) for each in members], uncleaned=data.uncleaned
        )
        seen = split.trained_on_elsewhere
        unseen = data.faces.subset(~np.isin(data.faces.rows, predictions.sample_ids[seen]))
        too_few = seen.any() and np.count_nonzero(~seen) < FEWEST_UNSEEN
        if too_few:
            # No temperature was fitted on this data.
            manifest = manifest.model_copy(update={"cleaned_from": ()})
        else:
            update = fitted_temperatures(merged, unseen, predictions.subset(~seen))
            manifest = manifest.model_copy(update=update)
        fitted = merged.with_manifest(manifest)
        threshold = measure_split_threshold(replace(split, members=[(fitted, data.faces)]), None, None)
        evaluation = replace(split.evaluate(), threshold=threshold)
        if data.faces.matches_training_data(manifest.data_fingerprint):
            manifest = manifest.model_copy(update={"scores": headline_values(evaluation)})
        temporary.write_bytes(attach_manifest(graph, manifest))
    notices = [] if evaluation.trained_on_notice is None else [evaluation.trained_on_notice]
    if too_few:
        notices.append(
            Notice(
                f"only {np.count_nonzero(~seen)} of {len(seen)} samples of validation were trained on by none of the "
                f"models, too few to fit a temperature: it is 1. Evaluate the file on samples that none has seen.",
                code="temperature-not-fitted",
            )
        )
    return ExportedEnsemble(out, manifest, accuracies, difference, evaluation, notices)


def _accuracy(predictions: Predictions) -> float:
    return float((predictions.probabilities.argmax(axis=1) == predictions.labels).mean())


def _provenance(manifests: Sequence[Manifest], faces: Dataset) -> dict[str, Any]:
    """Fingerprints of the data for the manifest.

    Where a model was trained on other data, ``data_fingerprint`` is a digest of all their fingerprints, which no data
    has: nobody can say that the ensemble was trained on this data alone. ``cleaned_from`` then says where the
    temperatures were fitted.
    """
    own = faces.provenance
    found = [each.data_fingerprint for each in manifests]
    if all(map(faces.matches_training_data, found)):
        return own
    digest = hashlib.sha256("\n".join(sorted(set(found))).encode()).hexdigest()
    return {"data_fingerprint": f"sha256:{digest}", "cleaned_from": [own["data_fingerprint"], *own["cleaned_from"]]}


def _difference(ensemble: Predictor, members: Sequence[Predictor], images: npt.NDArray[np.uint8]) -> float:
    """The largest difference of a probability of any output from the mean of the models' own."""
    found = []
    for output in ensemble.manifest.all_outputs:
        mean = np.zeros((len(images), len(output.classes)))
        for each in members:
            answering = each.with_output(output.name)
            places = [answering.classes.index(name) for name in output.classes]
            mean += answering.probabilities(images, 1.0)[:, places] / len(members)
        merged = ensemble.with_output(output.name).probabilities(images, 1.0)
        found.append(np.abs(merged - mean).max())
    # NumPy's max, unlike Python's, passes on what is not a number.
    return float(np.max(found))
