"""One model file that averages several models, calibrated and measured on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.artifact import attach_manifest
from mien.data.dataset import Dataset
from mien.data.read import ReadResult
from mien.errors import ModelError
from mien.evaluation.predictions import Predictions
from mien.exporting.ensemble import check_alike, ensemble_manifest, merge_graphs
from mien.files import whole_file
from mien.first_run import remember
from mien.inference.onnx_classifier import BATCH
from mien.inference.predictor import Predictor
from mien.manifest import Manifest
from mien.onnx_graph import graph_sha256
from mien.pipeline.evaluate import EvaluatedSplit, EvaluateOptions, evaluate_models
from mien.pipeline.evaluation_files import headline_values
from mien.pipeline.split_predictions import fitted_temperatures, predict_split, with_model_classes
from mien.pipeline.trained_on import was_trained_on

LARGEST_DIFFERENCE = 1e-4
"""Of a probability from the mean of the models' own."""


@dataclass(frozen=True, eq=False)
class ExportedEnsemble:
    """An ensemble's model file with its evaluation on validation.

    Attributes:
        file: its path.
        manifest: what the file says of itself.
        models: number of models.
        largest_difference: of any probability of the file from the mean of the models' own, on
            :data:`~mien.inference.onnx_classifier.BATCH` validation samples.
        measured: the evaluation, at temperature 1.
    """

    file: Path
    manifest: Manifest
    models: int
    largest_difference: float
    measured: EvaluatedSplit

    @property
    def description(self) -> str:
        """In words, what the file is."""
        return (
            f"{self.file}: {self.file.stat().st_size / 1e6:.2f} MB, the mean of {self.models} models. Their own mean "
            f"differs by at most {self.largest_difference:.1g}."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        own = {"file": str(self.file), "bytes": self.file.stat().st_size, "models": self.models}
        return {**own, "largest_difference": self.largest_difference, **self.measured.to_dict()}


def open_members(models: Sequence[Path]) -> list[Predictor]:
    """The models of an ensemble, answering by the label.

    Args:
        models: ``.onnx`` files of mien.

    Raises:
        ModelError: fewer than two (``ensemble-too-few``), one given twice (``ensemble-same-model``), one that cannot be
            opened, or models that do not fit together (:func:`mien.exporting.ensemble.check_alike`).
    """
    if len(models) < 2:
        raise ModelError(f"An ensemble needs two models or more; found {len(models)}.", code="ensemble-too-few")
    members = [Predictor(model).for_labels() for model in models]
    first_of: dict[str, Path] = {}
    for model in models:
        other = first_of.setdefault(graph_sha256(model.read_bytes()), model)
        if other is not model:
            raise ModelError(f"{other} and {model} are the same model; give each once.", code="ensemble-same-model")
    check_alike([each.manifest for each in members])
    return members


def export_ensemble(members: Sequence[Predictor], data: ReadResult, out: Path) -> ExportedEnsemble:
    """Write one model file whose probabilities are the mean of several models'.

    Its own temperatures are fitted on validation, and so are the metrics in its manifest. Samples that a model was
    trained on, as far as its run folder says, have no part in the fit.

    Args:
        members: of :func:`open_members`.
        data: labelled faces at the models' size.
        out: the file to write.

    Raises:
        ModelError: the merged file does not give the mean (``export-parity``). Nothing is written.
        DataError: no validation split, or a class that the models do not have.
        RunError: the file cannot be written.
    """
    manifests = [each.manifest for each in members]
    graphs = [each.path.read_bytes() for each in members]
    manifest = ensemble_manifest(out.stem, graphs, manifests, _provenance(manifests, data.faces))
    faces = with_model_classes(members[0], data.faces.of_split("validation"))
    graph = merge_graphs(graphs, manifests)
    with whole_file(out) as temporary:
        temporary.write_bytes(attach_manifest(graph, manifest))
        remember(graph)
        ensemble = Predictor(temporary).for_labels()
        difference = _difference(ensemble, members, np.asarray(faces.images[:BATCH]))
        # Not "greater": a difference that is not a number fails too.
        if not difference <= LARGEST_DIFFERENCE:
            raise ModelError(
                f"The merged model's probabilities differ from the mean of the models by up to {difference:.2g} "
                f"(allowed: {LARGEST_DIFFERENCE:g}). Nothing was written.",
                code="export-parity",
            )
        note = f"the mean of {len(members)} models ({', '.join(each.full_name for each in manifests)})"
        predictions = replace(predict_split(ensemble, data.faces, "validation", temperature=1.0), note=note)
        measured = evaluate_models(members, [data] * len(members), EvaluateOptions(), predictions)
        manifest = manifest.model_copy(
            update={
                "scores": headline_values(measured.evaluation),
                **_temperatures(ensemble, members, data.faces, predictions),
            }
        )
        temporary.write_bytes(attach_manifest(graph, manifest))
    return ExportedEnsemble(out, manifest, len(members), difference, measured)


def _provenance(manifests: Sequence[Manifest], faces: Dataset) -> dict[str, Any]:
    """Fingerprints of the data for the manifest.

    Where a model was trained on other data, the ensemble was too: ``data_fingerprint`` is of that. The temperatures
    were fitted on these faces all the same, as ``cleaned_from`` then says.
    """
    own = faces.provenance
    other = [each.data_fingerprint for each in manifests if not faces.matches_training_data(each.data_fingerprint)]
    if not other:
        return own
    return {"data_fingerprint": other[0], "cleaned_from": [own["data_fingerprint"], *own["cleaned_from"]]}


def _difference(ensemble: Predictor, members: Sequence[Predictor], images: npt.NDArray[np.uint8]) -> float:
    """The largest difference of a probability of any output from the mean of the models' own."""
    found = []
    for output in ensemble.manifest.all_outputs:
        mean = np.zeros((len(images), len(output.classes)))
        for each in members:
            answering = each.with_output(output.name)
            mean += answering.probabilities(images)[:, [answering.classes.index(name) for name in output.classes]]
        merged = ensemble.with_output(output.name).probabilities(images)
        found.append(np.abs(merged - mean / len(members)).max())
    # NumPy's max, unlike Python's, passes on what is not a number.
    return float(np.max(found))


def _temperatures(
    ensemble: Predictor, members: Sequence[Predictor], faces: Dataset, predictions: Predictions
) -> dict[str, Any]:
    """The ensemble's temperatures, fitted on those validation samples that no model was trained on; 1 without any."""
    known = with_model_classes(ensemble, faces)
    seen = np.any([was_trained_on(each, known, predictions.sample_ids) for each in members], axis=0)
    if seen.all():
        return {}
    unseen = faces.subset(~np.isin(faces.rows, predictions.sample_ids[seen]))
    return fitted_temperatures(ensemble, unseen, predictions.subset(~seen))
