"""``mien.ensemble``: one model file that averages several models, calibrated and measured on validation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mien.api.export import check_model_file, check_onnx
from mien.api.inputs import Data, read
from mien.base.errors import ModelError, Notice, RunError, arg
from mien.base.files import plain, whole_file
from mien.base.model_file import Manifest, attach_manifest, graph_sha256
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.evaluation.results import Evaluation
from mien.exporting.ensemble import check_alike, ensemble_manifest, merge_graphs
from mien.inference.find_model import find_model
from mien.inference.predictor import Predictor
from mien.pipeline.evaluate import measure_split_threshold
from mien.pipeline.evaluation_files import headline_values
from mien.pipeline.measured_split import MeasuredSplit
from mien.pipeline.split_predictions import fitted_temperatures, predict_split


@dataclass(frozen=True, eq=False)
class ExportedEnsemble:
    """An ensemble's model file with its evaluation on validation.

    Attributes:
        file: its path.
        manifest: what the file says of itself.
        accuracies: of each model alone on validation, 0..1.
        evaluation: on validation, at temperature 1.
        notices: what to know of it.
    """

    file: Path
    manifest: Manifest
    accuracies: Sequence[float]
    evaluation: Evaluation
    notices: Sequence[Notice]

    @property
    def description(self) -> str:
        """In words, what the file is."""
        return f"{self.file}: {self.file.stat().st_size / 1e6:.2f} MB, the mean of {len(self.accuracies)} models."

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        own = {"file": str(self.file), "bytes": self.file.stat().st_size, "accuracies": list(self.accuracies)}
        return {**own, **self.evaluation.to_dict()}


def ensemble(models: Sequence[str | os.PathLike[str]], data: Data, out: str | os.PathLike[str]) -> ExportedEnsemble:
    """Make one model file whose probabilities are the mean of several models'.

    All models must read the same images and have the same classes and outputs. Each counts at temperature 1; the file's
    own temperatures are fitted on validation, as those of a run are. Where the run folder of a model says that it was
    trained on some of these samples, because the data had other splits then, nothing is fitted. The manifest gets the
    metrics only where all were trained on this data with these splits.

    Args:
        models: two or more, as :func:`mien.load` takes them.
        data: labelled faces. Temperatures are fitted on ``validation``, and the file is measured there.
        out: the ``.onnx`` file to write; an existing one is replaced.

    Raises:
        RunError: ``out`` is no ``.onnx`` file, is one of the models or in a run folder, or cannot be written.
        ModelError: models that cannot be found or do not fit together. Nothing is written then.
        DataError: no validation split, or a class that the models do not have.
    """
    out = Path(out)
    check_model_file(out)
    members = open_members(models)
    if out.resolve() in {each.path.resolve() for each in members}:
        raise RunError(f"{arg('out')} is {out}, one of the models. Choose another file.", code="out-is-source")
    if RunFolder(out.parent).is_run:
        raise RunError(
            f"{arg('out')} is in the run folder {out.parent}, whose files are of that run alone. Choose a file "
            "outside.",
            code="out-in-run",
        )
    check_onnx()
    result = read(data, *members[0].manifest.input.stored_as)
    manifests = [each.manifest for each in members]
    graphs = [each.path.read_bytes() for each in members]
    manifest = ensemble_manifest(plain(out.stem), graphs, manifests, _provenance(manifests, result.faces))
    accuracies = [predict_split(each, result.faces, "validation").accuracy for each in members]
    graph = attach_manifest(merge_graphs(graphs, manifests), manifest)
    with whole_file(out) as temporary:
        temporary.write_bytes(graph)
        merged = Predictor(temporary).for_labels()
        predictions = predict_split(merged, result.faces, "validation", temperature=1.0)
        split = MeasuredSplit.resolve(
            predictions, result.faces, [(each, result.faces) for each in members], uncleaned=result.uncleaned
        )
        is_seen = split.trained_on_elsewhere.any()
        # Where no temperature was fitted on this data, the manifest does not name it.
        update = {"cleaned_from": ()} if is_seen else fitted_temperatures(merged, result.faces, predictions)
        manifest = manifest.model_copy(update=update)
        fitted = merged.with_manifest(manifest)
        threshold = measure_split_threshold(replace(split, members=[(fitted, result.faces)]), None, None)
        evaluation = replace(split.evaluate(), threshold=threshold)
        if result.faces.matches_training_data(manifest.data_fingerprint):
            manifest = manifest.model_copy(update={"scores": headline_values(evaluation)})
        temporary.write_bytes(attach_manifest(graph, manifest))
    notices = [] if evaluation.trained_on_notice is None else [evaluation.trained_on_notice]
    if is_seen:
        words = "the temperature is 1: validation has samples that a model was trained on. Evaluate the file on others."
        notices.append(Notice(words, code="temperature-not-fitted"))
    return ExportedEnsemble(out, manifest, accuracies, evaluation, notices)


def open_members(models: Sequence[str | os.PathLike[str]]) -> list[Predictor]:
    """The models of an ensemble, answering by the label.

    Raises:
        ModelError: fewer than two (``ensemble-too-few``), one given twice (``ensemble-same-model``), one that cannot be
            found or opened, or models that do not fit together (:func:`mien.exporting.ensemble.check_alike`).
    """
    if len(models) < 2:
        raise ModelError(f"An ensemble needs two models or more; found {len(models)}.", code="ensemble-too-few")
    names = [os.fspath(model) for model in models]
    members = [Predictor(find_model(model)).for_labels() for model in models]
    first_of: dict[str, str] = {}
    for each, name in zip(members, names, strict=True):
        digest = graph_sha256(each.path.read_bytes())
        if digest in first_of:
            raise ModelError(
                f"{first_of[digest]} and {name} are the same model; give each once.", code="ensemble-same-model"
            )
        first_of[digest] = name
    check_alike([each.manifest for each in members], names)
    return members


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
