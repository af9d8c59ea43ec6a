"""mien: train, evaluate, export and use facial-expression classifiers.

    import mien
    for prediction in mien.load().predict("photo.jpg"):
        print(prediction.box, prediction.answer, prediction.confidence)

A classifier predicts an expression from an image. It does not know what a person feels.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mien.version import __version__ as __version__

# torch reads this when loaded. Spinning threads slow down training 3 to 7 times when other programs run.
if not {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if TYPE_CHECKING:
    from mien import faces as faces
    from mien.api.audit import audit as audit
    from mien.api.catalog import list_models as list_models
    from mien.api.catalog import list_recipes as list_recipes
    from mien.api.check import check as check
    from mien.api.compare import compare as compare
    from mien.api.crop import crop as crop
    from mien.api.cross_validate import cross_validate as cross_validate
    from mien.api.evaluate import evaluate as evaluate
    from mien.api.evaluate import evaluate_file as evaluate_file
    from mien.api.explain import explain as explain
    from mien.api.export import export as export
    from mien.api.find_lr import find_lr as find_lr
    from mien.api.label import merge_votes as merge_votes
    from mien.api.report import report as report
    from mien.api.robustness import robustness as robustness
    from mien.api.show import show as show
    from mien.api.study import study as study
    from mien.api.sweep import sweep as sweep
    from mien.api.to_pandas import to_pandas as to_pandas
    from mien.api.to_pandas import to_supervision as to_supervision
    from mien.api.train import distill as distill
    from mien.api.train import load_network as load_network
    from mien.api.train import train as train
    from mien.base.errors import DataError as DataError
    from mien.base.errors import MienError as MienError
    from mien.base.errors import MienWarning as MienWarning
    from mien.base.errors import MissingExtraError as MissingExtraError
    from mien.base.errors import ModelError as ModelError
    from mien.base.errors import RecipeError as RecipeError
    from mien.base.errors import RunError as RunError
    from mien.base.errors import StudyError as StudyError
    from mien.base.errors import TrainingError as TrainingError
    from mien.base.recipe import Recipe as Recipe
    from mien.base.recipe import load_recipe as load_recipe
    from mien.data.dataset import Dataset as Dataset
    from mien.data.read import load_dataset as load_dataset
    from mien.inference.prediction import Prediction as Prediction
    from mien.inference.predictor import Predictor as Predictor
    from mien.inference.predictor import load as load
    from mien.runs.plan import StudyCallback as StudyCallback
    from mien.training.callback import Callback as Callback
    from mien.video.run import predict_video as predict_video
    from mien.video.tracker import Tracker as Tracker
    from mien.video.tracker import track as track

# Loaded on first use, so that `import mien` takes under 0.1 s and needs only the core install.
_NAMES = {
    "mien.api.audit": ("audit",),
    "mien.api.catalog": ("list_models", "list_recipes"),
    "mien.api.check": ("check",),
    "mien.api.compare": ("compare",),
    "mien.api.crop": ("crop",),
    "mien.api.cross_validate": ("cross_validate",),
    "mien.api.evaluate": ("evaluate", "evaluate_file"),
    "mien.api.explain": ("explain",),
    "mien.api.export": ("export",),
    "mien.api.find_lr": ("find_lr",),
    "mien.api.label": ("merge_votes",),
    "mien.api.report": ("report",),
    "mien.api.robustness": ("robustness",),
    "mien.api.show": ("show",),
    "mien.api.study": ("study",),
    "mien.api.sweep": ("sweep",),
    "mien.api.to_pandas": ("to_pandas", "to_supervision"),
    "mien.api.train": ("distill", "load_network", "train"),
    "mien.data.dataset": ("Dataset",),
    "mien.data.read": ("load_dataset",),
    "mien.base.errors": (
        *("DataError", "MienError", "MienWarning", "MissingExtraError", "ModelError", "RecipeError"),
        *("RunError", "StudyError", "TrainingError"),
    ),
    "mien.inference.prediction": ("Prediction",),
    "mien.inference.predictor": ("Predictor", "load"),
    "mien.base.recipe": ("Recipe", "load_recipe"),
    "mien.runs.plan": ("StudyCallback",),
    "mien.training.callback": ("Callback",),
    "mien.video.run": ("predict_video",),
    "mien.video.tracker": ("Tracker", "track"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted([*_HOMES, "__version__", "faces"])

# A type checker would accept any attribute name because of __getattr__.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name == "faces":
            return import_module("mien.faces")
        if name not in _HOMES:
            raise AttributeError(f"module 'mien' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
