"""mien: train, measure, export and use facial-expression classifiers.

    import mien
    for prediction in mien.load().predict("photo.jpg"):
        print(prediction.box, prediction.top, prediction.confidence)

A classifier reads an expression in an image. It does not know what a person feels.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mien.version import __version__

if TYPE_CHECKING:
    from mien import faces as faces
    from mien.api.audit import audit as audit
    from mien.api.catalog import list_models as list_models
    from mien.api.catalog import list_recipes as list_recipes
    from mien.api.compare import compare as compare
    from mien.api.distill import distill as distill
    from mien.api.ensemble import ensemble as ensemble
    from mien.api.evaluate import evaluate as evaluate
    from mien.api.evaluate import evaluate_file as evaluate_file
    from mien.api.explain import explain as explain
    from mien.api.export import export as export
    from mien.api.find_lr import find_lr as find_lr
    from mien.api.push import push as push
    from mien.api.report import report as report
    from mien.api.robustness import robustness as robustness
    from mien.api.study import study as study
    from mien.api.sweep import sweep as sweep
    from mien.api.train import train as train
    from mien.data.dataset import Dataset as Dataset
    from mien.data.read import load_dataset as load_dataset
    from mien.errors import MienError as MienError
    from mien.inference.prediction import Prediction as Prediction
    from mien.inference.predictor import Predictor as Predictor
    from mien.inference.predictor import load as load
    from mien.recipe import Recipe as Recipe
    from mien.recipe_file import load_recipe as load_recipe
    from mien.training.callback import Callback as Callback
    from mien.video.video_predictor import predict_video as predict_video

# Loaded on first use: `import mien` stays under 0.15 s and works where only the core is installed.
_HOMES = {
    "Callback": "mien.training.callback",
    "Dataset": "mien.data.dataset",
    "MienError": "mien.errors",
    "Prediction": "mien.inference.prediction",
    "Predictor": "mien.inference.predictor",
    "Recipe": "mien.recipe",
    "audit": "mien.api.audit",
    "compare": "mien.api.compare",
    "distill": "mien.api.distill",
    "ensemble": "mien.api.ensemble",
    "evaluate": "mien.api.evaluate",
    "evaluate_file": "mien.api.evaluate",
    "explain": "mien.api.explain",
    "export": "mien.api.export",
    "find_lr": "mien.api.find_lr",
    "list_models": "mien.api.catalog",
    "list_recipes": "mien.api.catalog",
    "load": "mien.inference.predictor",
    "load_dataset": "mien.data.read",
    "load_recipe": "mien.recipe_file",
    "predict_video": "mien.video.video_predictor",
    "push": "mien.api.push",
    "report": "mien.api.report",
    "robustness": "mien.api.robustness",
    "study": "mien.api.study",
    "sweep": "mien.api.sweep",
    "train": "mien.api.train",
}

__all__ = [
    "Callback",
    "Dataset",
    "MienError",
    "Prediction",
    "Predictor",
    "Recipe",
    "__version__",
    "audit",
    "compare",
    "distill",
    "ensemble",
    "evaluate",
    "evaluate_file",
    "explain",
    "export",
    "faces",
    "find_lr",
    "list_models",
    "list_recipes",
    "load",
    "load_dataset",
    "load_recipe",
    "predict_video",
    "push",
    "report",
    "robustness",
    "study",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "faces":
        return import_module("mien.faces")
    if name not in _HOMES:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
