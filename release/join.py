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

from mien.base.recipe import check_recipe
from mien.base.run_folder import RunFolder
from mien.data.read import load_dataset
from mien.exporting.to_onnx import exporting
from mien.models.registry import completed
from mien.pipeline.measured_split import MeasuredSplit
from mien.pipeline.split_predictions import with_model_classes
from mien.pipeline.trained_on import write_trained_on
from mien.pipeline.training_run import calibrate, headline_values
from mien.training import checkpoint

SAME = ("data_fingerprint", "cleaned_from", "classes", "outputs", "votes_fingerprint")


def main() -> None:
    """Read the command line and write."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("light", type=Path)
    parser.add_argument("deep", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, required=True)
    parser.add_argument("--data", type=Path, required=True)
    wanted = parser.parse_args()
    light, deep, run = (RunFolder(path) for path in (wanted.light, wanted.deep, wanted.out))
    (weights_light, facts_light), (weights_deep, facts) = (checkpoint.load(each.best) for each in (light, deep))
    recipes = light.read_recipe(), deep.read_recipe()
    if recipes[0].input != recipes[1].input or any(facts_light[key] != facts[key] for key in SAME):
        sys.exit(f"{wanted.light} and {wanted.deep} differ in data, outputs or input.")
    content = recipes[1].model_dump(mode="json", exclude_unset=True)
    both = {**recipes[0].model.settings, "width": recipes[1].model.settings["width"], "name": "joined", "dropout": 0.0}
    words = f"Logits of '{recipes[0].name}' times {wanted.share:g}, and of '{recipes[1].name}' times the rest"
    recipe = completed(check_recipe({**content, "name": "joined", "description": words, "model": both}, "joined"))
    tensors = {}
    for name, weights in (("light", weights_light), ("deep", weights_deep)):
        tensors |= {f"{name}.{key}": at for key, at in weights.items() if not key.startswith("head.")}
    shares = (wanted.share, 1 - wanted.share)
    for key in ("head.weight", "head.bias"):
        parts = [each[key].float() * share for each, share in zip((weights_light, weights_deep), shares, strict=True)]
        tensors[key] = torch.cat(parts, dim=1) if key == "head.weight" else parts[0] + parts[1]
    facts |= {"recipe_digest": recipe.digest, "taught_by": facts_light["taught_by"] + facts["taught_by"]}
    run.create(recipe, facts)
    checkpoint.save(run.best, {key: at.float() if at.is_floating_point() else at for key, at in tensors.items()}, facts)
    faces = load_dataset(wanted.data, size_px=recipe.input.size_px)
    with exporting(run) as export:
        predictor, predictions = calibrate(export.file, faces)
        write_trained_on(run, with_model_classes(predictor, faces))
        evaluation = MeasuredSplit.resolve(predictions, faces, predictor).evaluate()
        export.complete(predictor.manifest.model_copy(update={"scores": headline_values(evaluation)}))
    sys.stdout.write(f"{run.path}: {evaluation.accuracy.value:.2%} of the label, parity {export.parity}\n")


if __name__ == "__main__":
    main()
