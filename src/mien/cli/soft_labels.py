"""``mien soft-labels``: the predictions of trained models on the train split, as small files for students."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import (
    TTA_HELP,
    DataOption,
    JsonOption,
    ModelsArgument,
    QuietOption,
    SetOption,
)
from mien.cli.output import notice, show_json
from mien.cli.source import SourceVotesOptions
from mien.data.dataset import Dataset
from mien.distill.soft_labels import TeacherPredictions, check_same_data, soft_labels_path, write_soft_labels
from mien.errors import RecipeError, RunError, needs_extra
from mien.inference.find_model import find_model
from mien.inference.predictor import load
from mien.inference.tta import check_tta
from mien.preprocess import InputSpec
from mien.recipe import Recipe
from mien.recipe_file import load_recipe

if TYPE_CHECKING:
    from mien.distill.epoch_targets import EpochTargetsSummary

FacesAt = Callable[[InputSpec], Dataset]
"""Gives the data at an input size in pixels."""


def soft_labels(
    models: ModelsArgument,
    data: DataOption,
    tta: Annotated[int | None, typer.Option(help=f"{TTA_HELP} The default is 10.", metavar="N")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the mean of all models to this .npz file. Without it, each run gets its own file.",
            metavar="FILE",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="Write a prediction for each augmented image that a student with this recipe will see, instead of the "
            "mean of --tta views.",
            metavar="RECIPE",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="With --recipe: write the predictions of N epochs. A student that trains longer uses them again.",
            min=1,
            metavar="N",
        ),
    ] = None,
    changes: SetOption = None,
    *,
    data_options: SourceVotesOptions,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the predictions of teachers on the train split: the soft labels for `mien distill`.

    The result is a predictions file (docs/predictions.md) in float16, without images: --out, or
    RUN/predictions_train.npz.
    With --recipe it covers whole epochs (docs/distillation.md). If it is interrupted, run it again to resume.
    """
    source = data_options.at(data)
    source.check()

    def faces_at(spec: InputSpec) -> Dataset:
        return source.read(*spec.stored_as).faces

    written: Sequence[TeacherPredictions | EpochTargetsSummary]
    if recipe is None:
        if changes or epochs is not None or data_options.votes is not None:
            raise RecipeError("--set, --epochs and --votes need --recipe.", code="options")
        written = _predict_faces(models, 10 if tta is None else tta, out, faces_at)
        student, own = "RECIPE", []
    else:
        if tta is not None:
            raise RecipeError("--recipe decides how images are augmented; leave out --tta.", code="options")
        if out is None or epochs is None:
            raise RecipeError("--recipe needs --epochs N and --out FILE.npz.", code="options")
        chosen = load_recipe(recipe, changes or ())
        written = [_predict_epochs(models, chosen, epochs, out, faces_at)]
        student, own = recipe, [word for change in changes or () for word in ("--set", change)]
        # A recipe without a network of its own takes that of a trained run.
        own += [] if "model" in chosen.model_fields_set else ["--from", "RUN"]
    if json:
        show_json([each.to_dict() for each in written])
        return
    for each in written:
        typer.echo(each.words())
    files = [word for each in written for word in ("--teachers", each.file)]
    notice(f"Train a student with: {shlex.join(['mien', 'distill', student, *source.options(), *files, *own])}")


def _predict_faces(models: list[str], tta: int, out: Path | None, faces_at: FacesAt) -> list[TeacherPredictions]:
    """The mean of all models' predictions in one file, or each model's in its run."""
    check_tta(tta)
    if out is not None and out.is_file():
        # Predictions take long, and any other .npz is not ours to replace.
        raise RunError(f"{out} already exists. Choose another --out, or remove it.", code="file-exists")
    predictors = [load(model).for_labels() for model in models]
    places = [soft_labels_path(model, out) for model in models]
    members = [(each, faces_at(each.manifest.input)) for each in predictors]
    if out is not None:
        return [write_soft_labels(out, members, tta)]
    for place, member in zip(places, members, strict=True):
        check_same_data(place, member, tta)
    return [write_soft_labels(place, [member], tta) for place, member in zip(places, members, strict=True)]


def _predict_epochs(
    models: list[str], recipe: Recipe, epochs: int, out: Path, faces_at: FacesAt
) -> EpochTargetsSummary:
    """The mean of all models' predictions on the images that the recipe makes."""
    # Before torch, which takes seconds.
    file = soft_labels_path(models[0], out)
    teachers = [(find_model(model), load(model).for_labels()) for model in models]
    with needs_extra("train", "Predicting augmented epochs"):
        from mien.distill.epoch_targets import check_teachers, write_epoch_targets

    check_teachers(teachers, recipe)
    return write_epoch_targets(file, teachers, recipe, faces_at(recipe.input), epochs)
