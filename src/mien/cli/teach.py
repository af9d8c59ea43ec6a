"""``mien teach``: what trained models say of the train split, as small files that students learn from."""

from __future__ import annotations

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


def teach(
    models: Annotated[list[str], typer.Argument(help=MODEL_HELP, metavar="MODEL...")],
    data: DataOption,
    views: Annotated[int, typer.Option(help="Show each face in 1, 2 (mirrored too) or 10 views.", metavar="N")] = 10,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the mean of all models into this .npz; without it each run keeps its own answers."),
    ] = None,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Ask teachers about every face of the train split, once: the soft labels for `mien distill`.

    Written is a scores file (docs/scores.md) in float16, without images: RUN/scores_train.npz, or --out.
    """
    from mien.experiments.teaching import place_of_answers, write_answers
    from mien.inference.classifier import load
    from mien.inference.views import check_views

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
