"""``mien teach``: what trained models say of the train split, as small files that students learn from."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import (
    MODEL_HELP,
    CleanOption,
    DataOption,
    JsonOption,
    MapOption,
    QuietOption,
    SkipBadOption,
    remark,
    show_json,
)
from mien.cli.source import Source
from mien.errors import RecipeError, RunError, needs_extra

if TYPE_CHECKING:
    from mien.data.faceset import FaceSet
    from mien.experiments.teaching import Answers
    from mien.experiments.teaching_epochs import Taught
    from mien.recipe import Recipe


def teach(
    models: Annotated[list[str], typer.Argument(help=MODEL_HELP, metavar="MODEL...")],
    data: DataOption,
    views: Annotated[
        int | None, typer.Option(help="Show each face in 1, 2 (mirrored too) or 10 views; 10 by default.", metavar="N")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the mean of all models into this .npz; without it each run keeps its own answers."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Ask about whole epochs as this student's recipe shows them, turned and mixed, in place of --views.",
            metavar="NAME|FILE",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="With --recipe: how many; after them a student begins again.", min=1, metavar="N")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a key of the recipe. May be given often.", metavar="KEY=VALUE"),
    ] = None,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Ask teachers about every face of the train split, once: the soft labels for `mien distill`.

    Written is a scores file (docs/scores.md) in float16, without images: --out, where there is no file yet, or
    RUN/scores_train.npz, where there is none of other data or views. With --recipe (docs/distillation.md) the file is
    of whole epochs; killed, the same command goes on.
    """
    from mien.recipe_file import load_recipe

    source = Source(data, class_map, skip_bad, clean)
    source.check()

    def faces_at(size_px: int) -> FaceSet:
        return source.read(size_px).faces

    taught: Sequence[Answers | Taught]
    if recipe is None:
        if changes or epochs is not None:
            raise RecipeError("--set and --epochs are about a recipe; name one with --recipe.")
        taught = _ask_about_faces(models, 10 if views is None else views, out, faces_at)
        student, its_own = "RECIPE", []
    else:
        if views is not None:
            raise RecipeError("With --recipe a face is shown as the recipe says, in no other views; leave out --views.")
        if out is None or epochs is None:
            raise RecipeError("--recipe goes with --epochs N and --out FILE.npz, which holds all models' mean.")
        chosen = load_recipe(recipe, changes or ())
        taught = [_ask_about_epochs(models, chosen, epochs, out, faces_at)]
        student, its_own = recipe, [word for change in changes or () for word in ("--set", change)]
        # A recipe without a network of its own takes that of a trained run.
        its_own += [] if "model" in chosen.model_fields_set else ["--from", "RUN"]
    if json:
        show_json([each.to_dict() for each in taught])
        return
    for each in taught:
        typer.echo(each.words())
    files = [word for each in taught for word in ("--teachers", each.file)]
    words = ["mien", "distill", student, *source.options(), *files, *its_own]
    remark(f"Learn from it with: {shlex.join(words)}")


def _ask_about_faces(
    models: list[str], views: int, out: Path | None, faces_at: Callable[[int], FaceSet]
) -> list[Answers]:
    """The mean of all models' answers in one file, or each model's in its run."""
    from mien.experiments.teaching import check_same_question, place_of_answers, write_answers
    from mien.inference.classifier import load
    from mien.inference.views import check_views

    check_views(views)
    if out is not None and out.is_file():
        # Answers take long, and any other .npz is not ours to replace.
        raise RunError(f"{out} exists already. Choose another --out, or remove it.")
    classifiers = [load(model) for model in models]
    places = [place_of_answers(model, out) for model in models]
    members = [(each, faces_at(each.manifest.input.size_px)) for each in classifiers]
    if out is not None:
        return [write_answers(out, members, views)]
    for place, member in zip(places, members, strict=True):
        check_same_question(place, member, views)
    return [write_answers(place, [member], views) for place, member in zip(places, members, strict=True)]


def _ask_about_epochs(
    models: list[str], recipe: Recipe, epochs: int, out: Path, faces_at: Callable[[int], FaceSet]
) -> Taught:
    """The mean of all models' answers about what the recipe shows."""
    from mien.experiments.teaching import place_of_answers
    from mien.inference.classifier import load
    from mien.inference.locate import find_model

    # Before torch, which takes seconds.
    file = place_of_answers(models[0], out)
    teachers = [(find_model(model), load(model)) for model in models]
    with needs_extra("train", "Asking about epochs as training shows them"):
        from mien.experiments.teaching_epochs import check_teachers, write_answers_about_epochs

    check_teachers(teachers, recipe)
    return write_answers_about_epochs(file, teachers, recipe, faces_at(recipe.input.size_px), epochs)
