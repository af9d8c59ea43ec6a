"""Smaller forms of a run's model, each measured on validation beside the model it is made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mien.artifact import attach_manifest
from mien.data.faceset import FaceSet
from mien.evaluation.evaluate import evaluate_scores
from mien.experiments.measure import faces_for, headline_of, score_split
from mien.files import whole_file
from mien.inference.classifier import Classifier
from mien.preprocess import to_input
from mien.progress import busy
from mien.quantise import to_half, to_int8

CALIBRATION_FACES = 512
"""Faces of the train split whose activations span the ranges of the 8-bit form."""


@dataclass(frozen=True)
class Smaller:
    """A smaller form of a model and what it costs, on the validation rows of the data.

    Attributes:
        file: where it is.
        precision: fp16 or int8.
        bytes: its size, and ``former_bytes`` that of the model it is made from.
        rows: how many validation faces both were asked about.
        accuracy: its own, and ``former_accuracy`` that of the model it is made from, on the same rows.
        agreement: share of rows with the same top class.
        mean_difference: of all probabilities, at temperature 1; ``largest_difference`` of any.
    """

    file: str
    precision: str
    bytes: int
    former_bytes: int
    rows: int
    accuracy: float
    former_accuracy: float
    agreement: float
    mean_difference: float
    largest_difference: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def words(self) -> str:
        """For a person."""
        return (
            f"{self.file}: {self.bytes / 1e6:.2f} MB, was {self.former_bytes / 1e6:.2f}. "
            f"On validation, {self.rows:,} rows: {self.accuracy:.2%} in {self.precision}, {self.former_accuracy:.2%} "
            f"before; the same top class on {self.agreement:.1%}, probabilities {self.mean_difference:.2g} apart on "
            f"average, {self.largest_difference:.2g} at most."
        )


def write_smaller(model: Path, form: Literal["fp16", "int8"], faces: FaceSet, out: Path) -> Smaller:
    """Make a smaller form of a model file, measure both, and write it with its own figures in its manifest.

    The temperature stays that of the larger form, so that both answer alike. Figures are kept in the manifest where the
    data is that of the model's training; of other data they would stand beside a foreign fingerprint.

    Args:
        model: an ``.onnx`` file of mien's in fp32.
        form: fp16 stores weights in half precision; int8 quantises all, by the ranges of train faces.
        faces: labelled faces at the model's size, with a train (int8) and a validation split.
        out: the file to write.

    Raises:
        DataError: a split is missing, or the data has a class that the model does not know.
        ModelError: weights that the form cannot hold.
        RunError: the file system refused.
    """
    former = Classifier(model)
    before = score_split(former, faces, "validation", temperature=1.0)
    with busy(f"making the {form} form"):
        graph = to_half(model.read_bytes()) if form == "fp16" else to_int8(model.read_bytes(), _examples(former, faces))
    manifest = former.manifest.model_copy(update={"precision": form, "scores": {}})
    with whole_file(out) as temporary:
        temporary.write_bytes(attach_manifest(graph, manifest))
        after = score_split(Classifier(temporary), faces, "validation", temperature=1.0)
        if faces.is_learnt_as(manifest.data_fingerprint):
            scores = headline_of(evaluate_scores(after, resamples=1))
            graph = attach_manifest(graph, manifest.model_copy(update={"scores": scores}))
            temporary.write_bytes(graph)
    tops = [each.probabilities.argmax(axis=1) for each in (before, after)]
    apart = np.abs(after.probabilities - before.probabilities)
    return Smaller(
        file=str(out),
        precision=form,
        bytes=out.stat().st_size,
        former_bytes=model.stat().st_size,
        rows=len(after),
        accuracy=float((tops[1] == after.labels).mean()),
        former_accuracy=float((tops[0] == before.labels).mean()),
        agreement=float((tops[0] == tops[1]).mean()),
        mean_difference=float(apart.mean()),
        largest_difference=float(apart.max()),
    )


def _examples(classifier: Classifier, faces: FaceSet) -> Any:
    """Inputs of some train faces, the same ones each time. float32 (N, 1, C, C)."""
    chosen = faces_for(classifier, faces).of_split("train")
    some = np.random.default_rng(0).permutation(len(chosen))[:CALIBRATION_FACES]
    return to_input(chosen.images[np.sort(some)], classifier.manifest.input)
