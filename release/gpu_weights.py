"""Make run folders of the weights that release/gpu_plan.py (commit 2cbe9555) trained on a GPU; then `mien export`.

    python release/gpu_weights.py FOLDER OUT teacher-resnet teacher-wide teacher-wide-mixed fast --data fer2013.parquet

FOLDER has NAME.safetensors; OUT gets NAME/recipe.toml and NAME/best.safetensors. The recipes say key by key what that
script did. It showed teachers each face 93 times; labels moved by the prediction of whole faces only, from 30% of the
steps on. Students went on from weights that shipped, and saw seven augmented copies of each face 21 times.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import safetensors.torch

from mien.base.recipe import check_recipe
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.read import load_dataset
from mien.models.registry import completed
from mien.training import checkpoint
from mien.training.heads import output_facts
from mien.training.plan import plan_training

RESNET = {"name": "resnet18", "width": 48, "dropout": 0.2}
WIDE = {
    "name": "mien",
    "stem_width": 32,
    "stem_stride": 1,
    "widths": [64, 128, 256, 512],
    "convolutions": [2, 2, 2, 2],
    "pool_last": False,
    "dropout": 0.3,
}
MIXED = {"mixup": 1.0, "mixup_probability": 0.4}
TEACHERS = {"teacher-resnet": (RESNET, {}), "teacher-wide": (WIDE, {}), "teacher-wide-mixed": (WIDE, MIXED)}
FAST = {"name": "mien", "stem_width": 8, "stem_stride": 1, "widths": [16, 48, 96, 144], "convolutions": [1, 3, 3, 2]}
EPOCHS = 93
RECIPE = {
    "description": "One of six teachers that learned side by side on one H200: labels and FER+ votes, 10,480 steps",
    "epochs": EPOCHS,
    "batch_size": 256,
    "precision": "bf16",
    "label_smoothing": 0.1,
    "self_adaptive": 0.7,
    "ema_decay": 0.998,
    "recalibrate_bn": True,
    "outputs": {"fer2013": {"target": "label"}, "perceived": {"target": "votes", "weight": 2.0}},
    "input": {"crop_px": 44, "mean": 0.508, "std": 0.255},
    "optim": {"name": "sgd", "lr": 0.14, "weight_decay": 5e-4, "clip_norm": 2.0},
    "schedule": {"name": "cosine", "warmup": 0.05},
    "stopping": {"keep": "last"},
}
AUGMENT = {"flip": True, "rotation_degrees": 10.0, "scale": 0.1, "translate": 0.07, "random_erasing": 0.2}
STUDENT = {
    "name": "gpu-student-fast",
    "description": "A student of six teachers, which went on from the fast that shipped: 16,340 steps on one H200",
    "epochs": 146,
    "label_smoothing": 0.0,
    "self_adaptive": 0.0,
    "model": {**FAST, "pool_last": False, "dropout": 0.05},
    "optim": {"name": "sgd", "lr": 0.1, "weight_decay": 2.5e-4, "clip_norm": 2.0},
    "distill": {"temperature": 2.0, "alpha": 0.8},
}
WORSE = {"brightness": 0.1, "contrast": 0.3, "blur": 0.12, "low_resolution": 0.12, "noise": 0.15}


def make_run(weights: Path, out: Path, faces: Dataset) -> None:
    """Write one run folder."""
    stored = checkpoint.load(weights)[1] if weights.stem == "fast" else {}
    if stored:
        content = {**RECIPE, **STUDENT, "augment": {**AUGMENT, **WORSE, "mixup": 1.0, "mixup_probability": 0.25}}
    else:
        model, mixing = TEACHERS[weights.stem]
        content = {**RECIPE, "name": f"gpu-{weights.stem}", "model": model, "augment": {**AUGMENT, **mixing}}
    recipe = completed(check_recipe(content, weights.stem))
    plan = plan_training(recipe, faces)
    facts = {
        "recipe_digest": recipe.digest,
        **plan.dataset.provenance,
        "classes": list(plan.classes),
        "started_from": stored.get("started_from"),
        "taught_by": stored.get("taught_by", []),
        **output_facts(recipe, plan.outputs, plan.dataset),
        "epoch": recipe.epochs,
    }
    run = RunFolder(out)
    run.create(recipe, facts)
    checkpoint.save(run.best, safetensors.torch.load_file(weights), facts)
    checkpoint.load_best(run)


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="+", choices=[*TEACHERS, "fast"])
    parser.add_argument("--data", required=True, type=Path)
    wanted = parser.parse_args()
    faces = load_dataset(wanted.data, size_px=48)
    for name in wanted.names:
        make_run(wanted.folder / f"{name}.safetensors", wanted.out / name, faces)


if __name__ == "__main__":
    main()
