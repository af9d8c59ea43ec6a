"""Make one run folder of two that trained apart: a network of both, whose logits are the weighted mean of theirs.

    python release/join.py LIGHT DEEP OUT --share 0.333 --data fer2013.parquet

LIGHT is a run of a MienNet, DEEP one of a ResNet-18, on the same data with the same outputs and input. ``--share`` is
the weight of LIGHT's logits; DEEP's have the rest. Nothing is trained: the head of JoinedNet takes both heads, each
times its weight. Temperatures are fitted on validation as at the end of a training.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien.base.recipe import check_recipe
from mien.base.run_folder import RunFolder
from mien.data.read import load_dataset
from mien.exporting.to_onnx import export_run
from mien.inference.predictor import Predictor
from mien.models.registry import completed
from mien.pipeline.measured_split import MeasuredSplit, read_trained_on, write_digests, write_trained_on
from mien.pipeline.split_predictions import with_model_classes
from mien.pipeline.training_run import calibrate, headline_values
from mien.training import checkpoint

if TYPE_CHECKING:
    from torch import Tensor

SAME = ("data_fingerprint", "cleaned_from", "classes", "outputs", "votes_fingerprint")


def join(light: dict[str, Tensor], deep: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return the tensors of a JoinedNet with ``share`` times the logits of ``light``, and the rest of ``deep``'s."""
    import torch

    tensors = {f"light.{key}": at for key, at in light.items() if not key.startswith("head.")}
    tensors |= {f"deep.{key}": at for key, at in deep.items() if not key.startswith("head.")}
    weights = [each["head.weight"].float() * part for each, part in ((light, share), (deep, 1 - share))]
    tensors["head.weight"] = torch.cat(weights, dim=1)
    tensors["head.bias"] = light["head.bias"].float() * share + deep["head.bias"].float() * (1 - share)
    return {key: at.float() if at.is_floating_point() else at for key, at in tensors.items()}


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("light", type=Path)
    parser.add_argument("deep", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, required=True)
    parser.add_argument("--data", type=Path, required=True)
    wanted = parser.parse_args()
    light, deep, run = (RunFolder(path) for path in (wanted.light, wanted.deep, wanted.out))
    (weights_light, facts_light), (weights_deep, facts) = (checkpoint.load(each.best) for each in (light, deep))
    ours, other = light.read_recipe(), deep.read_recipe()
    faces = load_dataset(wanted.data, size_px=other.input.size_px)
    if not 0 < wanted.share < 1:
        parser.error(f"--share must be above 0 and below 1; found {wanted.share}.")
    if (ours.model.name, other.model.name) != ("mien", "resnet18"):
        parser.error(f"LIGHT must be a 'mien' and DEEP a 'resnet18'; found {ours.model.name} and {other.model.name}.")
    if ours.input != other.input or any(facts_light[key] != facts[key] for key in SAME):
        parser.error(f"{wanted.light} and {wanted.deep} differ in data, outputs or input.")
    if not faces.matches_training_data(facts["data_fingerprint"]):
        parser.error(f"{wanted.data} is not the data of the runs.")
    both = {**ours.model.settings, "width": other.model.settings["width"], "name": "joined", "dropout": 0.0}
    words = f"Not trained: logits of '{ours.name}' times {wanted.share:g}, and of '{other.name}' times the rest"
    content = other.model_dump(mode="json", exclude_unset=True)
    content |= {"name": "joined", "description": f"{words}, whose training keys these are", "model": both}
    recipe = completed(check_recipe(content, "joined"))
    facts |= {"recipe_digest": recipe.digest, "taught_by": facts_light["taught_by"] + facts["taught_by"]}
    run.create(recipe, facts)
    checkpoint.save(run.best, join(weights_light, weights_deep, wanted.share), facts)
    export = export_run(run)
    predictor, predictions = calibrate(Predictor.opened(export.session, export.manifest, run.model), faces)
    write_trained_on(run, with_model_classes(predictor, faces), light)
    write_digests(run, np.concatenate([read_trained_on(run), read_trained_on(deep)]))
    evaluation = MeasuredSplit.resolve(predictions, faces, predictor).evaluate()
    export.write(run.model, predictor.manifest.model_copy(update={"scores": headline_values(evaluation)}))
    sys.stdout.write(f"{run.path}: {evaluation.accuracy.value:.2%} of the label, parity {export.parity}\n")


if __name__ == "__main__":
    main()
