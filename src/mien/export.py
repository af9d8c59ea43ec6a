"""From a run's best weights to the artifact: one ``.onnx`` file, proven to answer as the torch network does."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mien.artifact import Manifest, attach_manifest, open_model, read_manifest
from mien.data.synthetic import draw_labels, render_faces
from mien.errors import ModelError
from mien.files import whole_file
from mien.models.for_reading import for_reading
from mien.models.network import Network
from mien.preprocess import grey_square, to_input
from mien.recipe import Recipe
from mien.run_folder import RunFolder
from mien.training import checkpoint
from mien.version import __version__

PARITY_FACES = 256
LARGEST_DIFFERENCE = 1e-4


@dataclass(frozen=True)
class Parity:
    """How closely the file answers as torch does, both in fp32 on the CPU, on :data:`PARITY_FACES` synthetic faces.

    Attributes:
        faces: how many faces were compared.
        largest_difference: of any probability of any face.
        agreement: share of faces with the same top class.
    """

    faces: int
    largest_difference: float
    agreement: float


def export_run(run: RunFolder, out: Path | None = None) -> Parity:
    """Write the artifact of a run's best epoch.

    Args:
        run: a run with at least one finished epoch.
        out: the file to write; ``model.onnx`` in the run's folder by default.

    Raises:
        RunError: no such run, no finished epoch, a damaged checkpoint, or the disk is full.
        ModelError: the file's answers differ from torch's by more than :data:`LARGEST_DIFFERENCE`. Nothing is written.
    """
    recipe = run.read_recipe()
    network, facts = checkpoint.load_best(run)
    manifest = Manifest(
        name=recipe.name,
        classes=tuple(facts["classes"]),
        input=recipe.input,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        recipe=_for_others(recipe),
        recipe_digest=facts["recipe_digest"],
        data_fingerprint=facts["data_fingerprint"],
        cleaned_from=tuple(facts.get("cleaned_from", ())),
        taught_by=tuple(facts.get("taught_by", ())),
        epoch=facts["epoch"],
        **_measured(run, facts),
        licence=network.licence,
        mien_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    graph = attach_manifest(_to_onnx(network, recipe.input.crop_px), manifest)
    with whole_file(out or run.model) as temporary:
        temporary.write_bytes(graph)
        parity = measure_parity(network, temporary)
        # Not "greater": a difference that is not a number fails too.
        if not parity.largest_difference <= LARGEST_DIFFERENCE:
            raise ModelError(
                f"The exported model's probabilities differ from torch's by up to {parity.largest_difference:.2g} "
                f"(allowed: {LARGEST_DIFFERENCE:g}). Nothing was written."
            )
    return parity


def _for_others(recipe: Recipe) -> dict[str, Any]:
    """The recipe as a manifest holds it: of a file of weights only the name, not where it lay on this machine."""
    content = recipe.model_dump(mode="json")
    if "weights" in content["model"]:
        content["model"]["weights"] = Path(content["model"]["weights"]).name
    return content


def _measured(run: RunFolder, facts: dict[str, Any]) -> dict[str, Any]:
    """Scores and temperature of these very weights, from the manifest that the run has already."""
    former = manifest_of_weights(run, facts)
    return {} if former is None else {"scores": former.scores, "temperature": former.temperature}


def manifest_of_weights(run: RunFolder, facts: dict[str, Any]) -> Manifest | None:
    """The manifest of the model that stands in a run, where that is of the weights whose checkpoint says ``facts``.

    Training on a CPU is deterministic, so recipe, data, teachers and epoch name the weights. None where there is no
    model, a damaged one, or one of other weights.
    """
    try:
        former = read_manifest(run.model)
    except ModelError:
        return None
    names = (former.epoch, former.recipe_digest, former.data_fingerprint, former.taught_by)
    taught_by = tuple(facts.get("taught_by", ()))
    same = names == (facts["epoch"], facts["recipe_digest"], facts["data_fingerprint"], taught_by)
    return former if same else None


def measure_parity(network: Network, file: Path) -> Parity:
    """Compare a network in evaluation mode with a model file on rendered faces."""
    session, manifest = open_model(file)
    faces = render_faces(draw_labels(PARITY_FACES, seed=0), seed=0)
    squares = np.stack([grey_square(face, manifest.input.size_px) for face in faces])
    images = to_input(squares, manifest.input)
    with torch.inference_mode():
        ours = network(torch.from_numpy(images)).double().softmax(1)
    theirs = torch.from_numpy(session.run(["logits"], {"images": images})[0]).double().softmax(1)
    return Parity(
        faces=len(images),
        largest_difference=float((ours - theirs).abs().max()),
        agreement=float((ours.argmax(1) == theirs.argmax(1)).double().mean()),
    )


class _WithFeatures(nn.Module):
    """A network that gives its features beside its logits."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.features(images)
        return self.network.head(features), features


def _to_onnx(network: Network, crop_px: int) -> bytes:
    """Serialise a network with input ``images`` (any batch size) and outputs ``logits`` and ``features``."""
    example = torch.zeros(2, 1, crop_px, crop_px)
    shapes: dict[str, Any] = {"images": {0: torch.export.Dim("batch", min=1)}}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The exporter warns of its own deprecated internals.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _WithFeatures(for_reading(network, crop_px)).eval(),
            (example,),
            input_names=["images"],
            output_names=["logits", "features"],
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    graph: bytes = _without_traces(program.model_proto).SerializeToString()
    return graph


def _without_traces(model: Any) -> Any:
    """Drop what the exporter notes of the code it walked through: stack traces with the paths of this machine."""
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    return model
