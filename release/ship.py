"""Put a run's model into the package, measured and recorded, in place of the one of that name; then the model card.

    python release/ship.py RUN NAME --data fer2013.parquet --made-by COMMAND --made-by COMMAND

Into src/mien/shipped/NAME go model.onnx (weights in fp16), model.int8.onnx, best.safetensors
(the same weights, to fine-tune from and to explain by gradients), recipe.toml, history.csv where there is one,
metrics.json (the validation split, also without copies), robustness.json and card.json: SHA-256 of the files, answers
to seven rendered faces, accuracy in 1 and 2 views and of the int8 form, calibration, and the
commands that made it. Tests hold the files to card.json. No face of the data is among them.
The rule of the answer is not set: release/photographs.py does that.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from model_card import PAGE, facts_of_files, page

from mien.api.export import quantize
from mien.base.files import write_bytes, write_text
from mien.base.model_file import attach_manifest, read_manifest
from mien.base.run_folder import RunFolder
from mien.checks.copies import leaked
from mien.data.dataset import Dataset
from mien.data.read import load_dataset
from mien.data.splits import near_copy_groups
from mien.evaluation.calibration import cross_fit_temperature
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.evaluation.robustness import measure_robustness, write_robustness
from mien.inference.predictor import Predictor
from mien.pipeline.evaluation_files import write_evaluation
from mien.pipeline.measured_split import MeasuredSplit, read_trained_on
from mien.pipeline.split_predictions import predict_split, with_model_classes
from mien.reporting.sections import ReportContext
from mien.training import checkpoint

SHIPPED = Path(__file__).parents[1] / "src" / "mien" / "shipped"


def make(run: RunFolder, name: str, faces: Dataset, folder: RunFolder, made_by: list[str]) -> dict[str, Any]:
    """Fill ``folder`` with what is shipped of a run, and return the content of card.json."""
    manifest = read_manifest(run.model)
    for file in (run.recipe_file, run.path / "history.csv"):
        if file.is_file():
            shutil.copy(file, folder.path / file.name)
    quantize(run.model, "fp16", faces, folder.model)
    tensors, facts = checkpoint.load(run.best)
    # As `to_fp16` does: matrices and kernels alone.
    halves = {key: value.half() if value.dim() > 1 else value for key, value in tensors.items()}
    checkpoint.save(folder.best, halves, facts)
    smaller = quantize(run.model, "int8", faces, folder.model_int8)
    for file in (folder.model, folder.model_int8):
        changed = read_manifest(file).model_copy(update={"name": name})
        write_bytes(file, attach_manifest(file.read_bytes(), changed))
    model = Predictor(folder.model).for_labels()
    validation = with_model_classes(model, faces.of_split("validation"))
    scores = predict_split(model, faces, "validation")
    with tempfile.TemporaryDirectory() as elsewhere:
        evaluation = MeasuredSplit.resolve(scores, faces, model).evaluate()
        write_evaluation(Path(elsewhere), ReportContext(scores, evaluation), name, {})
        shutil.copy(Path(elsewhere) / "metrics.json", folder.path / "metrics.json")
    data_print = faces.fingerprint_for_predictions("validation")
    measured = measure_robustness(model.probabilities, np.asarray(validation.images), validation.labels)
    data = "FER2013, PublicTest as validation"
    measured = replace(measured, model=name, data=data, split="validation", data_fingerprint=data_print)
    write_robustness(folder.path, measured)
    content = {
        "name": name,
        "recipe": manifest.recipe["name"],
        "made_by": made_by,
        **facts_of_files(folder),
        "precision": read_manifest(folder.model).precision,
        "accuracy_by_views": {views: predict_split(model, faces, "validation", views).accuracy for views in (1, 2)},
        "calibration": calibration(with_model_classes(model, faces), scores),
        "int8": {"accuracy": smaller.accuracy},
    }
    (folder.path / "card.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return content


def calibration(faces: Dataset, scores: Predictions) -> dict[str, Any]:
    """How far confidence is off on validation, each row at a temperature fitted on others; near-copies go together.

    Args:
        faces: all of the data, under the model's classes.
        scores: of its validation split, at temperature 1.
    """
    groups = near_copy_groups(np.asarray(faces.images))
    places = faces.places(scores.sample_ids)
    rescaled, _ = cross_fit_temperature(scores.labels, scores.probabilities, groups[places])
    honest = replace(scores, probabilities=rescaled)
    unseen = honest.subset(~leaked(groups, faces.split)[places])
    both = {"all": honest, "unseen": unseen}
    return {name: evaluate_predictions(each).calibration_error.to_dict() for name, each in both.items()}


def main() -> None:
    """Read the command line and ship."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--made-by", action="append", required=True, help="a command that made it; once for each, in order"
    )
    wanted = parser.parse_args()
    run = RunFolder(wanted.run)
    faces = load_dataset(wanted.data, size_px=run.read_recipe().input.size_px)
    # Made beside its place and moved there, so that a failed run leaves the model that is there as it is.
    with tempfile.TemporaryDirectory(dir=SHIPPED.parents[1], prefix=".ship-") as temporary:
        folder = RunFolder(Path(temporary) / wanted.name)
        folder.path.mkdir()
        content = make(run, wanted.name, faces, folder, wanted.made_by)
        shutil.rmtree(SHIPPED / wanted.name, ignore_errors=True)
        folder.path.replace(SHIPPED / wanted.name)
    shared = SHIPPED / "trained_on.npy"
    np.save(shared, np.union1d(np.load(shared), read_trained_on(run)))
    write_text(PAGE, page())
    shares = ", ".join(f"{share:.2%} in {views}" for views, share in content["accuracy_by_views"].items())
    int8 = content["int8"]["accuracy"]
    sys.stdout.write(f"{SHIPPED / wanted.name}: {shares} view(s); int8 {int8:.2%}. {PAGE} is rewritten.\n")


if __name__ == "__main__":
    main()
