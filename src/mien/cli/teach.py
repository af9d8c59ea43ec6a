"""``mien teach``: what trained models say of the train split, as small files that students learn from."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import (
    MODEL_HELP,
    CleanOption,
    DataOption,
    JsonOption,
    MapOption,
    QuietOption,
    SkipBadOption,
    read,
    remark,
    show_json,
)
from mien.errors import RecipeError, needs_extra


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

    Written is a scores file (docs/scores.md) in float16, without images: RUN/scores_train.npz, or --out. With --recipe
    (docs/distillation.md) the file is of whole epochs; killed, the same command goes on.
    """
    from mien.experiments.teaching import place_of_answers, write_answers
    from mien.inference.classifier import load
    from mien.inference.views import check_views

    if recipe is not None:
        if views is not None:
            raise RecipeError("With --recipe a face is shown as the recipe says, in no other views; leave out --views.")
        if out is None or epochs is None:
            raise RecipeError("--recipe goes with --epochs N and --out FILE.npz, which holds all models' mean.")
        _teach_epochs(models, data, recipe, changes or (), epochs, out, class_map, skip_bad, clean, json)
        return
    if changes or epochs is not None:
        raise RecipeError("--set and --epochs are about a recipe; name one with --recipe.")
    views = 10 if views is None else views
    check_views(views)
    places = [place_of_answers(model, out) for model in models]
    members = []
    for classifier in [load(model) for model in models]:
        size_px = classifier.manifest.input.size_px
        members.append(
            (classifier, read(data, size_px=size_px, class_map=class_map, skip_bad=skip_bad, clean=clean).faces)
        )
    if out is not None:
        lines = [write_answers(out, members, views)]
    else:
        lines = [write_answers(place, [member], views) for place, member in zip(places, members, strict=True)]
    if json:
        show_json([line.to_dict() for line in lines])
        return
    for line in lines:
        typer.echo(line.words())
    named = " ".join(f"--teachers {line.file}" for line in lines)
    remark(f"Learn from it with: mien distill RECIPE --data {data} {named}")


def _teach_epochs(
    models: list[str],
    data: Path,
    recipe: str,
    changes: Sequence[str],
    epochs: int,
    out: Path,
    class_map: str | None,
    skip_bad: bool,
    clean: Path | None,
    json: bool,
) -> None:
    with needs_extra("train", "Asking about epochs as training shows them"):
        from mien.experiments.teaching_epochs import check_teachers, write_answers_about_epochs
    from mien.experiments.teaching import place_of_answers
    from mien.inference.classifier import load
    from mien.inference.locate import find_model
    from mien.recipe_file import load_recipe

    chosen = load_recipe(recipe, changes)
    file = place_of_answers(models[0], out)
    teachers = [(find_model(model), load(model)) for model in models]
    check_teachers(teachers, chosen)
    faces = read(data, size_px=chosen.input.size_px, class_map=class_map, skip_bad=skip_bad, clean=clean).faces
    taught = write_answers_about_epochs(file, teachers, chosen, faces, epochs)
    if json:
        show_json([taught.to_dict()])
        return
    typer.echo(taught.words())
    given = [word for change in changes for word in ("--set", change)]
    given += [] if class_map is None else ["--map", class_map]
    given += [] if clean is None else ["--clean", str(clean)]
    given += ["--skip-bad"] if skip_bad else []
    # A recipe without a network of its own takes that of a trained run.
    given += [] if "model" in chosen.model_fields_set else ["--from", "RUN"]
    words = ["mien", "distill", recipe, "--data", str(data), "--teachers", str(file), *given]
    remark(f"Learn from it with: {shlex.join(words)}")
