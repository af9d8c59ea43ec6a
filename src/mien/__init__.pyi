# The public names. Each heading below is a page of docs/api/, with its names in order.
from mien import faces as faces
from mien.faces.face import Box as Box
from mien.version import __version__ as __version__

# predict
from mien.inference.predictor import load as load
from mien.inference.predictor import Predictor as Predictor
from mien.inference.prediction import Prediction as Prediction
from mien.inference.prediction import Photo as Photo
from mien.api.explain import explain as explain
from mien.api.explain import Explanation as Explanation
from mien.api.explain import Explanations as Explanations
from mien.api.to_pandas import to_pandas as to_pandas
from mien.api.to_pandas import to_supervision as to_supervision

# video
from mien.video.run import predict_video as predict_video
from mien.video.run import VideoResult as VideoResult
from mien.video.tracker import track as track
from mien.video.tracker import Tracker as Tracker
from mien.video.tracker import VideoFrame as VideoFrame
from mien.video.tracker import TrackedFace as TrackedFace

# data
from mien.data.read import load_dataset as load_dataset
from mien.data.dataset import Dataset as Dataset
from mien.api.plots import show as show
from mien.api.crop import crop as crop
from mien.api.audit import audit as audit
from mien.api.audit import AuditResult as AuditResult
from mien.api.label import merge_votes as merge_votes

# train
from mien.api.train import train as train
from mien.api.train import distill as distill
from mien.pipeline.training_run import TrainingResult as TrainingResult
from mien.api.export import load_network as load_network
from mien.api.study import cross_validate as cross_validate
from mien.api.study import CrossValidated as CrossValidated
from mien.api.study import find_lr as find_lr
from mien.api.study import LrSearch as LrSearch
from mien.api.export import export as export
from mien.api.export import ExportResult as ExportResult
from mien.base.recipe import Recipe as Recipe
from mien.base.recipe import load_recipe as load_recipe
from mien.base.recipe import list_recipes as list_recipes
from mien.api.inputs import list_models as list_models
from mien.training.callback import Callback as Callback

# measure
from mien.api.evaluate import evaluate as evaluate
from mien.api.evaluate import evaluate_file as evaluate_file
from mien.pipeline.evaluate import EvaluationResult as EvaluationResult
from mien.pipeline.evaluate import ModelTable as ModelTable
from mien.evaluation.results import Evaluation as Evaluation
from mien.evaluation.results import VoteEvaluation as VoteEvaluation
from mien.evaluation.results import Estimate as Estimate
from mien.api.report import compare as compare
from mien.reporting.comparison import Comparison as Comparison
from mien.api.check import check as check
from mien.api.check import ClaimResult as ClaimResult
from mien.api.report import report as report
from mien.api.evaluate import robustness as robustness
from mien.evaluation.robustness import RobustnessResult as RobustnessResult
from mien.api.plots import plot_embeddings as plot_embeddings
from mien.page.chart import Chart as Chart
from mien.page.page import Table as Table

# studies
from mien.api.study import study as study
from mien.runs.table import StudyTable as StudyTable
from mien.runs.plan import StudyCallback as StudyCallback
from mien.api.study import sweep as sweep
from mien.runs.sweep import SweepResult as SweepResult

# errors
from mien.base.errors import MienError as MienError
from mien.base.errors import DataError as DataError
from mien.base.errors import RecipeError as RecipeError
from mien.base.errors import StudyError as StudyError
from mien.base.errors import ModelError as ModelError
from mien.base.errors import RunError as RunError
from mien.base.errors import TrainingError as TrainingError
from mien.base.errors import MissingExtraError as MissingExtraError
from mien.base.errors import MienWarning as MienWarning
